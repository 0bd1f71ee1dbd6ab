import type { Grant } from '../authorization/authorize.ts'
import type { Events, FetchFilter, PurgeReach, TokenSource } from '../events.ts'
import type { Clock, Wait } from '../lib/clock.ts'
import type { Spans } from '../lib/spans.ts'
import { BackgroundRefresh } from './background-refresh.ts'
import { AwaitedFetch } from './awaited-fetch.ts'
import { expiredOnArrival, overloaded } from './cache-errors.ts'
import { createCacheInspector, type CacheInspector } from './cache-statistics.ts'
import { cachedToken, type CachedToken, type Served } from './cached-token.ts'
import { asBrokerError } from '../../errors.ts'
import { createFairQueue } from './fair-queue/fair-queue.ts'
import { freshness, livesLonger, momentOf, planLife, remainingMs, usableMs, type Moment } from './freshness.ts'
import { LimitedTenants } from './negative-cache/limited-tenants.ts'
import { createNegativeCache, type NegativeCache } from './negative-cache/negative-cache.ts'
import { matches } from './negative-cache/records.ts'
import type { FetchedToken, SecondLevel } from './second-level.ts'
import { SharedTokens } from './shared-tokens.ts'
import { createSingleFlight, type SingleFlight } from './single-flight/single-flight.ts'
import { TokenStore } from './token-store.ts'

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
   * Drops the tokens and the cached failures of this replica that match, and the results of matching fetches that are under
   * way: callers who wait for them get the result, but it is not stored. Issued tokens stay valid.
   *
   * @returns the number of dropped tokens
   */
  readonly purge: (filter: FetchFilter) => number
  /** Does the same on all replicas that share the second level, if there is one. Does not reject. */
  readonly purgeEverywhere: (filter: FetchFilter) => Promise<Purged>
}

/** What a purge did. */
export interface Purged {
  /** The number of tokens that this replica dropped. */
  readonly dropped: number
  /** How many replicas it reached; `undefined` without a second level. */
  readonly reach: PurgeReach | undefined
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
  /** Notes which requests share a fetch. Default: nothing is traced. */
  readonly spans?: Spans
  /** The largest number of fetches at once. Half of it while the second level is unavailable: others make the same ones. */
  readonly concurrency: number
  readonly events: Pick<Events, 'refreshed' | 'negativeCacheHit'>
  /** Counts a fetch towards the limit of the caller that causes it. Throws if that caller may not cause one now. */
  readonly charge?: (grant: Grant) => void
  /** Called with the filter of each purge, of other replicas too: the source forgets what it keeps of its own. */
  readonly purged?: (filter: FetchFilter) => void
  /** Whether a request for this tenant would be sent to the source now. Default: always. */
  readonly admits?: (tenant: string) => boolean
  /** A store that this replica shares with others. Absent: it has its own tokens only. */
  readonly secondLevel?: SecondLevel | undefined
}

