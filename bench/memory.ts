import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { nodeFlags } from '../scripts/node-flags.ts'
import { bundleBroker } from './bundle.ts'
import { limitMemory, type MemoryLimit } from './cgroup.ts'
import { createCompareWorld } from './compare-world.ts'
import { cpuMsOf } from './cpu.ts'
import { createLoad } from './load.ts'
import { measureInSlices, type Cost } from './slices.ts'
import { median, startServer, type Server, type World } from './world.ts'

/**
 * `npm run bench:memory [-- --tokens 10000 --limit 512 --rounds 3 --slices 4 --seconds 1 --flags=…]` measures the memory of
 * a broker that is started as in the image, in a control group with a limit of so many MiB (0: none): after it has fetched
 * tokens of 1.8 kB for as many tenants, 20 at once, and after load on all of them. Prints beside it what an exchange and a
 * cached token cost, and the most that the group ever used. Linux only, as root, with `wrk` or `autocannon`.
 *
 * `--refills` purges the cache after the load, and fetches all tokens again, so many times, and prints the memory after each:
 * 10,000 tokens of an hour are refreshed 13,000 times an hour.
 *
 * Each `--flags` is one way to start Node, with flags and variables separated by spaces (`--flags="--flag NAME=value"`);
 * `image` is replaced by the flags of the image. In each round all of them are new processes on one core, which get the
 * same work in turn. Prints medians.
 */

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '10000' },
    limit: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '3' },
    slices: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '1' },
    refills: { type: 'string', default: '0' },
    flags: { type: 'string', multiple: true, default: ['image'] },
  },
})
const tokens = Number(values.tokens)
const atOnce = 20
/** Tokens that one process fetches before it is the next one's turn. */
const turn = 500
const print = (line: string) => process.stdout.write(`${line}\n`)

/** Megabytes of a process. */
interface Memory {
  readonly resident: number
  /** Of these, pages of files: Node itself. */
  readonly files: number
  /** As in the metrics: in use, with garbage that was not collected yet; reserved for it; outside of it. */
  readonly heapUsed: number
  readonly heapTotal: number
  readonly external: number
}

interface Measured {
  readonly flags: string
  /** Milliseconds of CPU time of a cold token, with its request. */
  readonly exchangeMs: number
  readonly filled: Memory | undefined
  readonly cost: Cost | undefined
  readonly loaded: Memory | undefined
  /** The most that the group used, in megabytes. */
  readonly most: number | undefined
}

/** A broker in a group of its own. */
interface Subject {
  readonly flags: string
  readonly limit: MemoryLimit
  readonly server: Server
  exchangeMs: number
}

const requestToken = ({ authorization, bodies }: World, url: string, n: number): Promise<Response> =>
  fetch(`${url}/tokens`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: bodies[n] ?? '',
  })

async function start(world: World, program: string, flags: string): Promise<Subject> {
  const words = flags.replace('image', nodeFlags.join(' ')).split(' ').filter(Boolean)
  const variables = words.filter(word => !word.startsWith('-')).map(word => word.split('=', 2))
  const environment = { ...world.environment, ...Object.fromEntries(variables) }
  const limit = await limitMemory(Number(values.limit) * 2 ** 20)
  const args = [...words.filter(word => word.startsWith('-')), program, 'serve']
  const server = await startServer(args, environment, url => requestToken(world, url, 0), limit.within)
  return { flags, limit, server, exchangeMs: 0 }
}

