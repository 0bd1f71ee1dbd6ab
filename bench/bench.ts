import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle, bundleBroker } from './bundle.ts'
import { measureHeap } from './heap.ts'
import { createLoad, type Load } from './load.ts'
import { createWorld, median, startServer, type Server, type World } from './world.ts'

/**
 * `npm run bench [-- --rounds 5 --seconds 5]`: the broker beside a bare Fastify route that returns the same bytes, on
 * the same core, one after the other, a fresh process each time; then start-up and heap. Prints medians and ratios.
 */

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '5' } },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const print = (line: string) => process.stdout.write(`${line}\n`)
const whole = (value: number) => Math.round(value).toLocaleString('en')

const ask = ({ authorization }: World, url: string, body: string) =>
  fetch(`${url}/tokens`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body })

/** Asks for every tenant once, so that only hits are measured, and keeps the answers for the baseline. */
async function fillCache(world: World, server: Server): Promise<Readonly<Record<string, string>>> {
  const answers: Record<string, string> = {}
  for (const body of world.bodies) {
    const text = await (await ask(world, server.url, body)).text()
    answers[(JSON.parse(body) as { tenant: string }).tenant] = text
  }
  return answers
}

async function throughput(server: Server, run: Load): Promise<number> {
  await run(server.url, 2)
  const rate = await run(server.url, seconds)
  await server.stop()
  return rate
}

async function measureThroughput(world: World, broker: string, baseline: string): Promise<void> {
  const { tool, run } = await createLoad(world)
  const first = (url: string) => ask(world, url, world.bodies[0] ?? '')
  const answersFile = join(world.folder, 'answers.json')
  const rates: Record<'bare' | 'every' | 'summary', number[]> = { bare: [], every: [], summary: [] }
  print(`throughput, ${tool}, 32 connections, ${world.bodies.length} tenants, ${rounds} rounds of ${seconds} s:`)
  for (let round = 1; round <= rounds; round++) {
    for (const audit of ['every', 'summary'] as const) {
      const server = await startServer([broker, 'serve'], { ...world.environment, BROKER_AUDIT: audit }, first)
      await writeFile(answersFile, JSON.stringify(await fillCache(world, server)))
      rates[audit].push(await throughput(server, run))
    }
    rates.bare.push(await throughput(await startServer([baseline], { ANSWERS: answersFile }, first), run))
    const [bare, every, summary] = [rates.bare.at(-1), rates.every.at(-1), rates.summary.at(-1)]
    print(
      `  round ${round}: bare ${whole(bare ?? 0)}, every ${whole(every ?? 0)}, summary ${whole(summary ?? 0)} req/s`,
    )
  }
  const bare = median(rates.bare)
  print(`  median: bare Fastify ${whole(bare)} req/s`)
  for (const audit of ['every', 'summary'] as const) {
    const rate = median(rates[audit])
    print(`  median: BROKER_AUDIT=${audit} ${whole(rate)} req/s, ratio ${(rate / bare).toFixed(2)}`)
  }
}

async function measureStart(world: World, broker: string, baseline: string): Promise<void> {
  const first = (url: string) => ask(world, url, world.bodies[0] ?? '')
  const answersFile = join(world.folder, 'answers.json')
  const times: Record<'bare' | 'broker', number[]> = { bare: [], broker: [] }
  for (let round = 0; round < Math.max(rounds, 5); round++) {
    const server = await startServer([broker, 'serve'], world.environment, first)
    times.broker.push(server.startMs)
    await server.stop()
    const bare = await startServer([baseline], { ANSWERS: answersFile }, first)
    times.bare.push(bare.startMs)
    await bare.stop()
  }
  const [bare, started] = [median(times.bare), median(times.broker)]
  print('start of the process to the first 200, both bundled, median:')
  print(
    `  bare Fastify ${whole(bare)} ms, broker with its first exchange ${whole(started)} ms, ratio ${(started / bare).toFixed(2)}`,
  )
}

async function printHeap(): Promise<void> {
  print("heap in use after a collection, beyond the empty cache, and relative to the tokens' own bytes:")
  for (const { entries, bytes, ratio } of await measureHeap([10, 10_000, 100_000])) {
    print(`  ${whole(entries)} tokens: ${(bytes / 1e6).toFixed(2)} MB, ${ratio.toFixed(2)} ×`)
  }
}

const world = await createWorld()
try {
  const broker = await bundleBroker(world.folder)
  const baseline = await bundle('bench/baseline.ts', world.folder, true)
  await measureThroughput(world, broker, baseline)
  await measureStart(world, broker, baseline)
  await printHeap()
} finally {
  await world.close()
}
