import type { BrokerError } from '../../errors.ts'
import { fingerprint } from '../lib/fingerprint.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { Life } from './freshness.ts'
import type { CacheOutcome, TokenFacts } from '../events.ts'
import type { FetchedToken } from './second-level.ts'

/** A cached token, and how its refreshes went. One object per fetched token. */
export interface CachedToken extends TokenFacts {
  /** The cache key, and the fields that it is made of: see {@link Grant}. */
  readonly key: string
  readonly clientId: string
  readonly agentId: string | undefined
  readonly tenant: string
  readonly scope: string
  /** Numbers the fetched tokens of one cache, from 1. A newer token has a greater number. */
  readonly id: number
  readonly life: Life
  /** Whether another replica made its exchange. */
  readonly isShared: boolean
  /**
   * The newest `issuedAt` of all tokens that were fetched for the key, this one included: one that does not live longer is
   * not stored, and is not looked for again. `undefined` without a second level.
   */
  newestIssuedAt: number | undefined
  /** Consecutive refreshes that failed or returned no token that lives longer. */
  failedRefreshes: number
  /** Why the last refresh failed, and when (milliseconds since 1970); `undefined` if it succeeded, or there was none. */
  failure: { readonly error: BrokerError; readonly at: number } | undefined
  /** Monotonic milliseconds. No refresh starts before. */
  refreshNotBefore: number
}

/** A token that the cache serves, and how it got it. */
export interface Served {
  readonly token: CachedToken
  /** Milliseconds until the token ends. */
  readonly remaining: number
  readonly how: CacheOutcome
}

/** Makes the cache's object of an issued token: no refresh has failed yet, and the first may start at any time. */
export const cachedToken = (id: number, grant: Grant, issued: FetchedToken, life: Life): CachedToken => ({
  id,
  key: grant.key,
  clientId: grant.clientId,
  agentId: grant.agentId,
  tenant: grant.tenant,
  scope: grant.scope,
  token: issued.token,
  fingerprint: fingerprint(issued.token),
  traceId: issued.traceId,
  correlationId: issued.correlationId,
  life,
  isShared: issued.isShared === true,
  newestIssuedAt: issued.issuedAt,
  failedRefreshes: 0,
  failure: undefined,
  refreshNotBefore: Number.NEGATIVE_INFINITY,
})
