import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { nodeFlags } from '../scripts/node-flags.ts'
import { bundle, bundleBroker } from './bundle.ts'
import { measureHeap } from './heap.ts'
import { compareHotPaths, fillCache, firstRequest, responsesOf, type Version } from './hot-path.ts'
import { buildVersion } from './other-version.ts'
import { rangeOf, type Cost, type Range } from './slices.ts'
import { createWorld, median, startServer, type World } from './world.ts'

/**
 * `npm run bench [-- --rounds 7 --slices 8 --seconds 1 --only hits,start,heap --compare <git ref>]` measures:
 *
 * - hits: what a cached token costs, with both values of BROKER_AUDIT, compared with a bare Fastify route that returns the
 *   same bytes (bench/baseline.ts). In each round all servers are new processes on one core, and get the same load in
 *   turn, `--slices` times `--seconds` seconds each.
 * - start: from the start of the process to the first 200.
 * - heap: what the cache takes for 10, 10,000 and 100,000 tokens.
 *
 * Prints medians, and ratios with their range. With `--compare` the broker of another commit is built in a folder of its
 * own, and measured in the same rounds. Uses `wrk` if it is installed, and `autocannon` otherwise.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    slices: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '1' },
    only: { type: 'string', default: 'hits,start,heap' },
    compare: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const slices = { count: Number(values.slices), seconds: Number(values.seconds) }
const only = new Set(values.only.split(','))
const print = (line: string) => process.stdout.write(`${line}\n`)
const whole = (value: number) => Math.round(value).toLocaleString('en')
const range = ({ median: middle, least, most }: Range) =>
  `${middle.toFixed(2)} × (${least.toFixed(2)} to ${most.toFixed(2)})`

async function printHits(world: World, versions: readonly Version[], baseline: string): Promise<void> {
  print(`cached tokens, 32 connections, ${world.bodies.length} tenants, ${rounds} rounds of new processes:`)
  const onRound = (round: number, costs: ReadonlyMap<string, Cost>) => {
    const each = [...costs].map(([name, { cpu, rate }]) => `${name} ${whole(rate)} req/s ${cpu.toFixed(1)} µs`)
    print(`  round ${round}: ${each.join('; ')}`)
  }
  const { tool, results } = await compareHotPaths(world, versions, baseline, { rounds, slices, onRound })
  print(`  medians, load by ${tool}:`)
  for (const { server, cost, ratios } of results) {
    print(
      `  ${server}: ${whole(cost.rate)} req/s, ${cost.cpu.toFixed(1)} µs of CPU each, p99 ${cost.p99.toFixed(1)} ms` +
        (ratios
          ? `; to the bare route: ${range(ratios.rate)}, CPU ${range(ratios.cpu)}, p99 ${range(ratios.p99)}`
          : ''),
    )
  }
}

async function printStart(world: World, versions: readonly Version[], baseline: string): Promise<void> {
  const servers = [
    ...versions.map(({ name, program, flags }) => ({
      name,
      args: [...flags, program, 'serve'],
      environment: world.environment,
    })),
    { name: 'bare Fastify', args: [baseline], environment: responsesOf(world) },
  ]
  const [times, cpu] = [servers.map(() => [] as number[]), servers.map(() => [] as number[])]
  for (let round = 0; round < Math.max(rounds, 5); round++) {
    for (const [n, { args, environment }] of servers.entries()) {
      const server = await startServer(args, environment, firstRequest(world))
      times[n]?.push(server.startMs)
      cpu[n]?.push(server.startCpuMs)
      // The bare route, which comes last, needs the responses.
      if (round === 0 && n === 0) await fillCache(world, server)
      await server.stop()
    }
  }
  print('start-up, from the start of the process to the first 200, all bundled, medians and ranges:')
  const bare = { ms: median(times.at(-1) ?? []), cpu: median(cpu.at(-1) ?? []) }
  for (const [n, { name }] of servers.entries()) {
    const { median: middle, least, most } = rangeOf(cpu[n] ?? [])
    const ms = median(times[n] ?? [])
    print(
      `  ${name}: ${whole(middle)} ms of CPU (${whole(least)} to ${whole(most)}), ${(middle / bare.cpu).toFixed(2)} ×; ` +
        `${whole(ms)} ms in all, ${(ms / bare.ms).toFixed(2)} ×`,
    )
  }
}

async function printHeap(): Promise<void> {
  print("heap of the cache after a garbage collection, minus an empty cache, and its ratio to the tokens' bytes:")
  for (const { entries, bytes, ratio } of await measureHeap([10, 10_000, 100_000])) {
    print(`  ${whole(entries)} tokens: ${(bytes / 1e6).toFixed(2)} MB, ${ratio.toFixed(2)} ×`)
  }
}

async function buildVersions(folder: string): Promise<readonly Version[]> {
  const own = join(folder, 'own')
  await mkdir(own)
  const versions: readonly Version[] = [{ name: 'broker', program: await bundleBroker(own), flags: nodeFlags }]
  const { compare } = values
  if (compare === undefined) return versions
  return [...versions, { name: compare, ...(await buildVersion(compare, await mkdtemp(join(folder, 'other-')))) }]
}

const world = await createWorld()
try {
  const versions = await buildVersions(world.folder)
  const baseline = await bundle('bench/baseline.ts', world.folder, true)
  if (only.has('hits')) await printHits(world, versions, baseline)
  if (only.has('start')) await printStart(world, versions, baseline)
  if (only.has('heap')) await printHeap()
} finally {
  await world.close()
}
