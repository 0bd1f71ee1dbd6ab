import { createAssertionCache } from '../../../src/broker/tokens/assertion-cache.ts'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'
import { hedged, Hedges } from '../../../src/broker/lib/async/hedge.ts'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../../src/errors.ts'
import { createCircuit } from '../../../src/outbound/entra/circuit-breaker.ts'
import { hedgeAfterMs } from '../../../src/outbound/entra/entra.ts'
import { withRetries } from '../../../src/outbound/entra/retry.ts'
import { identityShare } from '../../../src/service/wire.ts'
import { grantFor, graph } from '../../support/callers.ts'
import { movableTime } from '../../outbound/entra/retry-world.ts'

/** How an upstream responds: it is well, it hangs, or it fails with this reason, perhaps with a Retry-After. */
export type Health = 'well' | 'hangs' | readonly [reason: ReasonOf<ErrorCode>, retryAfter?: number]

/** Milliseconds of a response, good or bad. */
const latencyMs = 50
const timeoutMs = 5000

/** The grant for the nth tenant. */
export const tenant = (n: number): Grant =>
  grantFor({ tenant: `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`, scope: graph })

/** Numbers in [0, 1) that are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 31
  }
}

/** The parts between a caller and Entra as the broker connects them, over upstreams whose health a test decides. */
export function recoveryWorld(seed = 1, charge: (grant: Grant) => void = () => undefined) {
  const time = movableTime()
  const { clock, wait } = time
  const random = numbers(seed)
  const world = {
    ...time,
    entra: 'well' as Health,
    identity: 'well' as Health,
    /** Tenants with a health of their own. */
    tenants: new Map<string, Health>(),
    /** Every request to Entra, in order. */
    exchanges: [] as { readonly tenant: string; readonly at: number }[],
    running: 0,
    mostRunning: 0,
  }
  const respond = async <T>(code: ErrorCode, health: Health, good: () => T, signal: AbortSignal): Promise<T> => {
    if (health === 'hangs')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(timedOut(code))))
    await wait(latencyMs, signal)
    if (typeof health === 'string') return good()
    const [reason, retryAfter] = health
    throw new BrokerError(code, 'unavailable', { reason, ...(retryAfter !== undefined && { retryAfter }) })
  }
  const exchange = async ({ tenant: id }: Grant, signal: AbortSignal): Promise<IssuedToken> => {
    world.exchanges.push({ tenant: id, at: clock.monotonic() })
    world.mostRunning = Math.max(world.mostRunning, ++world.running)
    const health = world.tenants.get(id) ?? world.entra
    const good = () => ({ token: 'token', expiresIn: 3600 })
    return respond('upstream_unavailable', health, good, signal).finally(() => world.running--)
  }
  const assertions = createAssertionCache(
    signal => {
      const good = () => ({ token: 'assertion', expiresAt: clock.now() + 86_400_000 })
      return respond('identity_unavailable', world.identity, good, signal)
    },
    { clock, random, wait, timeoutMs: timeoutMs * identityShare, fetched: () => undefined },
  )
  const circuit = createCircuit({ clock })
  const hedges = new Hedges()
  const source = withRetries(
    async (grant, signal) => {
      await assertions.get(signal)
      return hedged(own => exchange(grant, own), hedgeAfterMs, signal, wait, hedges)
    },
    { clock, wait, random, timeoutMs, circuit },
  )
  const cache = createCache(source, {
    clock,
    random,
    wait,
    timeoutMs,
    maxEntries: 20_000,
    minRemainingSeconds: 60,
    concurrency: 64,
    charge,
    admits: circuit.admits,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  return Object.assign(world, { cache, circuit })
}

const timedOut = (code: ErrorCode) => new BrokerError<ErrorCode>(code, 'timed out', { reason: 'timeout' })

export type RecoveryWorld = ReturnType<typeof recoveryWorld>

/** A client that requests a key again and again, one request at a time. */
export interface Client {
  readonly grant: Grant
  /** When it first got a token, in monotonic milliseconds. */
  servedAt: number | undefined
  /** Its requests that failed: how long each took, in milliseconds. */
  readonly waits: number[]
  waiting: boolean
}

/** One client for each of the grants. */
export const clientsFor = (grants: readonly Grant[]): Client[] =>
  grants.map(grant => ({ grant, servedAt: undefined, waits: [], waiting: false }))

/** Lets time pass in steps. At each, every client requests its key, unless it waits for a response or has a token. */
export async function poll(world: RecoveryWorld, clients: readonly Client[], ms: number, stepMs = 250): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    for (const client of clients) if (!client.waiting && client.servedAt === undefined) void request(world, client)
    await world.pass(stepMs)
  }
}

/** One request of a client. */
export async function request({ cache, clock }: RecoveryWorld, client: Client): Promise<void> {
  const began = clock.monotonic()
  client.waiting = true
  try {
    await cache.get(client.grant, 0)
    client.servedAt = clock.monotonic()
  } catch {
    client.waits.push(clock.monotonic() - began)
  } finally {
    client.waiting = false
  }
}
