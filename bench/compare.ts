import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { nodeFlags } from '../scripts/node-flags.ts'
import { bundle, bundleBroker } from './bundle.ts'
import { createCompareWorld, tenantId } from './compare-world.ts'
import { measureRate } from './compare-load.ts'
import { table, type Column, type Outage, type Rate, type Storm } from './compare-table.ts'
import { startServer, type Server, type World } from './world.ts'

/**
 * `npm run bench:compare [-- --tenants 10000 --fill-seconds 10]` compares the broker with a small Fastify server that
 * uses long-lived credentials of the Azure SDK (bench/credentials.ts). All servers get the same loads, one after the
 * other, on the same core. Measured are requests to Entra in a burst, failures while Entra is down, throughput, and memory.
 * Linux only.
 *
 * The number of tenants is what the broker can fetch within `--fill-seconds`, at most `--tenants`. Prints a Markdown
 * table.
 */

const { values } = parseArgs({
  options: { tenants: { type: 'string', default: '10000' }, 'fill-seconds': { type: 'string', default: '10' } },
})
const mostTenants = Number(values.tenants)
const fillMs = Number(values['fill-seconds']) * 1000
const firstTenants = 1000
const patienceMs = 10_000
const measureSeconds = 2
/** Measurements of throughput. The best one counts: on a busy machine, other programs slow down the rest. */
const rounds = 3

/** Tenants with a separate load. Throughput is measured with the tenants after them. */
const special = { start: 0, burst: 1, due: 2, ending: 3, hung: 4, storm: 5, count: 205 } as const
/** As long as an exchange with Entra usually takes. */
const usualLatency = { latency: { token: 200 } }
const burstCallers = 1000
const stormTenants = special.count - special.storm

interface Reply {
  readonly ok: boolean
  readonly ms: number
}

/** Requests a token. A request without a response after {@link patienceMs} counts as failed. */
async function requestToken(world: World, url: string, n: number): Promise<Reply> {
  const began = performance.now()
  const response = await fetch(`${url}/tokens`, {
    method: 'POST',
    headers: { authorization: world.authorization, 'content-type': 'application/json' },
    body: world.bodies[n] ?? '',
    signal: AbortSignal.timeout(patienceMs),
  }).catch(() => undefined)
  await response?.arrayBuffer().catch(() => undefined)
  return { ok: response?.ok === true, ms: performance.now() - began }
}

const requestsFor = ({ emulator }: World, n: number): number => emulator.counts().tenants[tenantId(n)]?.total ?? 0

const stormOf = (replies: readonly Reply[]): Storm => ({
  failures: replies.filter(({ ok }) => !ok).length,
  longest: Math.max(...replies.map(({ ms }) => ms)),
})

/** A thousand concurrent requests for a key that is not cached. */
async function coldBurst(world: World, { url }: Server): Promise<Storm & { readonly requests: number }> {
  world.emulator.configure(usualLatency)
  const replies = await Promise.all(Array.from({ length: burstCallers }, () => requestToken(world, url, special.burst)))
  world.emulator.configure({ latency: {} })
  return { ...stormOf(replies), requests: requestsFor(world, special.burst) }
}

/** Concurrent requests for many keys that are not cached. */
async function coldStorm(world: World, { url }: Server): Promise<Storm> {
  world.emulator.configure(usualLatency)
  const replies = await Promise.all(
    Array.from({ length: stormTenants }, (_, n) => requestToken(world, url, special.storm + n)),
  )
  world.emulator.configure({ latency: {} })
  return stormOf(replies)
}

/** A hundred requests in two seconds for a tenant with a valid token, while Entra returns 503. */
async function outage(world: World, { url }: Server, n: number): Promise<Outage> {
  world.emulator.fault({ kind: 'server-error', at: 'token', tenant: tenantId(n) })
  const before = requestsFor(world, n)
  const replies: Promise<Reply>[] = []
  for (let i = 0; i < 100; i++) {
    replies.push(requestToken(world, url, n))
    await sleep(20)
  }
  const all = await Promise.all(replies)
  return {
    failures: all.filter(({ ok }) => !ok).length,
    longest: Math.max(...all.map(({ ms }) => ms)),
    requests: requestsFor(world, n) - before,
  }
}

