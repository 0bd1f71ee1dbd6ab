import { momentOf, type Moment } from '../freshness.ts'
import { noResponse } from '../cache-errors.ts'
import type { CachedToken } from '../cached-token.ts'
import type { FairQueue, QueuedTask } from '../fair-queue/fair-queue.ts'
import type { NegativeCache } from '../negative-cache/negative-cache.ts'
import { wantedToken, type FetchedToken, type FetchSource } from '../second-level.ts'
import type { Grant } from '../../authorization/authorize.ts'
import type { Clock, Wait } from '../../lib/clock.ts'
import { withDeadline } from '../../lib/async/deadline.ts'
import { noSpans, type Spans } from '../../lib/spans.ts'

/** What fetches need: where tokens come from, where they are stored, and the limits. */
export interface FetchOptions {
  readonly source: FetchSource
  readonly clock: Clock
  readonly queue: FairQueue
  readonly negativeCache: NegativeCache
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  /** Measures that time. Default: a timer. */
  readonly wait?: Wait | undefined
  /** Notes which requests share a fetch. Default: nothing is traced. */
  readonly spans?: Spans | undefined
  /**
   * Stores a fetched token, and returns the token to serve. Throws if the fetched token cannot be served.
   *
   * @param requestedAt when the fetch started
   * @param isCurrent whether it may be stored; false after a purge
   */
  readonly store: (grant: Grant, fetched: FetchedToken, requestedAt: Moment, isCurrent: boolean) => CachedToken
}

/** What one fetch is for. */
export interface FetchPurpose {
  /** As in `Wanted`. */
  readonly newerThan?: number | undefined
  /** Milliseconds; see `run` of {@link NegativeCache}. Absent: a caller waits. */
  readonly longestBackOff?: number | undefined
}

/** A source must settle within `timeoutMs`. A fetch is abandoned so many milliseconds later if it has not. */
const graceMs = 250

/** One fetch, for all callers that wait for it. It is found by its key in `place` until it settles or is purged. */
export class SharedFetch {
  readonly grant: Grant
  readonly task: QueuedTask<CachedToken>
  /** Notes that the request under way waits for the fetch, which another request caused. */
  readonly joined: () => void
  /** Whether its turn came after the negative cache had got a failure for it: then no request was sent. */
  servedFromNegativeCache = false
  readonly #options: FetchOptions
  readonly #purpose: FetchPurpose
  readonly #isProbe: boolean
  readonly #place: Map<string, SharedFetch>
  #isPurged = false

  /** @param isProbe whether it is made in spite of a cached failure. Callers do not join it, because it may hang */
  constructor(
    options: FetchOptions,
    grant: Grant,
    purpose: FetchPurpose,
    place: Map<string, SharedFetch>,
    isProbe: boolean,
  ) {
    this.#options = options
    this.grant = grant
    this.#purpose = purpose
    this.#isProbe = isProbe
    this.#place = place
    // It is a part of the request that causes it, whichever request makes it start.
    const { run, joined } = (options.spans ?? noSpans).shared(this.#fetch)
    this.joined = joined
    this.task = options.queue.task(run, this.remove)
    place.set(grant.key, this)
  }

  /** Detaches it: callers that wait still get the result, but it is not stored, and callers that come later do not join. */
  purge(): void {
    this.#isPurged = true
    this.remove()
  }

  remove = (): void => {
    if (this.#place.get(this.grant.key) === this) this.#place.delete(this.grant.key)
  }

  #fetch = async (): Promise<CachedToken> => {
    const { source, clock, negativeCache, timeoutMs, wait, store } = this.#options
    const { longestBackOff, newerThan } = this.#purpose
    const target = wantedToken(longestBackOff === undefined && !this.#isProbe, newerThan)
    const requestedAt = momentOf(clock)
    let isShared = false
    this.servedFromNegativeCache = true
    const fetch = async (): Promise<CachedToken> => {
      this.servedFromNegativeCache = false
      const fetched = await withDeadline(
        signal => source(this.grant, signal, target),
        timeoutMs + graceMs,
        () => noResponse(timeoutMs),
        wait,
      )
      isShared = fetched.isShared === true
      return store(this.grant, fetched, requestedAt, !this.#isPurged)
    }
    try {
      const how = { longestBackOff, early: this.#isProbe, isExchanged: () => !isShared }
      return await negativeCache.run(this.grant, fetch, how)
    } finally {
      this.remove()
    }
  }
}
