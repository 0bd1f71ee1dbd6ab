import { setTimeout as sleep } from 'node:timers/promises'
import type { FetchFilter, IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import type { Wait } from '../../../src/broker/lib/clock.ts'
import type { SecondLevel } from '../../../src/broker/tokens/second-level.ts'
import { connectRedis, type RedisConnection } from '../../../src/outbound/redis/connection/connection.ts'
import { noCredentials } from '../../../src/outbound/redis/connection/credentials.ts'
import type { Deadlines } from '../../../src/outbound/redis/deadlines.ts'
import type { KeyRing } from '../../../src/outbound/redis/sealing/key-ring.ts'
import { createRedisSecondLevel } from '../../../src/outbound/redis/second-level.ts'
import { until, type Closing } from '../../support/broker.ts'
import { cacheKeyLine, ringOf } from '../../support/cache-keys.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock, type MovableClock } from '../../support/clock.ts'

/** One replica of a fleet: a second level on the Redis of the test. */
export interface TestReplica {
  readonly name: string
  readonly level: SecondLevel
  /** Purges of other replicas, as they arrived. */
  readonly purges: readonly FetchFilter[]
  /** Events, as words: `hit`, `lease won`, `down`. */
  readonly events: readonly string[]
  /** Replaces its key ring. */
  readonly useRing: (ring: KeyRing) => void
  readonly clock: MovableClock
  /** Monotonic milliseconds, and a jump of them: as if the process had been stopped. */
  readonly monotonic: () => number
  readonly skip: (ms: number) => void
}

const silent = { info: () => undefined, warn: () => undefined }

/** Real time, since a real Redis is waited for. */
const wait: Wait = (ms, signal) => sleep(ms, undefined, { signal })

/** The key ring of replicas that name no other. */
export const commonRing = ringOf(cacheKeyLine('a'))

/** So long that a busy machine changes nothing. Only tests of what happens after a deadline use those of brokers. */
const ample: Deadlines = {
  awaitedMs: 20_000,
  backgroundMs: 20_000,
  silentMs: 20_000,
  leaseMs: 60_000,
  purgeMs: 20_000,
  confirmMs: 20_000,
}
/** Half of it is longer than any lease. */
const timeoutMs = 2 * ample.leaseMs

/** The optional parts of a replica. */
interface ReplicaParts {
  /** Comes between the replica and its connection. */
  readonly wrap?: (connection: RedisConnection) => RedisConnection
  readonly deadlines?: Partial<Deadlines>
}

/** One for all replicas: on a busy machine they start many seconds after each other, and their clocks stand still. */
export const startedAt = Date.now()

/** Starts a replica, and waits until it knows the purges so far. It ends with the test. */
export async function startReplica(
  closing: Closing,
  port: number,
  name: string,
  ring = commonRing,
  { wrap = (connection: RedisConnection) => connection, deadlines = {} }: ReplicaParts = {},
) {
  const connection = wrap(connectRedis({ host: '127.0.0.1', port, isEncrypted: false }, noCredentials, silent))
  const clock = movableClock(startedAt)
  const purges: FetchFilter[] = []
  const events: string[] = []
  let current = ring
  let skipped = 0
  const monotonic = () => performance.now() + skipped
  const level = createRedisSecondLevel({
    connection,
    ring: () => current,
    replica: name,
    report: () => ({ entries: 0, fetching: 0, atRisk: 0 }),
    // Wall time is the test's; the monotonic clock measures real waits.
    clock: { now: clock.now, monotonic },
    wait,
    events: {
      sharedLookUp: outcome => events.push(outcome),
      sharedStore: outcome => events.push(outcome),
      lease: outcome => events.push(`lease ${outcome}`),
      secondLevelChanged: isUp => events.push(isUp ? 'up' : 'down'),
      purgeReceived: () => events.push('purge'),
    },
    minRemainingSeconds: 60,
    timeoutMs,
    deadlines: { ...ample, ...deadlines },
  })
  level.observePurges(filter => purges.push(filter))
  closing.after(level.close)
  await level.start()
  await until(`${name} has read the purges`, () => level.status().isUp)
  const useRing = (next: KeyRing) => void (current = next)
  const skip = (ms: number) => void (skipped += ms)
  const replica: TestReplica = { name, level, purges, events, useRing, clock, monotonic, skip }
  return replica
}

/** Several replicas that know each other. */
export async function startReplicas(closing: Closing, port: number, ...names: readonly string[]) {
  const replicas = await Promise.all(names.map(name => startReplica(closing, port, name)))
  await until('the replicas know each other', () =>
    replicas.every(({ level }) => level.status().replicas?.length === names.length),
  )
  return replicas
}

/** What one exchange returns. Times are by the clock of the replica. */
export const issuedAt = (now: number, token: string, life: Partial<IssuedToken> = {}): IssuedToken => ({
  token,
  expiresIn: 3600,
  issuedAt: now,
  refreshAt: now + 2_700_000,
  ...life,
})

/** A source that counts its exchanges, and returns `<name>-1`, `<name>-2` … after `ms`. */
export function countedSource(replica: Pick<TestReplica, 'name' | 'clock'>, ms = 0) {
  let count = 0
  const source: TokenSource = async () => {
    count++
    const token = `${replica.name}-${count}`
    const now = replica.clock.now()
    if (ms > 0) await sleep(ms)
    return issuedAt(now, token)
  }
  return { source, count: () => count }
}

/** Requests the token of a key as the cache does: a look-up, then a fetch. Resolves to the token. */
export async function request(
  { level }: TestReplica,
  source: TokenSource,
  grant = grantFor(),
  newerThan?: number,
): Promise<string> {
  const wanted = { isAwaited: true, ...(newerThan !== undefined && { newerThan }) }
  const found = await level.lookUp(grant, wanted)
  if (found.token) return found.token.token
  const { token } = await level.fetch(grant, wanted, AbortSignal.timeout(timeoutMs), source)
  return token
}
