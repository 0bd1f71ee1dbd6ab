import { AsyncLocalStorage } from 'node:async_hooks'
import { asBrokerError } from '../../errors.ts'
import { noResponse } from './cache-errors.ts'
import type { CachedToken } from './cached-token.ts'
import type { Clock, Wait } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import type { NegativeCache } from './negative-cache/negative-cache.ts'
import { matches } from './negative-cache/records.ts'
import type { FetchFilter } from '../events.ts'
import { momentOf, type Moment } from './freshness.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { QueuedTask, FairQueue } from './fair-queue/fair-queue.ts'
import type { Events } from '../events.ts'
import { wantedToken, type FetchedToken, type FetchSource } from './second-level.ts'

/** The fetches that are queued or under way: at most one per key, however many callers wait for it. */
export interface SingleFlight {
  /**
   * Waits for the fetch of this key, and queues one if there is none. It starts when it is the turn of one of the callers
   * that wait for it. A caller waits `timeoutMs` at most, the time in the queue included. A caller that gives up does not
   * affect the others.
   *
   * A caller that gets a failure from the negative cache waits for nothing, but may cause a probe: a fetch in the background
   * that finds out whether the upstream is well again. No caller joins a probe.
   *
   * Rejects with a `BrokerError`: the source's, a cached failure, `upstream_unavailable` after `timeoutMs`, `overloaded`, or
   * what `charge` throws.
   */
  readonly wait: (grant: Grant, options: WaitOptions) => Promise<CachedToken>
  /**
   * Queues a fetch for which no caller waits, in the queue for the background. Settles when the fetch does, and rejects
   * as {@link wait} does, but has no time limit in the queue.
   *
   * @param longestBackOff milliseconds; see `run` of {@link NegativeCache}
   * @param newerThan as in {@link Wanted}, for the fetch that is queued if there is none
   */
  readonly inBackground: (grant: Grant, longestBackOff: number, newerThan?: number) => Promise<CachedToken>
  /** Whether a fetch for this key that callers can join is queued or under way. */
  readonly has: (key: string) => boolean
  /** The number of fetches that are queued or under way. */
  readonly size: () => number
  /**
   * Detaches the matching fetches. Callers that wait for them still get the result, but it is not stored, and callers that
   * come later start a new fetch.
   */
  readonly purge: (filter: FetchFilter) => void
}

/** How a caller waits. */
export interface WaitOptions {
  /** As in {@link Wanted}, for the fetch that is queued if there is none. */
  readonly newerThan?: number | undefined
  /** How much of its time the caller has waited already, in milliseconds. Default: 0. */
  readonly spentMs?: number | undefined
  /** Whether it may cause a probe: not if a valid token is cached, which only does not suffice this caller. */
  readonly mayProbe: boolean
}

/** What fetches need: where tokens come from, where they are stored, and the limits. */
export interface SingleFlightOptions {
  readonly source: FetchSource
  readonly clock: Clock
  readonly queue: FairQueue
  readonly negativeCache: NegativeCache
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  /** Measures that time. Default: a timer. */
  readonly wait?: Wait | undefined
  /**
   * Stores a fetched token, and returns the token to serve. Throws if the fetched token cannot be served.
   *
   * @param requestedAt when the fetch started
   * @param isCurrent whether it may be stored; false after a purge
   */
  readonly store: (grant: Grant, fetched: FetchedToken, requestedAt: Moment, isCurrent: boolean) => CachedToken
  /** Called for each waiting caller that gets a failure from the negative cache. */
  readonly negativeCacheHit: Events['negativeCacheHit']
  /**
   * Counts a fetch towards the limit of the caller that causes it, before the fetch is queued. Callers that join the fetch
   * are neither counted nor refused. Throws if the caller may not cause a fetch now; that error is not cached.
   */
  readonly charge?: ((grant: Grant) => void) | undefined
}

/** A source must settle within `timeoutMs`. A fetch is abandoned so many milliseconds later if it has not. */
const graceMs = 250

interface SharedFetch {
  readonly grant: Grant
  readonly task: QueuedTask<CachedToken>
  readonly longestBackOff: number | undefined
  readonly newerThan: number | undefined
  /** Whether it is made in spite of a cached failure. Callers do not join it, because it may hang. */
  readonly isProbe: boolean
  /** Whether its turn came after the negative cache had got a failure for it: then no request was sent. */
  servedFromNegativeCache: boolean
  /** Whether it was purged after it was queued. Its token is not stored then. */
  isPurged: boolean
  /** Where it is by its key, until it settles or is purged. */
  readonly place: Map<string, SharedFetch>
}

interface JoinOptions {
  readonly newerThan?: number | undefined
  /** Absent: a caller waits. */
  readonly longestBackOff?: number | undefined
  readonly mayProbe?: boolean
}

/** Creates a single flight over a source: callers that need the same key share one fetch. */
export function createSingleFlight(options: SingleFlightOptions): SingleFlight {
  return new KeyedSingleFlight(options)
}

