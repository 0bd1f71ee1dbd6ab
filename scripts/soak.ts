import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Emulator, startEmulator } from '../emulator/emulator.ts'
import type { Fault } from '../emulator/faults.ts'
import { sample } from '../emulator/options.ts'
import { parsePolicy } from '../src/broker/policy/file/parse.ts'
import { readConfig } from '../src/config/config.ts'
import { wire } from '../src/service/wire.ts'
import type { Key } from '../bench/token-client.ts'
import { startLoad, type Tally } from './soak-load.ts'

/**
 * `npm run soak [-- --seconds 60]` runs the broker and the emulator in one process, in real time. Tokens live for two
 * seconds, 40 callers request them all the time, and one outage follows the other. Prints what the callers observed,
 * and exits with 1 if a promise was broken:
 *
 * - a request failed while a valid token was cached, or took longer than an exchange may take;
 * - a caller got another tenant's token or an expired one;
 * - there were more exchanges than refresh intervals, or more concurrent exchanges than keys;
 * - the broker was not ready, or its memory grew.
 */

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' } } })
const seconds = Number(values.seconds)
if (!(seconds >= 10 && seconds <= 86_400)) throw new RangeError('--seconds must be from 10 to 86400')

const lifeSeconds = 2
const timeoutMs = 1000
/** The delay that a busy machine may add to a wait. Client, broker and emulator share one thread. */
const slackMs = 2000
const callerCount = 40
const pauseMs = 60
const faultMs = 1000
const calmMs = 4000
/**
 * A token is due for refresh after half of its life, minus jitter. It lives for a second or more, as `exp` has no
 * fractions.
 */
const leastIntervalSeconds = 0.45
/** Exchanges that the broker has aborted and the emulator still counts as open. */
const abandoned = 4
const mostGrowthBytes = 16e6

const tenants = Array.from({ length: 5 }, (_, n) => `40000000-0000-4000-8000-00000000000${n}`)
const scopes = ['https://graph.microsoft.com/.default', 'https://management.azure.com/.default']
const keys: readonly Key[] = tenants.flatMap(tenant => scopes.map(scope => ({ tenant, scope })))

/** Transient errors only. The broker remembers a permanent error for longer than these tokens live. */
const faults: readonly Fault[] = [
  { kind: 'server-error', at: 'token' },
  { kind: 'hung', at: 'token' },
  { kind: 'refused', at: 'token' },
  { kind: 'throttled', at: 'token', retryAfter: 1 },
  { kind: 'reset', at: 'token' },
  { kind: 'stalled-body', at: 'token' },
  { kind: 'hung', at: 'identity' },
  { kind: 'server-error', at: 'token', status: 500, tenant: tenants[0] ?? '' },
  { kind: 'refused', at: 'identity' },
  { kind: 'server-error', at: 'discovery' },
  { kind: 'server-error', at: 'identity', status: 500 },
  { kind: 'html', at: 'token' },
]

const policyOf = (emulator: Emulator) => ({
  applications: { default: sample.application },
  tenants: {},
  issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
  rules: [{ name: 'soak', callers: [{ issuer: 'emulator', subject: 'soak-*' }], tenants, scopes }],
})

async function startBroker(emulator: Emulator) {
  Object.assign(process.env, emulator.environment())
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), emulator.caPem])
  const config = readConfig({
    ...emulator.environment(),
    BROKER_POLICY_FILE: 'in-memory',
    BROKER_UPSTREAM_TIMEOUT_MS: String(timeoutMs),
  })
  const sink = { write: () => undefined, flush: () => undefined }
  const service = await wire(config, parsePolicy(JSON.stringify(policyOf(emulator))), sink)
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  await service.warmUp()
  return { service, url }
}

/** Turns one fault after the other on and off until the time is over. Counts how often the broker was not ready. */
async function causeOutages(emulator: Emulator, isReady: () => boolean, until: number): Promise<number> {
  let unready = 0
  for (let n = 0; Date.now() + faultMs + calmMs < until; n++) {
    await sleep(calmMs)
    const fault = faults[n % faults.length]
    if (fault) emulator.fault(fault)
    await sleep(faultMs)
    unready += Number(!isReady())
    emulator.clearFaults()
  }
  await sleep(Math.max(0, until - Date.now()))
  return unready
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heapBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}

