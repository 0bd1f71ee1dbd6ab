import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bundleBroker } from './bundle.ts'
import { loadDuring, percentile } from './fleet-load.ts'
import { compareHits } from './fleet-hits.ts'
import { startRedis, type BenchRedis } from './fleet-redis.ts'
import { faults } from './fleet-faults.ts'
import { startFleet, type Fleet, type FleetOptions } from './fleet-world.ts'
import type { Observed } from './token-client.ts'

/**
 * `npm run bench:fleet [-- --replicas 8 --pairs 9 --only cold,hot,hits,faults,purge]` starts brokers as in the image, an
 * emulator of Entra whose exchanges take 150 ms, and a `redis-server`, all on this machine, and measures what replicas
 * share. `--pairs` is how many pairs of processes `hits` compares. Prints one table. Needs `redis-server`, and takes about
 * seven minutes. `hits` needs Linux.
 */

const { values } = parseArgs({
  options: {
    replicas: { type: 'string', default: '8' },
    pairs: { type: 'string', default: '9' },
    only: { type: 'string', default: 'cold,hot,hits,faults,purge' },
  },
})
const replicaCount = Number(values.replicas)
const parts = new Set(values.only.split(','))
const latencyMs = 150
const lives = 10
const lifeSeconds = 4
const hotKeys = 20

const rows: string[][] = []
const row = (what: string, measured: string): void => {
  rows.push([what, measured])
  process.stdout.write(`${what}: ${measured}\n`)
}
const ms = (value: number): string => `${Math.round(value)} ms`
const take = (fleet: Fleet, count: number): string[] =>
  Array.from({ length: count }, () => String(fleet.unused.next().value))

const tokenOf = ({ body }: Observed): unknown => body['access_token']
const count = (observed: readonly Observed[], status: number): number =>
  observed.filter(each => each.status === status).length

/** Each of so many callers of each replica requests each key, all at once. */
async function burst(fleet: Fleet, keys: number, callers: number): Promise<void> {
  const tenants = take(fleet, keys)
  const began = performance.now()
  const observed = await Promise.all(
    tenants.flatMap(tenant =>
      fleet.urls.flatMap(url => Array.from({ length: callers }, () => fleet.client.get(url, tenant))),
    ),
  )
  const perKey = fleet.exchanges(tenants) / keys
  const lasted = performance.now() - began
  const times = observed.map(each => each.ms)
  row(
    `${fleet.urls.length} replicas × ${callers} callers × ${keys} cold keys`,
    `${perKey.toFixed(2)} exchanges per key, ${observed.length - count(observed, 200)} failed, p50 ${ms(percentile(times, 50))}, p99 ${ms(percentile(times, 99))}, all within ${ms(lasted)}`,
  )
}

/** Keys that one replica has fetched are requested at another one. */
async function secondLevelHits(fleet: Fleet): Promise<void> {
  const tenants = take(fleet, 200)
  for (const tenant of tenants) await fleet.client.get(fleet.urls[0] ?? '', tenant)
  const observed: Observed[] = []
  for (const tenant of tenants) observed.push(await fleet.client.get(fleet.urls[1] ?? '', tenant))
  const shared = observed.filter(each => each.how.includes('shared')).map(each => each.ms)
  row(
    'served from the second level, one after the other',
    `${shared.length} of ${tenants.length}, p50 ${percentile(shared, 50).toFixed(1)} ms, p99 ${percentile(shared, 99).toFixed(1)} ms`,
  )
}

async function cold(options: FleetOptions): Promise<void> {
  const calm = { ...options, expiresIn: 3600, refreshIn: 1800 }
  await withFleet(calm, async fleet => {
    await burst(fleet, 1, 100)
    await secondLevelHits(fleet)
    await burst(fleet, 200, 1)
    const resident = await Promise.all(fleet.replicas.map(replica => replica.residentBytes()))
    row('resident memory per replica', `${Math.round(percentile(resident, 50) / 1e6)} MB`)
  })
  await withFleet({ ...calm, replicas: 4 }, fleet => burst(fleet, 200, 1))
}

/** One key is requested all the time for ten of its lives. A life ends when the token is due. */
async function hot(options: FleetOptions): Promise<void> {
  await withFleet({ ...options, expiresIn: 6 * lifeSeconds, refreshIn: lifeSeconds }, async fleet => {
    const [tenant = ''] = take(fleet, 1)
    await fleet.client.get(fleet.urls[0] ?? '', tenant)
    const seconds = lives * lifeSeconds
    const result = await loadDuring({ ...loadOf(fleet, [tenant]), pauseMs: 20, cold: [].values() }, () =>
      sleep(seconds * 1000),
    )
    const exchanges = fleet.exchanges([tenant]) - 1
    const waits = result.ms.filter(each => each > latencyMs).length
    row(
      `hot key, ${fleet.urls.length} replicas, ${lives} lives of ${lifeSeconds} s`,
      `${(exchanges / lives).toFixed(2)} exchanges per life, ${result.failed} of ${result.requests} failed, ${waits} took longer than an exchange, p99 ${ms(percentile(result.ms, 99))}`,
    )
  })
}

