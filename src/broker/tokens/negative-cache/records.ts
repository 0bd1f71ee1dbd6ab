import type { BrokerError } from '../../../errors.ts'
import type { FailureLevel } from '../../../reasons/row.ts'
import type { FetchFilter } from '../../events.ts'
import { type FetchTarget, withSecondsLeft } from './negative-cache-rules.ts'

/** A cached failure of one application, of one application in one tenant, or of one key. */
export interface CachedFailure {
  readonly level: FailureLevel
  readonly clientId: string
  /** `undefined` at the level `application`, and for a token of the application itself. */
  readonly agentId: string | undefined
  /** `undefined` at the level `application`: the failure is served for all tenants. */
  readonly tenant: string | undefined
  /** Only at the level `key`. */
  readonly scope: string | undefined
  /** Without its cause. */
  readonly error: BrokerError
  /** Consecutive failures. */
  readonly failures: number
  /** When the first of them occurred, in monotonic milliseconds. */
  readonly since: number
  /** A sequence number, in one order with those of {@link Attempt}. A newer failure has a greater one. */
  readonly order: number
  /** Monotonic milliseconds. Before, no fetch is made. Afterwards one fetch at a time is made, the probe. */
  readonly until: number
}

/** A fetch that is under way. */
export interface Attempt {
  readonly target: FetchTarget
  readonly longestBackOff: number | undefined
  /** Whether it was made in spite of the cached failure of its key, as the probe of an outage. */
  readonly early: boolean
  /** A sequence number, in one order with those of {@link FailureRecord}. */
  readonly order: number
  /** The failures that it is the probe of. */
  readonly probes: readonly FailureRecord[]
}

/** A cached failure, and what is known about its next probe. */
export interface FailureRecord extends CachedFailure {
  error: BrokerError
  until: number
  /** When a fetch last failed with it, in monotonic milliseconds. */
  failedAt: number
  probe: { readonly by: Attempt; readonly until: number } | undefined
  /** How often the success of another key ended the failures in a row before this one. */
  readonly recoveries: number
  /** Whether the success of another key has ended this one. */
  recovered: boolean
}

/**
 * Returns the key of a failure within its level. An agent identity exists in one tenant, and its failures there say nothing
 * about the application itself or about its other agent identities.
 */
export const cacheKeys: Readonly<Record<FailureLevel, (target: FetchTarget) => string>> = {
  application: ({ clientId }) => clientId,
  tenant: ({ clientId, agentId, tenant }) =>
    agentId === undefined ? `${clientId} ${tenant}` : `${clientId} ${agentId} ${tenant}`,
  key: ({ key }) => key,
}

/**
 * For so many milliseconds after the period of a time-out, a request still gets the cached failure at once, and the fetch
 * that it causes is made in the background: a client that repeats its request waits for one time-out, not for one each
 * time. Longer than any pause of an SDK.
 */
export const inBackgroundMs = 30_000

/** Whether a fetch that the failure affects gets the cached failure now. */
export const isInForce = (record: FailureRecord, now: number): boolean =>
  now < record.until || isProbed(record, now) || (isRetriedInBackground(record) && now < record.until + inBackgroundMs)

/** Whether the probe of a failure is under way. */
export const isProbed = ({ probe }: FailureRecord, now: number): boolean => probe !== undefined && now < probe.until

/**
 * Callers wait again once the upstream has served another key since the time-out. But if the next fetch hung all the same,
 * the tenant has a problem of its own.
 */
const isRetriedInBackground = ({ error, recovered, recoveries }: FailureRecord): boolean =>
  error.handling.outage === 'hanging' && (!recovered || recoveries > 0)

/** The error as it is served now. A record has one error object, which is replaced when the remaining seconds change. */
export function currentError(record: FailureRecord, now: number): BrokerError {
  record.error = withSecondsLeft(record.error, record.until - now)
  return record.error
}

/**
 * Whether a token, a fetch or a cached failure matches a filter. A field that is absent, on either side, stands for all
 * values, except for an agent identity: without one, a token is that of the application itself. Only a failure of a whole
 * application, which has no tenant, is one of its agent identities too.
 */
export const matches = (candidate: FetchFilter, filter: FetchFilter): boolean =>
  (['clientId', 'tenant', 'scope'] as const).every(
    field => filter[field] === undefined || candidate[field] === undefined || filter[field] === candidate[field],
  ) &&
  (filter.agentId === undefined || filter.agentId === candidate.agentId || candidate.tenant === undefined)
