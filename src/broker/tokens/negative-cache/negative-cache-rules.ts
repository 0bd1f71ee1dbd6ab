import { type BrokerError, errorTable } from '../../../errors.ts'
import type { FailureLevel } from '../../../reasons/row.ts'

/** What a fetch is for. A `Grant` is one. */
export interface FetchTarget {
  readonly clientId: string
  readonly agentId?: string | undefined
  readonly tenant: string
  readonly scope: string
  /** The key under which its token is cached. */
  readonly key: string
}

/**
 * Returns for what a failure is cached; `undefined`: it is not cached. The reason decides, unless the AADSTS code of the
 * error names another level.
 */
export function failureLevel({ handling, parts }: BrokerError): FailureLevel | undefined {
  return handling.cachedFor === 'nothing' ? undefined : (parts.level ?? handling.cachedFor)
}

/** How long a failure is cached that does not pass by itself, in milliseconds. */
const periods: Readonly<Record<FailureLevel, readonly [least: number, most: number]>> = {
  application: [15_000, 30_000],
  tenant: [30_000, 60_000],
  key: [30_000, 60_000],
}

const firstBackOffMs = 1_000
const longestBackOffMs = 30_000
/** A time-out is cached for so many milliseconds at least, and its back-off begins with as many more. */
const timeoutBackOffMs = 5_000
/** Seconds. A longer Retry-After counts as this. */
const longestRetryAfter = 300

/**
 * Returns for how many milliseconds a failure is cached.
 *
 * - Retryable code: `Retry-After` (up to 300 s) if there is one, plus a random part (full jitter) of 1 s, 2 s, 4 s … 30 s.
 *   The nth failure in a row doubles that part n − 1 times.
 * - A time-out of the upstream: 5 s, plus a random part of 5 s, 10 s, 20 s, 25 s, because each try makes a caller wait.
 * - Other codes: a random time that depends on the level, 15 to 30 s or 30 to 60 s. It does not grow.
 *
 * @param failures n, from 1
 * @param random uniform in [0, 1)
 * @param longestBackOff upper limit of the random part of a retryable failure, in milliseconds: a refresh must be tried
 *   again before its token expires
 */
export function failurePeriodMs(
  level: FailureLevel,
  error: BrokerError,
  failures: number,
  random: () => number,
  longestBackOff = longestBackOffMs,
): number {
  if (errorTable[error.code].retryable) {
    const longest = Math.min(longestBackOffMs, longestBackOff)
    if (error.handling.outage === 'hanging') {
      const least = Math.min(timeoutBackOffMs, longest)
      return least + random() * Math.min(longest - least, timeoutBackOffMs * 2 ** (failures - 1))
    }
    const retryAfterMs = Math.min(error.parts.retryAfter ?? 0, longestRetryAfter) * 1000
    return retryAfterMs + random() * Math.min(longest, firstBackOffMs * 2 ** (failures - 1))
  }
  const [least, most] = periods[level]
  return least + random() * (most - least)
}

/**
 * Returns the error as other callers may get it. It has no cause, because that can contain a request with its assertion.
 * It has no remedy if that names the failed tenant, agent identity or scope and the failure is also served for other ones.
 */
export function forOthers(error: BrokerError, level: FailureLevel, target: FetchTarget): BrokerError {
  const { remedy, upstream, presented, reason, level: refined } = error.parts
  const { tenant, scope, agentId } = target
  const hidden = { application: [tenant, scope, agentId], tenant: [scope], key: [] }[level]
  const isForAll = remedy !== undefined && !hidden.some(name => name !== undefined && remedy.includes(name))
  return error.withParts({
    ...(isForAll && { remedy }),
    ...(upstream && { upstream }),
    ...(presented && { presented }),
    ...(reason !== undefined && { reason }),
    ...(refined !== undefined && { level: refined }),
  })
}

/** Returns the error with the remaining time as `retryAfter`, 1 s or more; if it is not retryable, the error itself. */
export function withSecondsLeft(error: BrokerError, ms: number): BrokerError {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  if (!errorTable[error.code].retryable || error.retryAfter === seconds) return error
  return error.withParts({ ...error.parts, retryAfter: seconds })
}