/** Fetches the tokens of two tenants: one is due for refresh after a second, the other lives less than five minutes. */
async function prepareOutages(world: World, { url }: Server): Promise<void> {
  const { emulator } = world
  emulator.configure({ expiresIn: 3600, refreshIn: 1 })
  await requestToken(world, url, special.due)
  emulator.configure({ expiresIn: 302, refreshIn: null })
  await requestToken(world, url, special.ending)
  emulator.configure({ expiresIn: 86_400 })
  await sleep(3000)
}

/** Fetches tokens for tenants, 16 at a time. Resolves to the number of tenants when the time is over. */
async function fill(world: World, { url }: Server, from: number, to: number, ms: number): Promise<number> {
  const end = Date.now() + ms
  let next = from
  const fillOne = async () => {
    while (next < to && Date.now() < end) {
      const n = next++
      if (!(await requestToken(world, url, special.count + n)).ok) throw new Error(`no token for tenant ${n}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, fillOne))
  return next
}

async function throughput(world: World, { url }: Server, tenants: number): Promise<Rate> {
  const bodies = world.bodies.slice(special.count, special.count + tenants)
  const before = await cpuSeconds(world, url)
  const rates: number[] = []
  for (let round = 0; round < rounds; round++) rates.push(await measureRate(world, url, bodies, measureSeconds))
  const requests = rates.reduce((sum, rate) => sum + rate * measureSeconds, 0)
  return { perSecond: Math.max(...rates), cpuEach: ((await cpuSeconds(world, url)) - before) * (1000 / requests) }
}

async function cpuSeconds({ authorization }: World, url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization } })).text()
  return Number(/^process_cpu_seconds_total (.+)$/m.exec(text)?.[1])
}

async function measure(world: World, name: string, server: Server, tenants: number, ms: number): Promise<Column> {
  world.emulator.resetCounts()
  const burst = await coldBurst(world, server)
  const storm = await coldStorm(world, server)
  await prepareOutages(world, server)
  world.emulator.fault({ kind: 'hung', at: 'token', tenant: tenantId(special.hung) })
  const hung = requestToken(world, server.url, special.hung)
  const [due, ending] = await Promise.all([outage(world, server, special.due), outage(world, server, special.ending)])
  const { ms: hungMs } = await hung
  world.emulator.clearFaults()
  await fill(world, server, 0, firstTenants, fillMs * 4)
  const few = await throughput(world, server, firstTenants)
  const filled = await fill(world, server, firstTenants, tenants, ms)
  const many = await throughput(world, server, filled)
  const resident = await residentMegabytes(server)
  return { name, burst, storm, due, ending, hung: hungMs, tenants: filled, rates: [few, many], resident }
}

/** Linux only. */
async function residentMegabytes({ pid }: Server): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6
}

const world = await createCompareWorld(special.count + mostTenants)
try {
  const columns: Column[] = []
  const broker = [...nodeFlags, await bundleBroker(world.folder), 'serve']
  const credentials = [await bundle('bench/credentials.ts', world.folder, true)]
  const servers: readonly (readonly [name: string, args: readonly string[], environment: Record<string, string>])[] = [
    ['the broker', broker, {}],
    ['one `ClientAssertionCredential`', credentials, { CREDENTIALS: 'one' }],
    ['one per tenant', credentials, { CREDENTIALS: 'each' }],
    ['one per tenant, and `jose`', credentials, { CREDENTIALS: 'each', VERIFY: 'jose' }],
  ]
  for (const [name, args, environment] of servers) {
    const first = (url: string) =>
      fetch(`${url}/tokens`, {
        method: 'POST',
        headers: { authorization: world.authorization, 'content-type': 'application/json' },
        body: world.bodies[special.start] ?? '',
      })
    const server = await startServer(args, { ...world.environment, ...environment }, first)
    try {
      // The others get as many tenants as the broker had, and four times as long to fetch them.
      const tenants = columns[0]?.tenants ?? mostTenants
      columns.push(await measure(world, name, server, tenants, columns.length === 0 ? fillMs : fillMs * 4))
    } finally {
      await server.stop()
    }
    process.stderr.write(`measured ${name}\n`)
  }
  process.stdout.write(`${table(columns, { burstCallers, stormTenants, patienceMs, firstTenants, rounds })}\n`)
} finally {
  await world.close()
}