/** What a cached token costs, with Redis and without. */
async function hits(program: string, { url }: BenchRedis): Promise<void> {
  const { cpu, rate, pairs, tool } = await compareHits(program, url, Number(values.pairs))
  const rangeOf = ({ ratio }: typeof cpu) =>
    `ratio ${ratio.median.toFixed(3)} (${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)})`
  const what = `cached tokens, with Redis and without, ${pairs} pairs of processes`
  row(`${what}: CPU time`, `${cpu.with.toFixed(2)} and ${cpu.without.toFixed(2)} µs per token, ${rangeOf(cpu)}`)
  row(`${what}: rate`, `${Math.round(rate.with)} and ${Math.round(rate.without)} a second (${tool}), ${rangeOf(rate)}`)
}

const loadOf = (fleet: Fleet, tenants: readonly string[]) => ({
  client: fleet.client,
  urls: fleet.urls,
  hot: tenants,
  cold: fleet.unused,
  pauseMs: 50,
  coldPauseMs: 100,
})

/** Each fault for three seconds in a constant load, and three seconds after it. */
async function underFaults(options: FleetOptions, redis: BenchRedis): Promise<void> {
  await withFleet({ ...options, expiresIn: 30, refreshIn: 3 }, async fleet => {
    const tenants = take(fleet, hotKeys)
    for (const tenant of tenants) await fleet.client.get(fleet.urls[0] ?? '', tenant)
    for (const { name, cause, end } of faults) {
      const result = await loadDuring(loadOf(fleet, tenants), async () => {
        await cause(redis, fleet)
        await sleep(3000)
        await end(redis, fleet)
        await sleep(3000)
      })
      const perKey = fleet.exchanges(result.coldKeys) / result.coldKeys.length
      row(
        `fault: ${name}`,
        `${result.failed} of ${result.requests} failed, p99 ${ms(percentile(result.ms, 99))}; cold: p50 ${ms(percentile(result.coldMs, 50))}, p99 ${ms(percentile(result.coldMs, 99))}, ${perKey.toFixed(2)} exchanges per key of 2 callers`,
      )
    }
  })
}

/** Purges one key after the other, and looks at every replica whether it still serves the old token. */
async function purges(options: FleetOptions, redis: BenchRedis): Promise<void> {
  await withFleet({ ...options, expiresIn: 3600, refreshIn: 1800 }, async fleet => {
    // The replicas hear each other's heartbeats.
    await sleep(3000)
    const times: number[] = []
    let stale = 0
    let all = 0
    const rounds = 40
    const purgeAndLook = async (between: () => Promise<unknown> = () => Promise.resolve()): Promise<void> => {
      const [tenant = ''] = take(fleet, 1)
      const before = await Promise.all(fleet.urls.map(url => fleet.client.get(url, tenant)))
      const began = performance.now()
      if ((await fleet.purge(0, tenant)) === 'all') all++
      times.push(performance.now() - began)
      await between()
      const after = await Promise.all(fleet.urls.map(url => fleet.client.get(url, tenant)))
      stale += after.filter(each => before.some(other => tokenOf(other) === tokenOf(each))).length
    }
    for (let nth = 0; nth < rounds; nth++) await purgeAndLook()
    row(
      `${rounds} purges, ${fleet.urls.length} replicas`,
      `${all} confirmed by all, p50 ${ms(percentile(times, 50))}, p99 ${ms(percentile(times, 99))}, ${stale} stale of ${rounds * fleet.urls.length} responses afterwards`,
    )
    stale = 0
    await purgeAndLook(() => redis.command('FLUSHALL'))
    row('purge, then FLUSHALL', `${stale} stale responses`)
    await purgeWhileStopped(fleet)
  })
}

async function purgeWhileStopped(fleet: Fleet): Promise<void> {
  const [tenant = ''] = take(fleet, 1)
  const last = fleet.replicas.at(-1)
  const token = tokenOf(await fleet.client.get(last?.url ?? '', tenant))
  last?.process.kill('SIGSTOP')
  const reach = await fleet.purge(0, tenant)
  await sleep(5000)
  const later = await fleet.purge(0, tenant)
  last?.process.kill('SIGCONT')
  const began = performance.now()
  let stale = 0
  while (performance.now() - began < 2000) {
    if (tokenOf(await fleet.client.get(last?.url ?? '', tenant)) !== token) break
    stale++
  }
  row(
    'purge while a replica is stopped',
    `replicas: ${reach}, five seconds later: ${later}; it serves the old token ${stale} times after it continues, for ${ms(performance.now() - began)}`,
  )
}

async function withFleet(options: FleetOptions, work: (fleet: Fleet) => Promise<unknown>): Promise<void> {
  const fleet = await startFleet(options)
  try {
    await work(fleet)
  } finally {
    await fleet.close()
  }
}

const folder = await mkdtemp(join(tmpdir(), 'token-broker-fleet-program-'))
const redis = await startRedis()
try {
  const program = await bundleBroker(folder)
  const options = { program, replicas: replicaCount, redisUrl: redis.url, latencyMs, expiresIn: 3600, refreshIn: 1800 }
  if (parts.has('cold')) await cold(options)
  if (parts.has('hot')) await hot(options)
  if (parts.has('hits')) await hits(program, redis)
  if (parts.has('faults')) await underFaults(options, redis)
  if (parts.has('purge')) await purges(options, redis)
  const width = Math.max(...rows.map(([what = '']) => what.length))
  process.stdout.write(
    `\n${rows.map(([what = '', measured]) => `| ${what.padEnd(width)} | ${measured} |`).join('\n')}\n`,
  )
} finally {
  await redis.close()
  await rm(folder, { recursive: true, force: true })
}
