import { asBrokerError, BrokerError } from '../../errors.ts'
import type { CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { matches, type NegativeCache } from './negative-cache.ts'
import type { FetchFilter } from '../events.ts'
import { momentOf, type Moment } from './freshness.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { QueuedTask, FairQueue } from './fair-queue.ts'
import type { Events, IssuedToken, TokenSource } from '../events.ts'

/** The fetches that are under way or wait for their turn: one per key, however many ask. */
export interface SingleFlight {
  /**
   * What the source has for a grant: waits for the fetch of its key, which begins when the first caller who waits for it
   * has a turn. Settles within the time of one fetch, whatever hangs and however long the queue is; whoever gives up
   * does not disturb the others.
   *
   * Rejects with what the source rejects with, now or a short while ago; with `overloaded` where the caller's share of
   * the queue is used up.
   */
  readonly wait: (grant: Grant) => Promise<CachedToken>
  /**
   * The same for nobody: begins when the background has a turn, and settles when the fetch does.
   *
   * @param longestWait milliseconds for which its failure is remembered at most, where that passes by itself and nobody
   *   has said for how long
   */
  readonly inBackground: (grant: Grant, longestWait: number) => Promise<CachedToken>
  readonly has: (key: string) => boolean
  readonly size: () => number
  /** From now on the fetches for these are nobody's: who waits gets what comes, but it is not kept, nor waited for anew. */
  readonly purge: (filter: FetchFilter) => void
}

/** What fetches need: where tokens come from, and where they go. */
export interface SingleFlightOptions {
  readonly source: TokenSource
  readonly clock: Clock
  readonly queue: FairQueue
  readonly negativeCache: NegativeCache
  /** Milliseconds that a caller waits at most. */
  readonly timeoutMs: number
  /**
   * Makes a cached token of what came. Throws where nothing can be made of it.
   *
   * @param asked when the fetch began
   * @param keep whether it may be stored
   */
  readonly store: (grant: Grant, issued: IssuedToken, asked: Moment, keep: boolean) => CachedToken
  /** Told for each caller who waits and is answered with a failure that is remembered. */
  readonly negativeCacheHit: Events['negativeCacheHit']
  /**
   * Counts a fetch against the one who causes it, before it waits for its turn: whoever joins it is not counted, nor
   * refused for another's sake. Throws where it must not be made; nothing is remembered of that.
   */
  readonly charge?: ((grant: Grant) => void) | undefined
}

/** A source must settle in the time that callers wait; one that does not is given up so many milliseconds later. */
const graceMs = 250

interface Entry {
  readonly grant: Grant
  readonly task: QueuedTask<CachedToken>
  readonly longestWait: number | undefined
  /** Whether a failure that was remembered by then stood in its way when it had its turn. */
  servedFromNegativeCache: boolean
}

/** Fetches tokens from the source. Callers who need the same key share one fetch. */
export function createSingleFlight(options: SingleFlightOptions): SingleFlight {
  return new KeyedSingleFlight(options)
}

class KeyedSingleFlight implements SingleFlight {
  readonly #options: SingleFlightOptions
  readonly #entries = new Map<string, Entry>()

  constructor(options: SingleFlightOptions) {
    this.#options = options
  }

  has = (key: string): boolean => this.#entries.has(key)
  size = (): number => this.#entries.size

  wait = async (grant: Grant): Promise<CachedToken> => {
    const { timeoutMs, negativeCacheHit: recalled } = this.#options
    const { entry, leave } = this.#join(grant)
    try {
      return await withDeadline(
        () => entry.task.result,
        timeoutMs,
        () => noAnswer(timeoutMs),
      )
    } catch (thrown) {
      if (entry.servedFromNegativeCache) recalled(grant, asBrokerError(thrown))
      throw thrown
    } finally {
      leave()
    }
  }

  inBackground = async (grant: Grant, longestWait: number): Promise<CachedToken> =>
    this.#join(grant, longestWait).entry.task.result

  purge = (filter: FetchFilter): void => {
    for (const [key, { grant }] of this.#entries) if (matches(grant, filter)) this.#entries.delete(key)
  }

  /** @throws BrokerError a failure that is remembered, `overloaded`, what `charge` throws */
  #join(grant: Grant, longestWait?: number): { entry: Entry; leave: () => void } {
    const background = longestWait !== undefined
    const known = this.#entries.get(grant.key)
    if (!known) {
      this.#checkNegativeCache(grant, background)
      this.#options.charge?.(grant)
    }
    const entry = known ?? this.#prepare(grant, longestWait)
    try {
      return { entry, leave: entry.task.join(callerOf(grant), background) }
    } catch (thrown) {
      if (!known) this.#remove(entry)
      throw thrown
    }
  }

  #checkNegativeCache(grant: Grant, background: boolean): void {
    const failure = this.#options.negativeCache.lookUp(grant)
    if (failure === undefined) return
    if (!background) this.#options.negativeCacheHit(grant, failure)
    throw failure
  }

  #prepare(grant: Grant, longestWait: number | undefined): Entry {
    const entry: Entry = {
      grant,
      longestWait,
      servedFromNegativeCache: false,
      task: this.#options.queue.task(
        () => this.#fetch(entry),
        () => this.#remove(entry),
      ),
    }
    this.#entries.set(grant.key, entry)
    return entry
  }

  async #fetch(entry: Entry): Promise<CachedToken> {
    const { source, clock, negativeCache: memory, timeoutMs, store: land } = this.#options
    const { grant } = entry
    const asked = momentOf(clock)
    entry.servedFromNegativeCache = true
    const fetch = async (): Promise<CachedToken> => {
      entry.servedFromNegativeCache = false
      const issued = await withDeadline(
        signal => source(grant, signal),
        timeoutMs + graceMs,
        () => noAnswer(timeoutMs),
      )
      return land(grant, issued, asked, this.#entries.get(grant.key) === entry)
    }
    try {
      return await memory.run(grant, fetch, entry.longestWait)
    } finally {
      this.#remove(entry)
    }
  }

  #remove(entry: Entry): void {
    if (this.#entries.get(entry.grant.key) === entry) this.#entries.delete(entry.grant.key)
  }
}

/** Whose turns a fetch uses. */
const callerOf = ({ caller }: Grant): string => caller.id

const noAnswer = (ms: number) =>
  new BrokerError('upstream_unavailable', `Entra did not issue a token within ${ms} ms.`, { reason: 'timeout' })
