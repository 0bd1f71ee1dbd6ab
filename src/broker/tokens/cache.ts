import { LRUCache } from 'lru-cache'
import { asBrokerError } from '../../errors.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { CacheOutcome, Events, FetchFilter, IssuedToken, TokenSource } from '../events.ts'
import type { Clock, Wait } from '../lib/clock.ts'
import { expiredOnArrival, lifetimeUnavailable, overloaded, replaceOnceMs } from './cache-errors.ts'
import { createCacheInspector, type CacheInspector } from './cache-statistics.ts'
import { cachedToken, type CachedToken } from './cached-token.ts'
import { createFairQueue } from './fair-queue/fair-queue.ts'
import {
  freshness,
  livesLonger,
  longestWaitMs,
  momentOf,
  planLife,
  refreshBackOffMs,
  remainingMs,
  usableMs,
  type Moment,
} from './freshness.ts'
import { createNegativeCache, matches, type NegativeCache } from './negative-cache/negative-cache.ts'
import { createSingleFlight, type SingleFlight } from './single-flight.ts'
import { TokenStore } from './token-store.ts'

/** A token that the cache serves, and how it got it. */
export interface Served {
  readonly token: CachedToken
  /** Milliseconds until the token ends. */
  readonly remaining: number
  readonly how: CacheOutcome
}

/** Tokens by application, tenant and scope. */
export interface TokenCache {
  /**
   * Returns the token for a grant: at once if a valid one is cached, else when the source has issued one. A caller gets
   * an error only if no valid token is cached when its fetch fails, or if that token lives shorter than `minExpiresIn`.
   *
   * Rejects with a `BrokerError`: the source's, one from the negative cache, `overloaded`, or what `charge` throws.
   *
   * @param minExpiresIn seconds; 0: any valid token. A cached token with less life is replaced first, at most once per
   *   key and minute
   */
  readonly get: (grant: Grant, minExpiresIn: number) => Served | Promise<Served>
}

/** A cache that operators can inspect and purge. */
export interface ManagedCache extends TokenCache {
  readonly view: CacheInspector
  /**
   * Drops the tokens and the cached failures that match, and the results of matching fetches that are under way: callers
   * who wait for them get the result, but it is not stored. Issued tokens stay valid.
   *
   * @returns the number of dropped tokens
   */
  readonly purge: (filter: FetchFilter) => number
}

/** What a cache needs, and its limits. */
export interface CacheOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly maxEntries: number
  readonly minRemainingSeconds: number
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  /** Measures that time. Default: a timer. */
  readonly wait?: Wait
  /** The largest number of fetches at once. */
  readonly concurrency: number
  readonly events: Pick<Events, 'refreshed' | 'negativeCacheHit'>
  /** Counts a fetch towards the limit of the caller that causes it. Throws if that caller may not cause one now. */
  readonly charge?: (grant: Grant) => void
}

/**
 * Creates a cache over a token source: a bounded LRU, one fetch per key at a time, a limit to concurrent fetches that is
 * fair to callers, and a negative cache. It has no timers: a key that is not requested is not refreshed.
 *
 * @param source must settle within `timeoutMs`, or when its signal aborts
 */
export function createCache(source: TokenSource, options: CacheOptions): ManagedCache {
  return new LruTokenCache(source, options)
}

class LruTokenCache implements ManagedCache {
  readonly view: CacheInspector
  readonly #options: CacheOptions
  readonly #tokens: TokenStore
  readonly #singleFlight: SingleFlight
  readonly #negativeCache: NegativeCache
  /** Key → monotonic milliseconds of the last fetch that `min_expires_in` caused. */
  readonly #lastReplaced: LRUCache<string, number>
  /** Fetched tokens so far: the last {@link CachedToken.id}. */
  #fetched = 0