/** Fetches the tokens of some tenants. */
async function fetchTokens(world: World, { url }: Server, from: number, to: number): Promise<void> {
  let next = from
  const work = async (): Promise<void> => {
    while (next < to) {
      const n = next++
      // On a busy machine the broker may shed load.
      let response = await requestToken(world, url, n)
      for (let again = 0; response.status === 503 && again < 50; again++) {
        await sleep(100)
        response = await requestToken(world, url, n)
      }
      const text = await response.text()
      if (!response.ok) throw new Error(`no token for tenant ${n}: ${text}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

async function memoryOf({ authorization }: World, { url, pid }: Server): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const metrics = await (await fetch(`${url}/metrics`, { headers: { authorization } })).text()
  const kept = (name: string) => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6
  const gauge = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(metrics)?.[1]) / 1e6
  return {
    resident: kept('VmRSS'),
    files: kept('RssFile'),
    heapUsed: gauge('nodejs_heap_used_bytes'),
    heapTotal: gauge('nodejs_heap_total_bytes'),
    external: gauge('nodejs_external_memory_bytes'),
  }
}

/** Gives all of them the same work in turn. */
async function measure(world: World, subjects: readonly Subject[]): Promise<readonly Measured[]> {
  for (let from = 0; from < tokens; from += turn) {
    for (const subject of subjects) {
      const before = await cpuMsOf(subject.server.pid)
      await fetchTokens(world, subject.server, from, Math.min(from + turn, tokens))
      subject.exchangeMs += ((await cpuMsOf(subject.server.pid)) - before) / tokens
    }
  }
  const servers = subjects.map(({ server }) => server)
  const filled = await Promise.all(servers.map(server => memoryOf(world, server)))
  const { run } = await createLoad(world)
  const slices = { count: Number(values.slices), seconds: Number(values.seconds) }
  const costs = await measureInSlices(servers, run, slices)
  const loaded = await Promise.all(servers.map(server => memoryOf(world, server)))
  const most = await Promise.all(subjects.map(async ({ limit }) => (await limit.most()) / 1e6))
  return subjects.map(({ flags, exchangeMs }, n) => ({
    flags,
    exchangeMs,
    filled: filled[n],
    cost: costs[n],
    loaded: loaded[n],
    most: most[n],
  }))
}

/** Purges the cache and fetches all tokens again. */
async function refill(world: World, { flags, server }: Subject): Promise<void> {
  for (let refills = 1; refills <= Number(values.refills); refills++) {
    const purged = await fetch(`${server.url}/tokens?all=true`, {
      method: 'DELETE',
      headers: { authorization: world.authorization },
    })
    if (!purged.ok) throw new Error(`the cache was not purged: ${await purged.text()}`)
    await fetchTokens(world, server, 0, tokens)
    const { resident, heapUsed, heapTotal, external } = await memoryOf(world, server)
    const sizes = [resident, heapUsed, heapTotal, external].map(size => size.toFixed(0))
    print(
      `${flags}, refill ${refills}: resident ${sizes[0]} MB, heap ${sizes[1]} of ${sizes[2]} MB, external ${sizes[3]} MB`,
    )
  }
}

async function measureRound(world: World, program: string): Promise<readonly Measured[]> {
  const subjects: Subject[] = []
  try {
    for (const flags of values.flags) subjects.push(await start(world, program, flags))
    const measured = await measure(world, subjects)
    for (const subject of subjects) await refill(world, subject)
    return measured
  } finally {
    await Promise.all(subjects.map(({ server }) => server.stop()))
    await Promise.all(subjects.map(({ limit }) => limit.remove()))
  }
}

function printResult(flags: string, all: readonly Measured[]): void {
  const of = (value: (measured: Measured) => number | undefined, digits = 0) =>
    median(all.map(measured => value(measured) ?? Number.NaN)).toFixed(digits)
  const memory = (at: 'filled' | 'loaded') =>
    `resident ${of(each => each[at]?.resident)} MB (of these files ${of(each => each[at]?.files)}), heap ` +
    `${of(each => each[at]?.heapUsed)} of ${of(each => each[at]?.heapTotal)} MB, external ${of(each => each[at]?.external)} MB`
  print(`${flags === '' ? 'no flags' : flags}:`)
  print(`  filled: ${memory('filled')}; ${of(each => each.exchangeMs, 2)} ms of CPU for a cold token`)
  print(
    `  after load: ${memory('loaded')}; ${of(each => each.cost?.cpu, 1)} µs of CPU for a cached token, ` +
      `${of(each => each.cost?.rate)} a second, p99 ${of(each => each.cost?.p99, 1)} ms`,
  )
  print(`  the most that the group used: ${of(each => each.most)} MB`)
}

const world = await createCompareWorld(tokens)
try {
  const program = await bundleBroker(world.folder)
  const measured: Measured[] = []
  for (let round = 0; round < Number(values.rounds); round++) measured.push(...(await measureRound(world, program)))
  print(`${tokens} tokens, limit of ${values.limit} MiB, medians of ${values.rounds} rounds of new processes`)
  for (const flags of values.flags)
    printResult(
      flags,
      measured.filter(each => each.flags === flags),
    )
} finally {
  await world.close()
}