const print = (name: string, text: string) => process.stdout.write(`${name.padEnd(14)}${text}\n`)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

interface Measured {
  readonly tally: Tally
  readonly seconds: number
  readonly issued: number
  readonly failed: number
  /** The largest number of concurrent exchanges. */
  readonly atOnce: number
  readonly heap: { readonly start: number; readonly end: number }
  readonly unready: number
}

function brokenPromises({ tally, seconds: elapsed, issued, atOnce, heap, unready }: Measured): readonly string[] {
  const mostIssued = keys.length * (elapsed / leastIntervalSeconds + 1)
  return [
    ...tally.broken,
    ...(issued > mostIssued ? [`${issued} exchanges; at most ${Math.floor(mostIssued)} are necessary`] : []),
    ...(atOnce > keys.length + abandoned ? [`${atOnce} concurrent exchanges for ${keys.length} keys`] : []),
    ...(unready > 0 ? [`not ready ${unready} times`] : []),
    ...(heap.end - heap.start > mostGrowthBytes ? [`the heap grew by ${megabytes(heap.end - heap.start)}`] : []),
  ]
}

function report(measured: Measured): void {
  const { tally, seconds: elapsed, issued, failed, atOnce, heap } = measured
  const statuses = [...tally.cacheStatuses].toSorted(([, a], [, b]) => b - a).map(([how, count]) => `${count} × ${how}`)
  const perLife = issued / keys.length / (elapsed / lifeSeconds)
  const broken = brokenPromises(measured)
  const whileValid = tally.broken.filter(text => text.includes('although a token is valid')).length
  print('requests', `${tally.requests}, ${Math.round(tally.requests / elapsed)} per second`)
  print('responses', statuses.join(', '))
  print('failures', `${whileValid} with a valid token in the cache, ${tally.refused - whileValid} without one`)
  print(
    'longest wait',
    `${tally.longestWait} ms (an exchange may take ${timeoutMs} ms); of a cache hit ${tally.longestHit} ms`,
  )
  print(
    'exchanges',
    `${issued}, ${perLife.toFixed(2)} per key and token life of ${lifeSeconds} s, at most ${atOnce} concurrent; ${failed} failed`,
  )
  print('memory', `heap in use ${megabytes(heap.start)} at the start, ${megabytes(heap.end)} at the end`)
  for (const what of broken) print('BROKEN', what)
  if (broken.length === 0) print('promises', 'all kept')
  process.exitCode = broken.length === 0 ? 0 : 1
}

const emulator = await startEmulator({ tenants: tenants.map(id => ({ id })) })
emulator.configure({
  expiresIn: lifeSeconds,
  identityTokenLife: 10,
  repeatIdentityToken: false,
  latency: { token: 20, identity: 10 },
})
const { service, url } = await startBroker(emulator)
const minted = Array.from({ length: callerCount }, (_, n) =>
  emulator.mintCallerToken({ sub: `soak-${n}` }, { expiresIn: seconds + 3600 }),
)
const callers = await Promise.all(minted)
print(
  'soak',
  `${seconds} s, ${callerCount} callers, ${keys.length} keys, a fault for ${faultMs} ms out of every ${faultMs + calmMs} ms`,
)

const stopping = new AbortController()
const options = { url, callers, keys, pauseMs, longestWaitMs: timeoutMs + slackMs, stopping: stopping.signal }
const { tally, done } = startLoad(options)
// Warms up and fetches every key before memory is measured.
const warmUpMs = 3000
await sleep(warmUpMs)
emulator.resetCounts()
const began = Date.now()
const start = heapBytes()
const unready = await causeOutages(emulator, service.isReady, began + seconds * 1000 - warmUpMs)
stopping.abort()
await done
const { endpoints, maxConcurrentTokenRequests: atOnce } = emulator.counts()
const { total, outcomes } = endpoints.token
const elapsed = (Date.now() - began) / 1000
const end = heapBytes()
const issued = outcomes['issued'] ?? 0
report({ tally, seconds: elapsed, issued, failed: total - issued, atOnce, heap: { start, end }, unready })
await service.close()
await emulator.close()
