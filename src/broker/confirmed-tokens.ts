import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import type { TokenCache } from './cache.ts'
import type { Clock } from './clock.ts'
import { withDeadline } from './deadline.ts'
import { momentOf, type Moment } from './freshness.ts'
import type { Grant } from './policy.ts'
import type { TokenSource } from './types.ts'

/** How often, for how long, and about what a source is asked again. */
export interface ConfirmationOptions {
  readonly clock: Clock
  /** Seconds for which a token is handed out before the source is asked again whether it still may be. */
  readonly everySeconds: number
  /** Milliseconds for one question, whatever hangs. */
  readonly timeoutMs: number
  /** Keys to remember; as many as the cache holds. */
  readonly maxEntries: number
  /** Whether an error takes back what the source gave before, rather than saying that it cannot be asked. */
  readonly withdraws: (error: BrokerError) => boolean
  /** Told when a key is taken back. */
  readonly withdrawn: (grant: Grant, error: BrokerError) => void
}

/** What the source said of a key last, and when. */
interface Standing {
  readonly at: Moment
  readonly withdrawn: boolean
  /** Milliseconds after which it is asked again while the token is still handed out. */
  readonly quietMs: number
}

/** Share of the period after which a token that is asked for is confirmed in the background, so that nobody waits. */
const earlyShare = 0.8
/** Milliseconds between two questions to a source that cannot be asked. */
const longestPauseMs = 15_000

/**
 * Makes sure that a cache hands out nothing that its source has taken back. For a source that decides who may have what,
 * as the central broker does for an agent: there a token that is held is no permission.
 *
 * Each key is confirmed by asking the source again, at the latest when a request comes more than `everySeconds` after the
 * last answer. While the source cannot be asked, tokens are handed out as long as they live. When it refuses, the key's
 * token is handed out no more, until the source grants it again.
 */
export class Confirmation {
  readonly #source: TokenSource
  readonly #options: ConfirmationOptions
  readonly #standings: LRUCache<string, Standing>
  readonly #questions = new Map<string, Promise<void>>()

  constructor(source: TokenSource, options: ConfirmationOptions) {
    this.#source = source
    this.#options = options
    this.#standings = new LRUCache({ max: options.maxEntries })
  }

  /** The source for the cache: what comes of its fetches counts as an answer. */
  readonly source: TokenSource = async (grant, signal) => {
    const { clock, everySeconds } = this.#options
    const at = momentOf(clock)
    try {
      const token = await this.#source(grant, signal)
      const last = this.#standings.peek(grant.key)
      // What was asked before the key was taken back says nothing of what is granted since.
      if (!last?.withdrawn || last.at.monotonic <= at.monotonic) {
        this.#standings.set(grant.key, { at, withdrawn: false, quietMs: everySeconds * 1000 * earlyShare })
      }
      return token
    } catch (thrown) {
      throw this.#failed(grant, asBrokerError(thrown))
    }
  }

  /** The cache, with the question before it. */
  before(cache: TokenCache): TokenCache {
    return {
      get: (grant, minExpiresIn) => {
        const served = cache.get(grant, minExpiresIn)
        if (served instanceof Promise) return served
        const standing = this.#standings.get(grant.key)
        const age = standing === undefined ? Number.POSITIVE_INFINITY : this.#ageMs(standing)
        if (standing?.withdrawn === false && age < this.#options.everySeconds * 1000) {
          if (age >= standing.quietMs) this.#ask(grant).catch(() => undefined)
          return served
        }
        return this.#ask(grant).then(() => cache.get(grant, minExpiresIn))
      },
    }
  }

  /** Resolves when the key's token may be handed out: it was granted again, or the source cannot be asked. */
  #ask(grant: Grant): Promise<void> {
    const running = this.#questions.get(grant.key)
    if (running) return running
    const question = this.#askOnce(grant).finally(() => this.#questions.delete(grant.key))
    this.#questions.set(grant.key, question)
    return question
  }

  async #askOnce(grant: Grant): Promise<void> {
    const { timeoutMs } = this.#options
    try {
      await withDeadline(
        signal => this.source(grant, signal),
        timeoutMs,
        () => this.#failed(grant, noAnswer(timeoutMs)),
      )
    } catch (thrown) {
      if (this.#standings.peek(grant.key)?.withdrawn !== false) throw thrown
    }
  }

  #failed(grant: Grant, error: BrokerError): BrokerError {
    const { clock, everySeconds, withdraws, withdrawn } = this.#options
    const before = this.#standings.peek(grant.key)?.withdrawn ?? false
    const takenBack = before || withdraws(error)
    const quietMs = Math.min(longestPauseMs, everySeconds * 200)
    this.#standings.set(grant.key, { at: momentOf(clock), withdrawn: takenBack, quietMs })
    if (takenBack && !before) withdrawn(grant, error)
    return error
  }

  /** By whichever clock says more: a machine that slept has confirmed nothing meanwhile. */
  #ageMs({ at }: Standing): number {
    const { now, monotonic } = momentOf(this.#options.clock)
    return Math.max(now - at.now, monotonic - at.monotonic)
  }
}

const noAnswer = (ms: number) =>
  new BrokerError('upstream_unavailable', `No token could be confirmed within ${ms} ms.`, { reason: 'timeout' })
