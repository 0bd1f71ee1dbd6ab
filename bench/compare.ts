import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createCompareWorld, tenantId } from './compare-world.ts'
import { measureRate } from './compare-load.ts'
import { startServer, type Server, type World } from './world.ts'

/**
 * `npm run bench:compare [-- --tenants 10000 --fill-seconds 10]` compares the broker with a small Fastify server that
 * uses long-lived credentials of the Azure SDK (bench/credentials.ts). All servers get the same loads, one after the
 * other, on the same core. Measured are requests to Entra in a burst, failures while Entra is down, and throughput.
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
const special = { start: 0, burst: 1, due: 2, ending: 3, hung: 4, count: 5 } as const

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

/** A hundred concurrent requests for a key that is not cached. Returns the number of requests to Entra. */
async function coldBurst(world: World, { url }: Server): Promise<number> {
  // As long as an exchange with Entra usually takes.
  world.emulator.configure({ latency: { token: 200 } })
  await Promise.all(Array.from({ length: 100 }, () => requestToken(world, url, special.burst)))
  world.emulator.configure({ latency: {} })
  return requestsFor(world, special.burst)
}

interface Outage {
  readonly failures: number
  readonly longest: number
  readonly requests: number
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

interface Rate {
  readonly perSecond: number
  /** Milliseconds of the server's CPU time, which other programs on a busy machine do not change. */
  readonly cpuEach: number
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

interface Column {
  readonly name: string
  readonly burst: number
  readonly due: Outage
  readonly ending: Outage
  /** Milliseconds until the client had a response. */
  readonly hung: number
  readonly tenants: number
  readonly rates: readonly [few: Rate, many: Rate]
}

async function measure(world: World, name: string, server: Server, tenants: number, ms: number): Promise<Column> {
  world.emulator.resetCounts()
  const burst = await coldBurst(world, server)
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
  return { name, burst, due, ending, hung: hungMs, tenants: filled, rates: [few, many] }
}

const whole = (value: number) => Math.round(value).toLocaleString('en')
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const outageText = ({ failures, longest, requests }: Outage) =>
  `failures: ${failures}, requests to Entra: ${requests}, longest wait: ${seconds(longest)}`

const rateText = ({ perSecond, cpuEach }: Rate) => `${whole(perSecond)}, each ${cpuEach.toFixed(2)} ms of CPU`

function table(columns: readonly Column[]): string {
  const most = columns[0]?.tenants ?? 0
  const rows: readonly (readonly [load: string, cell: (column: Column) => string])[] = [
    ['100 concurrent requests for one key that is not cached', ({ burst }) => `requests to Entra: ${burst}`],
    [
      'Entra returns 503, the token is due for refresh and lives for another hour: 100 requests in 2 s',
      ({ due }) => outageText(due),
    ],
    ['Entra returns 503, the token lives for another 299 s: 100 requests in 2 s', ({ ending }) => outageText(ending)],
    [
      'Entra accepts the request and never responds, no token is cached',
      ({ hung }) => (hung < patienceMs ? `response after ${seconds(hung)}` : `no response in ${seconds(patienceMs)}`),
    ],
    [`cache hits per second, ${whole(firstTenants)} tenants, best of ${rounds}`, ({ rates }) => rateText(rates[0])],
    [
      `cache hits per second, ${whole(most)} tenants, best of ${rounds}`,
      ({ rates, tenants }) => `${rateText(rates[1])}${tenants === most ? '' : ` (with ${whole(tenants)} tenants)`}`,
    ],
  ]
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(['load', ...columns.map(({ name }) => name)]),
    line(['---', ...columns.map(() => '---')]),
    ...rows.map(([load, cell]) => line([load, ...columns.map(cell)])),
  ].join('\n')
}

const servers = [
  ['the broker', ['src/cli.ts', 'serve'], {}],
  ['one `ClientAssertionCredential`', ['bench/credentials.ts'], { CREDENTIALS: 'one' }],
  ['one per tenant', ['bench/credentials.ts'], { CREDENTIALS: 'each' }],
] as const

const world = await createCompareWorld(special.count + mostTenants)
try {
  const columns: Column[] = []
  for (const [name, [script, ...args], environment] of servers) {
    const first = (url: string) =>
      fetch(`${url}/tokens`, {
        method: 'POST',
        headers: { authorization: world.authorization, 'content-type': 'application/json' },
        body: world.bodies[special.start] ?? '',
      })
    const path = join(import.meta.dirname, '..', script)
    const server = await startServer([path, ...args], { ...world.environment, ...environment }, first)
    try {
      // The others get as many tenants as the broker had, and four times as long to fetch them.
      const tenants = columns[0]?.tenants ?? mostTenants
      columns.push(await measure(world, name, server, tenants, columns.length === 0 ? fillMs : fillMs * 4))
    } finally {
      await server.stop()
    }
    process.stderr.write(`measured ${name}\n`)
  }
  process.stdout.write(`${table(columns)}\n`)
} finally {
  await world.close()
}