class KeyedSingleFlight implements SingleFlight {
  readonly #options: SingleFlightOptions
  readonly #fetches = new Map<string, SharedFetch>()
  /** Apart: a caller's fetch of the same key must not replace a probe, whose token is stored too. */
  readonly #probes = new Map<string, SharedFetch>()

  constructor(options: SingleFlightOptions) {
    this.#options = options
  }

  has = (key: string): boolean => this.#fetches.has(key)
  size = (): number => this.#fetches.size + this.#probes.size

  wait = async (grant: Grant, { newerThan, spentMs = 0, mayProbe }: WaitOptions): Promise<CachedToken> => {
    const { timeoutMs, negativeCacheHit, wait } = this.#options
    const { shared, leave } = this.#join(grant, { newerThan, mayProbe })
    try {
      return await withDeadline(
        () => shared.task.result,
        timeoutMs - spentMs,
        () => noResponse(timeoutMs),
        wait,
      )
    } catch (thrown) {
      if (shared.servedFromNegativeCache) negativeCacheHit(grant, asBrokerError(thrown))
      throw thrown
    } finally {
      leave()
    }
  }

  inBackground = async (grant: Grant, longestBackOff: number, newerThan?: number): Promise<CachedToken> =>
    this.#join(grant, { newerThan, longestBackOff }).shared.task.result

  purge = (filter: FetchFilter): void => {
    for (const shared of [...this.#fetches.values(), ...this.#probes.values()]) {
      if (!matches(shared.grant, filter)) continue
      shared.isPurged = true
      this.#remove(shared)
    }
  }

  /** @throws BrokerError a cached failure, `overloaded`, or what `charge` throws */
  #join(grant: Grant, options: JoinOptions): { shared: SharedFetch; leave: () => void } {
    const isBackground = options.longestBackOff !== undefined
    const known = this.#fetches.get(grant.key)
    if (!known) {
      const failure = this.#options.negativeCache.lookUp(grant)
      if (failure) {
        if (!isBackground) this.#options.negativeCacheHit(grant, failure)
        if (options.mayProbe === true) this.#probe(grant, options.newerThan)
        throw failure
      }
      this.#options.charge?.(grant)
    }
    const shared = known ?? this.#prepare(grant, options)
    try {
      return { shared, leave: shared.task.join(grant.caller.id, isBackground) }
    } catch (thrown) {
      if (!known) this.#remove(shared)
      throw thrown
    }
  }

  /** Starts a probe if the negative cache needs one now, and the caller that causes it may cause an exchange. */
  #probe(grant: Grant, newerThan: number | undefined): void {
    if (this.#fetches.has(grant.key) || this.#probes.has(grant.key)) return
    if (!this.#options.negativeCache.shouldProbe(grant, () => this.#isCharged(grant))) return
    const shared = this.#prepare(grant, { newerThan }, true)
    // Its outcome is stored: as a token, or by the negative cache.
    shared.task.result.catch(() => undefined)
    try {
      shared.task.join(grant.caller.id, true)
    } catch {
      this.#remove(shared)
    }
  }

  #isCharged(grant: Grant): boolean {
    try {
      this.#options.charge?.(grant)
      return true
    } catch {
      return false
    }
  }

  #prepare(grant: Grant, { newerThan, longestBackOff }: JoinOptions, isProbe = false): SharedFetch {
    const shared: SharedFetch = {
      grant,
      newerThan,
      longestBackOff,
      isProbe,
      servedFromNegativeCache: false,
      isPurged: false,
      place: isProbe ? this.#probes : this.#fetches,
      task: this.#options.queue.task(
        // It is a part of the request that causes it, whichever request makes it start.
        AsyncLocalStorage.bind(() => this.#fetch(shared)),
        () => this.#remove(shared),
      ),
    }
    shared.place.set(grant.key, shared)
    return shared
  }

  async #fetch(shared: SharedFetch): Promise<CachedToken> {
    const { source, clock, negativeCache, timeoutMs, wait, store } = this.#options
    const { grant, longestBackOff, isProbe } = shared
    const target = wantedToken(longestBackOff === undefined && !isProbe, shared.newerThan)
    const requestedAt = momentOf(clock)
    let isShared = false
    shared.servedFromNegativeCache = true
    const fetch = async (): Promise<CachedToken> => {
      shared.servedFromNegativeCache = false
      const fetched = await withDeadline(
        signal => source(grant, signal, target),
        timeoutMs + graceMs,
        () => noResponse(timeoutMs),
        wait,
      )
      isShared = fetched.isShared === true
      return store(grant, fetched, requestedAt, !shared.isPurged)
    }
    try {
      return await negativeCache.run(grant, fetch, { longestBackOff, early: isProbe, isExchanged: () => !isShared })
    } finally {
      this.#remove(shared)
    }
  }

  #remove(shared: SharedFetch): void {
    const { place, grant } = shared
    if (place.get(grant.key) === shared) place.delete(grant.key)
  }
}