  constructor(source: TokenSource, options: CacheOptions) {
    this.#options = options
    this.#tokens = new TokenStore(options.maxEntries)
    this.#lastReplaced = new LRUCache({ max: options.maxEntries })
    this.#negativeCache = createNegativeCache(options)
    const queue = createFairQueue({ limit: options.concurrency, overloaded })
    this.#singleFlight = createSingleFlight({
      ...options,
      source,
      queue,
      negativeCache: this.#negativeCache,
      store: this.#store,
      negativeCacheHit: options.events.negativeCacheHit,
    })
    this.view = createCacheInspector({
      tokens: this.#tokens,
      fetching: this.#singleFlight.size,
      load: queue.load,
      failures: this.#negativeCache.all,
      clock: options.clock,
    })
  }

  get = (grant: Grant, minExpiresIn: number): Served | Promise<Served> => {
    const token = this.#tokens.get(grant.key)
    if (token === undefined) return this.#fetch(grant, 'miss', minExpiresIn)
    const moment = momentOf(this.#options.clock)
    const remaining = remainingMs(token.life, moment)
    const state = freshness(token.life, remaining)
    if (state === 'expired') return this.#fetch(grant, 'expired', minExpiresIn)
    if (remaining < minExpiresIn * 1000) return this.#replace(grant, remaining, minExpiresIn, moment)
    if (state === 'fresh') return { token, remaining, how: 'hit' }
    this.#refresh(grant, token, moment)
    if (token.failure === undefined) return { token, remaining, how: 'due' }
    this.#tokens.markAtRisk(token)
    return { token, remaining, how: 'refresh-failed' }
  }

  /** Waits for the fetch of this key, and starts it if there is none. */
  async #fetch(grant: Grant, cause: 'miss' | 'expired' | 'request', minExpiresIn: number): Promise<Served> {
    const how = this.#singleFlight.has(grant.key) ? 'collapsed' : cause
    const before = this.#tokens.peek(grant.key)
    try {
      const token = await this.#singleFlight.wait(grant)
      const remaining = this.#remaining(token)
      if (remaining < minExpiresIn * 1000) throw lifetimeUnavailable(remaining)
      return { token, remaining, how }
    } catch (thrown) {
      // After a purge, a newer fetch for the same key can finish first. If it stored a valid token, serve that one
      // instead of failing.
      const newer = this.#tokens.peek(grant.key)
      if (newer === undefined || newer === before || this.#isExpired(newer)) throw thrown
      const remaining = this.#remaining(newer)
      if (remaining < minExpiresIn * 1000) throw thrown
      return { token: newer, remaining, how: 'collapsed' }
    }
  }

  /** Fetches a token in place of a valid one that ends too soon for `min_expires_in`. */
  async #replace(grant: Grant, remaining: number, minExpiresIn: number, moment: Moment): Promise<Served> {
    const startsFetch = !this.#singleFlight.has(grant.key)
    const last = this.#lastReplaced.get(grant.key)
    const wait = last === undefined ? 0 : last + replaceOnceMs - moment.monotonic
    if (startsFetch && wait > 0) throw lifetimeUnavailable(remaining, Math.ceil(wait / 1000))
    const fetching = this.#fetch(grant, 'request', minExpiresIn)
    // The fetch may be refused before it starts (negative cache, limits, full queue): then the minute is not used up.
    if (startsFetch && this.#singleFlight.has(grant.key)) this.#lastReplaced.set(grant.key, moment.monotonic)
    try {
      return await fetching
    } catch (thrown) {
      const error = asBrokerError(thrown)
      if (error.code === 'rate_limited' || error.parts.availableExpiresIn !== undefined) throw error
      throw lifetimeUnavailable(remaining, error.retryAfter, error)
    }
  }

  /** Starts a fetch in the background for a token that is due, unless one is under way or the pause after the last one is not over. */
  #refresh(grant: Grant, token: CachedToken, { monotonic }: Moment): void {
    if (monotonic < token.refreshNotBefore || this.#singleFlight.has(grant.key)) return
    const { clock, events } = this.#options
    this.#singleFlight.inBackground(grant, longestWaitMs(this.#usable(token))).then(
      stored => events.refreshed(grant, stored === token ? 'not_yet' : 'replaced'),
      (thrown: unknown) => {
        const error = asBrokerError(thrown)
        // The limit of one caller says nothing about the token: the next caller may refresh it.
        if (error.code === 'rate_limited') return
        token.failure = { error, at: clock.now() }
        this.#postpone(token)
        events.refreshed(grant, 'failed', error)
      },
    )
  }

  /** After each refresh in a row that brought no newer token, the next one waits longer. */
  #postpone(token: CachedToken): void {
    const { clock, random } = this.#options
    token.failedRefreshes++
    token.refreshNotBefore = clock.monotonic() + refreshBackOffMs(token.failedRefreshes, this.#usable(token), random)
  }

  /** Stores what a fetch returned, unless the cached token lives as long: then that one stays ("not yet"). */
  #store = (grant: Grant, issued: IssuedToken, requestedAt: Moment, isCurrent: boolean): CachedToken => {
    const { random, minRemainingSeconds } = this.#options
    const life = planLife(issued, requestedAt, minRemainingSeconds, random)
    const fetched = cachedToken(++this.#fetched, grant, issued, life)
    if (this.#isExpired(fetched)) throw expiredOnArrival()
    if (!isCurrent) return fetched
    const cached = this.#tokens.peek(grant.key)
    if (cached === undefined || this.#isExpired(cached) || livesLonger(life, cached.life)) {
      this.#tokens.set(fetched)
      return fetched
    }
    cached.failure = undefined
    this.#tokens.clearAtRisk(cached)
    this.#postpone(cached)
    return cached
  }

  purge = (filter: FetchFilter): number => {
    const matching = [...this.#tokens.byId.values()].filter(token => matches(token, filter))
    for (const token of matching) {
      this.#tokens.delete(token)
      this.#lastReplaced.delete(token.key)
    }
    this.#singleFlight.purge(filter)
    this.#negativeCache.purge(filter)
    return matching.length
  }

  #remaining({ life }: CachedToken): number {
    return remainingMs(life, momentOf(this.#options.clock))
  }

  #usable({ life }: CachedToken): number {
    return usableMs(life, momentOf(this.#options.clock))
  }

  #isExpired(token: CachedToken): boolean {
    return this.#usable(token) <= 0
  }
}
