import type { BrokerError } from '../../errors.ts'
import { fingerprint } from '../lib/fingerprint.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { Life } from './freshness.ts'
import type { IssuedToken, TokenFacts } from '../events.ts'

/** A token that is held, and how its replacement goes. One object per fetched token. */
export interface CachedToken extends TokenFacts {
  /** Where it is in the cache, and what the key is made of: see {@link Grant}. */
  readonly key: string
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  /** Counts the fetched tokens of a cache, from 1. */
  readonly id: number
  readonly life: Life
  /** Refreshes in a row that brought nothing newer: failed, or "not yet". */
  failedRefreshes: number
  /** Why the last refresh failed, and when (milliseconds since 1970); `undefined` once one succeeded. */
  failure: { readonly error: BrokerError; readonly at: number } | undefined
  /** Monotonic milliseconds before which no refresh is tried. */
  refreshNotBefore: number
}

/** A token that was just issued, as the cache keeps it: with no failed refresh yet. */
export const cachedToken = (id: number, grant: Grant, issued: IssuedToken, life: Life): CachedToken => ({
  id,
  key: grant.key,
  clientId: grant.clientId,
  tenant: grant.tenant,
  scope: grant.scope,
  token: issued.token,
  fingerprint: fingerprint(issued.token),
  traceId: issued.traceId,
  correlationId: issued.correlationId,
  life,
  failedRefreshes: 0,
  failure: undefined,
  refreshNotBefore: Number.NEGATIVE_INFINITY,
})
