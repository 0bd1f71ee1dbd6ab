import type { BrokerError } from '../../errors.ts'
import { fingerprint } from '../lib/fingerprint.ts'
import type { FetchFilter } from './negative-cache.ts'
import type { Life } from './freshness.ts'
import type { IssuedToken, TokenFacts } from '../events.ts'

/** A token that is held, and how its replacement goes. One object per fetched token. */
export interface CachedToken extends TokenFacts {
  /** Counts the fetched tokens of a cache, from 1. */
  readonly id: number
  readonly life: Life
  /** Refreshes in a row that brought nothing newer: failed, or "not yet". */
  vainRefreshes: number
  /** Why the last refresh failed, and when (milliseconds since 1970); `undefined` once one succeeded. */
  failure: { readonly error: BrokerError; readonly at: number } | undefined
  /** Monotonic milliseconds before which no refresh is tried. */
  refreshNotBefore: number
}

export const cachedToken = (id: number, issued: IssuedToken, life: Life): CachedToken => ({
  id,
  token: issued.token,
  fingerprint: fingerprint(issued.token),
  traceId: issued.traceId,
  correlationId: issued.correlationId,
  life,
  vainRefreshes: 0,
  failure: undefined,
  refreshNotBefore: Number.NEGATIVE_INFINITY,
})

/** What a key is made of; see `Grant.key`. */
export function placeOf(key: string): { readonly [P in keyof FetchFilter]-?: string } {
  const [clientId = '', tenant = '', scope = ''] = key.split(' ')
  return { clientId, tenant, scope }
}
