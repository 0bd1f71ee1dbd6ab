import { asBrokerError } from '../../../errors.ts'
import { noResponse } from '../cache-errors.ts'
import type { CachedToken } from '../cached-token.ts'
import { withDeadline } from '../../lib/async/deadline.ts'
import { matches } from '../negative-cache/records.ts'
import type { Events, FetchFilter } from '../../events.ts'
import type { Grant } from '../../authorization/authorize.ts'
import { SharedFetch, type FetchOptions, type FetchPurpose } from './shared-fetch.ts'

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

/** What fetches need, and what is reported and charged. */
export interface SingleFlightOptions extends FetchOptions {
  /** Called for each waiting caller that gets a failure from the negative cache. */
  readonly negativeCacheHit: Events['negativeCacheHit']
  /**
   * Counts a fetch towards the limit of the caller that causes it, before the fetch is queued. Callers that join the fetch
   * are neither counted nor refused. Throws if the caller may not cause a fetch now; that error is not cached.
   */
  readonly charge?: ((grant: Grant) => void) | undefined
}

interface JoinOptions extends FetchPurpose {
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
      shared.purge()
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
    const shared = known ?? new SharedFetch(this.#options, grant, options, this.#fetches, false)
    try {
      const leave = shared.task.join(grant.caller.id, isBackground)
      known?.joined()
      return { shared, leave }
    } catch (thrown) {
      if (!known) shared.remove()
      throw thrown
    }
  }

  /** Starts a probe if the negative cache needs one now, and the caller that causes it may cause an exchange. */
  #probe(grant: Grant, newerThan: number | undefined): void {
    if (this.#fetches.has(grant.key) || this.#probes.has(grant.key)) return
    if (!this.#options.negativeCache.shouldProbe(grant, () => this.#isCharged(grant))) return
    const shared = new SharedFetch(this.#options, grant, { newerThan }, this.#probes, true)
    // Its outcome is stored: as a token, or by the negative cache.
    shared.task.result.catch(() => undefined)
    try {
      shared.task.join(grant.caller.id, true)
    } catch {
      shared.remove()
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
}
