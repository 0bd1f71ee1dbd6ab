import { createCache, type CacheOptions } from '../../../src/broker/tokens/cache.ts'
import type { Served } from '../../../src/broker/tokens/cached-token.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

/** A failure such as Entra's 503. */
export const unavailable = () =>
  new BrokerError('upstream_unavailable', 'unavailable', { reason: 'status', retryAfter: 7 })

/** Lets all pending promises settle. */
export const settled = () => new Promise(resolve => setImmediate(resolve))

/** Whether the cache served a token without waiting. */
export const atOnce = (served: Served | Promise<Served>): served is Served => !(served instanceof Promise)

/** What a test's source does next: it issues a token with these fields, or fails. */
export type Next = Partial<IssuedToken> | Error

/**
 * A cache over a source that issues numbered tokens of an hour; `next` changes that. After `hold()` fetches hang until
 * `release()`.
 */
export function cacheWorld(options: Partial<CacheOptions> = {}) {
  const clock = movableClock()
  const fetched: Grant[] = []
  const failures: BrokerError[] = []
  const world = { next: {} as Next, random: 0.5 }
  let gate: PromiseWithResolvers<void> | undefined
  const source: TokenSource = async grant => {
    fetched.push(grant)
    const token = `token-${fetched.length}`
    await gate?.promise
    if (world.next instanceof Error) throw world.next
    return { token, expiresIn: 3600, ...world.next }
  }
  const cache = createCache(source, {
    clock,
    random: () => world.random,
    maxEntries: 100,
    minRemainingSeconds: 60,
    timeoutMs: 5000,
    concurrency: 64,
    events: {
      refreshed: (_, _outcome, error) => void (error && failures.push(error)),
      negativeCacheHit: () => undefined,
    },
    ...options,
  })
  return {
    clock,
    cache,
    /** The grants for which the source was called, in order. */
    fetched,
    /** The failures of background refreshes that were reported. */
    failures,
    world,
    /** Returns a function that releases the fetches of this hold only. */
    hold: () => {
      const held = Promise.withResolvers<void>()
      gate = held
      return held.resolve
    },
    release: () => {
      gate?.resolve()
      gate = undefined
    },
    /** The outcome of the cache, and the token. */
    get: async (grant = grantFor(), minExpiresIn = 0) => {
      const { token, how } = await cache.get(grant, minExpiresIn)
      return `${how} ${token.token}`
    },
  }
}
