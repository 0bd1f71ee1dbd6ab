import { BrokerError, errorTable, type ErrorCode } from '../../errors.ts'

/** What a fetch is for: a `Grant` is one. */
export interface FetchTarget {
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  /** The key under which its token is cached. */
  readonly key: string
}

/** Whose trouble a failure is: everything of an application, all it wants of one tenant, or one key. */
export type FailureLevel = 'application' | 'tenant' | 'key'

/** All of them, the widest first. */
export const levels: readonly FailureLevel[] = ['application', 'tenant', 'key']

/** Where failures are remembered, by code. What is not listed is remembered nowhere, or by whoever made it. */
const levelByCode: Readonly<Partial<Record<ErrorCode, FailureLevel>>> = {
  federation_misconfigured: 'application',
  consent_required: 'tenant',
  upstream_rejected: 'key',
  upstream_invalid: 'key',
  upstream_unavailable: 'key',
}

/** The reason of what another broker refused: it has a memory of its own, and knows whose trouble it is. */
export const parentReason = 'broker'

/** Reasons of `upstream_unavailable` that are no answer, and no silence, of the upstream. */
const notUpstream = new Set(['min_expires_in', 'circuit_open', 'withdrawn'])

/**
 * AADSTS codes that speak of more, or of less, than others of their class
 * (https://learn.microsoft.com/entra/identity-platform/reference-error-codes): there is no such tenant, whatever the
 * scope; and consent that is missing for one resource, which is not to keep the others of that tenant from anybody.
 */
const levelByUpstreamCode: ReadonlyMap<number, FailureLevel> = new Map([
  [90002, 'tenant'],
  [900023, 'tenant'],
  [65001, 'key'],
  [650056, 'key'],
  [501051, 'key'],
])

/**
 * Reasons of `federation_misconfigured` that one tenant alone can bring about: one in another cloud, and a refusal of the
 * client without a code that is known. Remembered for the whole application, they would let whoever may name any tenant
 * shut out all others.
 */
const ofOneTenant = new Set(['cloud', 'client'])

/**
 * Where a failure is remembered; `undefined`: nowhere. What another broker answered is the key's: whose trouble it is
 * beyond that, its own memory knows.
 */
export function failureLevel(error: BrokerError): FailureLevel | undefined {
  const { code, reason } = error
  if (notUpstream.has(reason)) return undefined
  if (reason === parentReason) return levelByCode[code] && 'key'
  if (ofOneTenant.has(reason)) return 'tenant'
  return refinedLevel(error) ?? levelByCode[code]
}

function refinedLevel({ code, parts }: BrokerError): FailureLevel | undefined {
  if (code !== 'upstream_rejected' && code !== 'consent_required') return undefined
  const known = parts.upstream?.codes?.find(number => levelByUpstreamCode.has(number))
  return known === undefined ? undefined : levelByUpstreamCode.get(known)
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
export function forOthers(
  { code, message, parts }: BrokerError,
  level: FailureLevel,
  target: FetchTarget,
): BrokerError {
  const { remedy, upstream, reason } = parts
  const narrower = { application: [target.tenant, target.scope], tenant: [target.scope], key: [] }[level]
  const tells = remedy !== undefined && !narrower.some(name => remedy.includes(name))
  return new BrokerError(code, message, {
    ...(tells && { remedy }),
    ...(upstream && { upstream }),
    ...(reason !== undefined && { reason }),
  })
}

/** The error with the seconds that are left, 1 or more, where waiting can help; else the error itself. */
export function withSecondsLeft(error: BrokerError, ms: number): BrokerError {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  if (!errorTable[error.code].retryable || error.retryAfter === seconds) return error
  return new BrokerError(error.code, error.message, { ...error.parts, retryAfter: seconds })
}
