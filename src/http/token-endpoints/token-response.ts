import type { Served } from '../../broker/tokens/cached-token.ts'
import { expiresInSeconds, expiresOnSeconds, refreshInSeconds, usableSeconds } from '../../broker/tokens/freshness.ts'
import type { CacheOutcome } from '../../broker/events.ts'

/** The headers of every response with a token (RFC 6749 §5.1, RFC 9211). */
export const tokenHeaders = ({ token, remaining }: Served, how: CacheOutcome) => ({
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'cache-status': cacheStatus(how, usableSeconds(token.life, remaining)),
})

/** Whole seconds until a served token expires. */
export const expiresIn = ({ remaining }: Served): number => expiresInSeconds(remaining)

/** When a served token expires, in seconds since 1970. */
export const expiresOn = ({ token }: Served): number => expiresOnSeconds(token.life)

/** Whole seconds until the broker expects to have a newer token. */
export const refreshIn = ({ token, remaining }: Served): number => refreshInSeconds(token.life, remaining)

/** `Cache-Status` (RFC 9211 §2). `ttl`: seconds for which the token is still served. */
export function cacheStatus(how: CacheOutcome, ttl: number | string): string {
  switch (how) {
    case 'hit':
      return `token-broker; hit; ttl=${ttl}`
    case 'due':
    case 'refresh-failed':
      return `token-broker; hit; ttl=${ttl}; detail=${how}`
    case 'miss':
      return 'token-broker; fwd=miss'
    case 'collapsed':
      return 'token-broker; fwd=miss; collapsed'
    case 'expired':
      return 'token-broker; fwd=stale'
    case 'request':
      return 'token-broker; fwd=request'
    case 'shared':
      return 'token-broker; fwd=miss, token-broker-shared; hit'
    default:
      return how satisfies never
  }
}
