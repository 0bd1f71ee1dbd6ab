import { type BrokerError, errorTable } from '../../errors.ts'
import type { FailureLevel } from '../../reasons/row.ts'

/** What a fetch is for: a `Grant` is one. */
export interface FetchTarget {
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  /** The key under which its token is cached. */
  readonly key: string
}

/**
 * Where a failure is remembered; `undefined`: nowhere. The reason says so, unless Entra's AADSTS code says it better.
 */
export function failureLevel({ handling, parts }: BrokerError): FailureLevel | undefined {
  return handling.remembered === 'nowhere' ? undefined : (parts.level ?? handling.remembered)
}

/** Milliseconds for which a failure that somebody must act upon is believed: least and most. */
const periods: Readonly<Record<FailureLevel, readonly [least: number, most: number]>> = {
  application: [15_000, 30_000],
  tenant: [30_000, 60_000],
  key: [30_000, 60_000],
}

const firstBackOffMs = 1_000
const longestBackOffMs = 30_000
/** Seconds beyond which a Retry-After is not believed. */
const longestRetryAfter = 300

/**
 * Milliseconds for which nothing is tried after the nth failure in a row (from 1). Where waiting can help: Retry-After,
 * if there is one, and on top of it full jitter under 1 s, 2 s, 4 s … 30 s; else a time that depends on the level.
 *
 * @param random uniform in [0, 1)
 * @param longestBackOff milliseconds for the jitter at most, for a token that will not live until then
 */
export function failurePeriodMs(
  level: FailureLevel,
  error: BrokerError,
  failures: number,
  random: () => number,
  longestBackOff = longestBackOffMs,
): number {
  if (errorTable[error.code].retryable) {
    const told = Math.min(error.parts.retryAfter ?? 0, longestRetryAfter) * 1000
    return told + random() * Math.min(longestBackOffMs, longestBackOff, firstBackOffMs * 2 ** (failures - 1))
  }
  const [least, most] = periods[level]
  return least + random() * (most - least)
}

/**
 * An error as others may get it: without its cause, which can hold a request with its assertion, and without a remedy
 * that names the tenant or the scope it was for, where callers of others will meet it.
 */
export function forOthers(error: BrokerError, level: FailureLevel, target: FetchTarget): BrokerError {
  const { remedy, upstream, reason, level: refined } = error.parts
  const narrower = { application: [target.tenant, target.scope], tenant: [target.scope], key: [] }[level]
  const tells = remedy !== undefined && !narrower.some(name => remedy.includes(name))
  return error.withParts({
    ...(tells && { remedy }),
    ...(upstream && { upstream }),
    ...(reason !== undefined && { reason }),
    ...(refined !== undefined && { level: refined }),
  })
}

/** The error with the seconds that are left, 1 or more, where waiting can help; else the error itself. */
export function withSecondsLeft(error: BrokerError, ms: number): BrokerError {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  if (!errorTable[error.code].retryable || error.retryAfter === seconds) return error
  return error.withParts({ ...error.parts, retryAfter: seconds })
}