/**
 * Creates a cache over a token source: a bounded LRU, one fetch per key at a time, a limit to concurrent fetches that is
 * fair to callers, and a negative cache. With a second level, a token that is not in memory, or is due, is looked up there
 * before it is fetched. It has no timers: a key that is not requested is not refreshed.
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
  readonly #sharedTokens: SharedTokens | undefined
  readonly #singleFlight: SingleFlight
  readonly #negativeCache: NegativeCache
  readonly #limitedTenants = new LimitedTenants()
  readonly #awaitedFetch: AwaitedFetch
  readonly #backgroundRefresh: BackgroundRefresh
  /** Fetched tokens so far: the last {@link CachedToken.id}. */
  #fetched = 0

  constructor(source: TokenSource, options: CacheOptions) {
    const { maxEntries, concurrency, events, secondLevel } = options
    this.#options = options
    this.#tokens = new TokenStore(maxEntries)
    this.#negativeCache = createNegativeCache(options)
    const store = (grant: Grant, found: FetchedToken) => this.#store(grant, found, momentOf(options.clock), true)
    this.#sharedTokens = secondLevel && new SharedTokens({ ...options, secondLevel, store })
    const alone = Math.ceil(concurrency / 2)
    const limit = (): number => (secondLevel?.isAvailable() === false ? alone : concurrency)
    const queue = createFairQueue({ limit, overloaded })
    this.#singleFlight = createSingleFlight({
      ...options,
      source: this.#sharedTokens?.source(source) ?? source,
      queue,
      negativeCache: this.#negativeCache,
      charge: this.#charge,
      store: this.#store,
      negativeCacheHit: events.negativeCacheHit,
    })
    const fetching = {
      ...options,
      tokens: this.#tokens,
      singleFlight: this.#singleFlight,
      sharedTokens: this.#sharedTokens,
    }
    this.#awaitedFetch = new AwaitedFetch(fetching)
    this.#backgroundRefresh = new BackgroundRefresh({ ...fetching, refreshed: events.refreshed })
    this.view = createCacheInspector({
      tokens: this.#tokens,
      fetching: this.#singleFlight.size,
      load: queue.load,
      failures: this.#negativeCache.all,
      limited: () => this.#limitedTenants.all(options.clock.monotonic()),
      clock: options.clock,
    })
    secondLevel?.observePurges(this.purge)
  }

  get = (grant: Grant, minExpiresIn: number): Served | Promise<Served> => {
    const token = this.#tokens.get(grant.key)
    if (token === undefined) return this.#awaitedFetch.obtain(grant, 'miss', minExpiresIn)
    const moment = momentOf(this.#options.clock)
    const current = this.#options.secondLevel?.untilCurrent(moment.monotonic)
    if (current !== undefined) return current.then(() => this.get(grant, minExpiresIn))
    const remaining = remainingMs(token.life, moment)
    const state = freshness(token.life, remaining)
    if (state === 'expired') return this.#awaitedFetch.obtain(grant, 'expired', minExpiresIn)
    if (remaining < minExpiresIn * 1000) {
      return this.#awaitedFetch.replace(grant, token, remaining, minExpiresIn)
    }
    if (state === 'fresh') return { token, remaining, how: 'hit' }
    this.#backgroundRefresh.start(grant, token, moment)
    if (token.failure === undefined) return { token, remaining, how: 'due' }
    this.#tokens.markAtRisk(token)
    return { token, remaining, how: 'refresh-failed' }
  }

  /** Counts a fetch towards the limits. @throws BrokerError what `charge` throws */
  #charge = (grant: Grant): void => {
    try {
      this.#options.charge?.(grant)
    } catch (thrown) {
      const error = asBrokerError(thrown)
      if (error.parts.limit?.what === 'tenant') {
        this.#limitedTenants.add(grant, error, this.#options.clock.monotonic())
      }
      throw error
    }
  }

  /** Stores what a fetch returned, unless the cached token lives as long: then that one stays ("not yet"). */
  #store = (grant: Grant, issued: FetchedToken, requestedAt: Moment, isCurrent: boolean): CachedToken => {
    const { clock, random, minRemainingSeconds } = this.#options
    // With `issuedAt`, the life is not counted from the moment of the request.
    const known = issued.issuedAt === undefined ? requestedAt : momentOf(clock)
    const life = planLife(issued, known, minRemainingSeconds, random)
    const fetched = cachedToken(++this.#fetched, grant, issued, life)
    if (this.#isExpired(fetched)) throw expiredOnArrival()
    if (!isCurrent) return fetched
    const cached = this.#tokens.peek(grant.key)
    if (cached === undefined || this.#isExpired(cached) || livesLonger(life, cached.life)) {
      this.#tokens.set(fetched)
      return fetched
    }
    cached.failure = undefined
    cached.newestIssuedAt = newest(cached.newestIssuedAt, fetched.newestIssuedAt)
    this.#tokens.clearAtRisk(cached)
    this.#backgroundRefresh.postpone(cached)
    return cached
  }

  purge = (filter: FetchFilter): number => this.#drop(filter, () => true)

  purgeEverywhere = async (filter: FetchFilter): Promise<Purged> => {
    const dropped = this.purge(filter)
    const reach = await this.#options.secondLevel?.purge(filter)
    // Until the store knew of the purge, it could still return what is being purged. What was exchanged here since then is
    // newer and stays.
    if (reach !== undefined) this.#drop(filter, token => token.isShared)
    return { dropped, reach }
  }

  #drop(filter: FetchFilter, includes: (token: CachedToken) => boolean): number {
    const matching = [...this.#tokens.byId.values()].filter(token => matches(token, filter) && includes(token))
    for (const token of matching) {
      this.#tokens.delete(token)
      this.#awaitedFetch.forget(token.key)
    }
    this.#sharedTokens?.purge(filter)
    this.#singleFlight.purge(filter)
    this.#negativeCache.purge(filter)
    this.#limitedTenants.purge(filter)
    this.#options.purged?.(filter)
    return matching.length
  }

  #isExpired({ life }: CachedToken): boolean {
    return usableMs(life, momentOf(this.#options.clock)) <= 0
  }
}

const newest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)
