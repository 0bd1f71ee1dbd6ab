import type { Served } from '../../broker/tokens/cache.ts'
import type { CacheOutcome } from '../../broker/events.ts'

/** The headers of every answer that holds a token (RFC 6749 §5.1, RFC 9211). */
export const tokenHeaders = ({ token, remaining }: Served, how: CacheOutcome) => ({
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
  'cache-status': cacheStatus(how, Math.floor((remaining - token.life.minRemaining) / 1000)),
})

/** Whole seconds until a served token ends. */
export const expiresIn = ({ remaining }: Served): number => Math.floor(remaining / 1000)

/** The same as a moment, in seconds since 1970. */
export const expiresOn = ({ token }: Served): number => Math.floor(token.life.endsAt / 1000)

/** Whole seconds until the broker expects to have a newer one. */
export const refreshIn = ({ token, remaining }: Served): number =>
  Math.max(0, Math.floor((remaining - token.life.dueBeforeEnd) / 1000))

/** `Cache-Status` (RFC 9211 §2). */
function cacheStatus(how: CacheOutcome, ttl: number): string {
  switch (how) {
    case 'hit':
      return `token-broker; hit; ttl=${ttl}`
    case 'due':
    case 'refresh-failed':
      return `token-broker; hit; ttl=${ttl}; detail=${how}`
    case 'miss':
      return 'token-broker; fwd=miss'
    case 'joined':
      return 'token-broker; fwd=miss; collapsed'
    case 'expired':
      return 'token-broker; fwd=stale'
    case 'request':
      return 'token-broker; fwd=request'
    default:
      return how satisfies never
  }
}
