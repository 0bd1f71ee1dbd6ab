import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle, bundleBroker } from './bundle.ts'
import { measureHeap } from './heap.ts'
import { createLoad, type Load } from './load.ts'
import { createWorld, median, startServer, type Server, type World } from './world.ts'

/**
 * `npm run bench [-- --rounds 5 --seconds 5]` measures:
 *
 * - throughput: cached tokens per second, with both values of BROKER_AUDIT, compared with a bare Fastify route that
 *   returns the same bytes (bench/baseline.ts). Each server runs on the same core, one after the other, in a new
 *   process. `--seconds` is the length of one measurement, after 2 s of warm-up; `--rounds` is how often it is repeated.
 * - start-up: from the start of the process to the first 200.
 * - heap: what the cache takes for 10, 10,000 and 100,000 tokens.
 *
 * Prints medians and ratios. Uses `wrk` if it is installed, and `autocannon` otherwise.
 */

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '5' } },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const print = (line: string) => process.stdout.write(`${line}\n`)
const whole = (value: number) => Math.round(value).toLocaleString('en')

const requestToken = ({ authorization }: World, url: string, body: string) =>
  fetch(`${url}/tokens`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body })

/** Requests a token for every tenant, so that only cache hits are measured. Returns the responses for the baseline. */
async function fillCache(world: World, server: Server): Promise<Readonly<Record<string, string>>> {
  const responses: Record<string, string> = {}
  for (const body of world.bodies) {
    const text = await (await requestToken(world, server.url, body)).text()
    responses[(JSON.parse(body) as { tenant: string }).tenant] = text
  }
  return responses
}

async function throughput(server: Server, run: Load): Promise<number> {
  await run(server.url, 2)
  const { perSecond } = await run(server.url, seconds)
  await server.stop()
  return perSecond
}

async function measureThroughput(world: World, broker: string, baseline: string): Promise<void> {
  const { tool, run } = await createLoad(world)
  const first = (url: string) => requestToken(world, url, world.bodies[0] ?? '')
  const responsesFile = join(world.folder, 'responses.json')
  const rates: Record<'bare' | 'every' | 'summary', number[]> = { bare: [], every: [], summary: [] }
  print(`throughput, ${tool}, 32 connections, ${world.bodies.length} tenants, ${rounds} rounds of ${seconds} s each:`)
  for (let round = 1; round <= rounds; round++) {
    for (const audit of ['every', 'summary'] as const) {
      const server = await startServer([broker, 'serve'], { ...world.environment, BROKER_AUDIT: audit }, first)
      await writeFile(responsesFile, JSON.stringify(await fillCache(world, server)))
      rates[audit].push(await throughput(server, run))
    }
    rates.bare.push(await throughput(await startServer([baseline], { RESPONSES: responsesFile }, first), run))
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
  const first = (url: string) => requestToken(world, url, world.bodies[0] ?? '')
  const responsesFile = join(world.folder, 'responses.json')
  const times: Record<'bare' | 'broker', number[]> = { bare: [], broker: [] }
  for (let round = 0; round < Math.max(rounds, 5); round++) {
    const server = await startServer([broker, 'serve'], world.environment, first)
    times.broker.push(server.startMs)
    await server.stop()
    const bare = await startServer([baseline], { RESPONSES: responsesFile }, first)
    times.bare.push(bare.startMs)
    await bare.stop()
  }
  const [bare, started] = [median(times.bare), median(times.broker)]
  print('start-up, from the start of the process to the first 200, both bundled, median:')
  print(
    `  bare Fastify ${whole(bare)} ms, broker with its first exchange ${whole(started)} ms, ratio ${(started / bare).toFixed(2)}`,
  )
}

async function printHeap(): Promise<void> {
  print("heap of the cache after a garbage collection, minus an empty cache, and its ratio to the tokens' bytes:")
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
