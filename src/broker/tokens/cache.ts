import { LRUCache } from 'lru-cache'
import { asBrokerError } from '../../errors.ts'
import { overloaded, replaceOnceMs, expiredOnArrival, lifetimeUnavailable } from './cache-errors.ts'
import { createCacheInspector, type CacheInspector } from './cache-statistics.ts'
import { cachedToken, type CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import { createNegativeCache, matches, type NegativeCache } from './negative-cache.ts'
import type { FetchFilter } from '../events.ts'
import { createSingleFlight, type SingleFlight } from './single-flight.ts'
import {
  freshness,
  longestWaitMs,
  momentOf,
  planLife,
  refreshBackOffMs,
  remainingMs,
  usableMs,
  type Moment,
} from './freshness.ts'
import type { Grant } from '../authorization/authorize.ts'
import { createFairQueue } from './fair-queue.ts'
import type { CacheOutcome, Events, IssuedToken, TokenSource } from '../events.ts'

/** A token that may be handed out now. */
export interface Served {
  readonly token: CachedToken
  /** Milliseconds until the token ends. */
  readonly remaining: number
  readonly how: CacheOutcome
}

/** Tokens by application, tenant and scope. */
export interface TokenCache {
  /**
   * The token a grant stands for: at once when one is held, else as soon as the source has it. A failed fetch never
   * costs a caller a token that is valid by then. Rejects with whatever the source rejects with.
   *
   * @param minExpiresIn seconds; a held token with less life is replaced first, at most once per key and minute
   */
  readonly get: (grant: Grant, minExpiresIn: number) => Served | Promise<Served>
}

/** A cache as operators have it: they can look into it, and make it forget. */
export interface ManagedCache extends TokenCache {
  readonly view: CacheInspector
  /**
   * Forgets what matches: tokens, remembered failures, and what comes of the fetches that are under way. Tokens that were
   * handed out stay valid. Returns how many tokens were dropped.
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
  /** Milliseconds that a caller waits at most, whatever hangs. */
  readonly timeoutMs: number
  /** Fetches at once. */
  readonly concurrency: number
  readonly events: Pick<Events, 'refreshed' | 'negativeCacheHit'>
  /** Counts a fetch against the one who causes it; throws where it must not be made. */
  readonly charge?: (grant: Grant) => void
}

/**
 * A bounded LRU over a token source, with one fetch per key at a time, a limit to fetches at once that is fair to callers,
 * and a memory of failures. It has no timers: a key that nobody asks for is not refreshed and leaves by age.
 *
 * @param source settles within `timeoutMs`, or when its signal aborts
 */
export function createCache(source: TokenSource, options: CacheOptions): ManagedCache {
  return new LruTokenCache(source, options)
}

class LruTokenCache implements ManagedCache {
  readonly view: CacheInspector
  readonly #options: CacheOptions
  readonly #tokens: LRUCache<string, CachedToken>
  readonly #singleFlight: SingleFlight
  readonly #negativeCache: NegativeCache
  /** Key → monotonic milliseconds of the last fetch that `min_expires_in` caused. */
  readonly #lastReplaced: LRUCache<string, number>
  /** Tokens whose last refresh failed and that were asked for since it did first. */
  readonly #atRisk = new Set<CachedToken>()
  /** Tokens in the order in which they were fetched, by their ids. */
  readonly #order = new Map<number, CachedToken>()
  #fetched = 0
  #evictions = 0

  constructor(source: TokenSource, options: CacheOptions) {
    this.#options = options
    this.#tokens = new LRUCache({
      max: options.maxEntries,
      dispose: (token, _key, reason) => {
        this.#atRisk.delete(token)
        this.#order.delete(token.id)
        if (reason === 'evict') this.#evictions++
      },
    })
    this.#lastReplaced = new LRUCache({ max: options.maxEntries })
    const turns = createFairQueue({ limit: options.concurrency, overloaded })
    this.#negativeCache = createNegativeCache(options)
    this.#singleFlight = createSingleFlight({
      ...options,
      source,
      queue: turns,
      negativeCache: this.#negativeCache,
      store: this.#store,
      negativeCacheHit: options.events.negativeCacheHit,
    })
    this.view = createCacheInspector({
      tokens: this.#tokens,
      order: this.#order,
      fetching: this.#singleFlight.size,
      load: turns.load,
      failures: this.#negativeCache.all,
      atRisk: this.#atRisk,
      evictions: () => this.#evictions,
      clock: options.clock,
    })
  }

  get = (grant: Grant, minExpiresIn: number): Served | Promise<Served> => {
    const held = this.#tokens.get(grant.key)
    if (held === undefined) return this.#fetch(grant, 'miss', minExpiresIn)
    const moment = momentOf(this.#options.clock)
    const remaining = remainingMs(held.life, moment)
    const state = freshness(held.life, remaining)
    if (state === 'expired') return this.#fetch(grant, 'expired', minExpiresIn)
    if (remaining < minExpiresIn * 1000) return this.#replace(grant, remaining, minExpiresIn, moment)
    if (state === 'fresh') return { token: held, remaining, how: 'hit' }
    this.#refresh(grant, held, moment)
    if (held.failure === undefined) return { token: held, remaining, how: 'due' }
    this.#atRisk.add(held)
    return { token: held, remaining, how: 'refresh-failed' }
  }

  async #fetch(grant: Grant, cause: 'miss' | 'expired' | 'request', minExpiresIn: number): Promise<Served> {
    const how = this.#singleFlight.has(grant.key) ? 'collapsed' : cause
    const before = this.#tokens.peek(grant.key)
    try {
      const token = await this.#singleFlight.wait(grant)
      const remaining = this.#remaining(token)
      if (remaining < minExpiresIn * 1000) throw lifetimeUnavailable(remaining)
      return { token, remaining, how }
    } catch (thrown) {
      // Whoever waits for a fetch that was forgotten may see another caller's, which began later, end first.
      const newer = this.#tokens.peek(grant.key)
      if (newer === undefined || newer === before || this.#isExpired(newer)) throw thrown
      const remaining = this.#remaining(newer)
      if (remaining < minExpiresIn * 1000) throw thrown
      return { token: newer, remaining, how: 'collapsed' }
    }
  }

  async #replace(grant: Grant, remaining: number, minExpiresIn: number, moment: Moment): Promise<Served> {
    const last = this.#lastReplaced.get(grant.key)
    const isFirst = !this.#singleFlight.has(grant.key)
    if (isFirst) {
      const wait = last === undefined ? 0 : last + replaceOnceMs - moment.monotonic
      if (wait > 0) throw lifetimeUnavailable(remaining, Math.ceil(wait / 1000))
    }
    const fetching = this.#fetch(grant, 'request', minExpiresIn)
    // What is refused before anybody is asked must not use up the minute of others.
    if (isFirst && this.#singleFlight.has(grant.key)) this.#lastReplaced.set(grant.key, moment.monotonic)
    try {
      return await fetching
    } catch (thrown) {
      const error = asBrokerError(thrown)
      if (error.code === 'rate_limited') throw error
      throw error.parts.availableExpiresIn === undefined
        ? lifetimeUnavailable(remaining, error.retryAfter, error)
        : error
    }
  }

  purge = (filter: FetchFilter): number => {
    const dropped = [...this.#tokens.values()].filter(token => matches(token, filter))
    for (const { key } of dropped) {
      this.#tokens.delete(key)
      this.#lastReplaced.delete(key)
    }
    this.#singleFlight.purge(filter)
    this.#negativeCache.purge(filter)
    return dropped.length
  }

  #refresh(grant: Grant, held: CachedToken, { monotonic }: Moment): void {
    if (monotonic < held.refreshNotBefore || this.#singleFlight.has(grant.key)) return
    const { clock, events } = this.#options
    this.#singleFlight.inBackground(grant, longestWaitMs(this.#usable(held))).then(
      token => events.refreshed(grant, token === held ? 'not_yet' : 'replaced'),
      (thrown: unknown) => {
        const error = asBrokerError(thrown)
        // One caller's limit is no trouble of the token's: the next caller may refresh it.
        if (error.code === 'rate_limited') return
        held.failure = { error, at: clock.now() }
        this.#postpone(held)
        events.refreshed(grant, 'failed', error)
      },
    )
  }

  #postpone(held: CachedToken): void {
    held.failedRefreshes++
    const wait = refreshBackOffMs(held.failedRefreshes, this.#usable(held), this.#options.random)
    held.refreshNotBefore = this.#options.clock.monotonic() + wait
  }

  #store = (grant: Grant, issued: IssuedToken, asked: Moment, keep: boolean): CachedToken => {
    const { random, minRemainingSeconds } = this.#options
    const fetched = cachedToken(++this.#fetched, grant, issued, planLife(issued, asked, minRemainingSeconds, random))
    if (this.#isExpired(fetched)) throw expiredOnArrival()
    return keep ? this.#put(fetched) : fetched
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

  /** Keeps the token that lives longer: what a refresh brought without a later end counts as "not yet". */
  #put(fetched: CachedToken): CachedToken {
    const held = this.#tokens.peek(fetched.key)
    if (
      held &&
      !this.#isExpired(held) &&
      held.life.endsAtMonotonic >= fetched.life.endsAtMonotonic &&
      held.life.endsAt >= fetched.life.endsAt
    ) {
      held.failure = undefined
      this.#atRisk.delete(held)
      this.#postpone(held)
      return held
    }
    this.#tokens.set(fetched.key, fetched)
    this.#order.set(fetched.id, fetched)
    return fetched
  }
}
