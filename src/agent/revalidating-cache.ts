import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import type { ManagedCache, TokenCache } from '../broker/tokens/cache.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { withDeadline } from '../broker/lib/deadline.ts'
import { momentOf, type Moment } from '../broker/tokens/freshness.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { TokenSource } from '../broker/events.ts'

/** How often, for how long, and about what a source is asked again. */
export interface ConfirmationOptions {
  readonly clock: Clock
  /** Seconds for which a token is handed out before the source is asked again whether it still may be. */
  readonly everySeconds: number
  /** Milliseconds for one question, whatever hangs. */
  readonly timeoutMs: number
  /** Milliseconds of it that somebody whose token is held waits at most. */
  readonly patienceMs: number
  /** Keys to remember; as many as the cache holds. */
  readonly maxEntries: number
  /** Whether an error takes back what the source gave before, rather than saying that it cannot be asked. */
  readonly withdraws: (error: BrokerError) => boolean
  /** Whether an error that takes nothing back is the source's own word; with any other it could not be asked. */
  readonly answers: (error: BrokerError) => boolean
  /** Told when a token that was held is taken back. */
  readonly withdrawn: (grant: Grant, error: BrokerError) => void
}

/** When the source was asked last of a key whose token is held. */
interface Standing {
  readonly at: Moment
  /** Milliseconds after which it is asked again while the token is still handed out. */
  readonly quietMs: number
}

/** What the source refused, and when. */
interface Refusal {
  readonly at: Moment
  readonly error: BrokerError
}

/** Share of the period after which a token that is asked for is confirmed in the background, so that nobody waits. */
const earlyShare = 0.8
/** Milliseconds between two questions to a source that cannot be asked, and for which nobody waits for another. */
const longestPauseMs = 15_000
/** Milliseconds for which a refusal is answered without asking again. */
const refusedMs = 5_000

/**
 * Makes sure that a cache hands out nothing that its source has taken back. For a source that decides who may have what,
 * as the central broker does for an agent: there a token that is held is no permission.
 *
 * Each key is confirmed by asking the source again, at the latest when a request comes more than `everySeconds` after the
 * last answer. While the source cannot be asked, tokens are handed out as long as they live, and nobody waits for it
 * longer than `patienceMs`. When it refuses, the key's token is dropped, and the refusal is answered for five seconds
 * before the source is asked again. What is remembered here keeps no token away and no token alive: whatever is forgotten
 * is asked for.
 */
export class Confirmation {
  readonly #source: TokenSource
  readonly #options: ConfirmationOptions
  readonly #standings: LRUCache<string, Standing>
  readonly #refusals: LRUCache<string, Refusal>
  readonly #questions = new Map<string, Promise<void>>()
  #cache: Pick<ManagedCache, 'purge'> | undefined
  /** Monotonic milliseconds until which nobody waits for the source. */
  #awayUntil = Number.NEGATIVE_INFINITY

  constructor(source: TokenSource, options: ConfirmationOptions) {
    this.#source = source
    this.#options = options
    this.#standings = new LRUCache({ max: options.maxEntries })
    this.#refusals = new LRUCache({ max: options.maxEntries })
  }

  /** The source for the cache: what comes of its fetches counts as an answer. */
  readonly source: TokenSource = async (grant, signal) => {
    const at = momentOf(this.#options.clock)
    try {
      const token = await this.#source(grant, signal)
      this.#granted(grant, at)
      return token
    } catch (thrown) {
      throw this.#failed(grant, asBrokerError(thrown))
    }
  }

  /** The cache, with the question before it. What is taken back is dropped from it. */
  before(cache: Pick<ManagedCache, 'get' | 'purge'>): TokenCache {
    this.#cache = cache
    return {
      get: (grant, minExpiresIn) => {
        const refusal = this.#refusals.get(grant.key)
        if (refusal !== undefined && this.#ageMs(refusal) < refusedMs) return Promise.reject(refusal.error)
        const served = cache.get(grant, minExpiresIn)
        if (served instanceof Promise) return served
        const standing = this.#standings.get(grant.key)
        const age = standing === undefined ? Number.POSITIVE_INFINITY : this.#ageMs(standing)
        if (standing !== undefined && age < standing.quietMs) return served
        const question = this.#ask(grant)
        const isLate = age >= this.#options.everySeconds * 1000
        if (isLate && !this.#isAway()) return this.#wait(question).then(() => cache.get(grant, minExpiresIn))
        question.catch(() => undefined)
        return served
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
    const { timeoutMs, withdraws } = this.#options
    try {
      await withDeadline(
        signal => this.source(grant, signal),
        timeoutMs,
        () => this.#failed(grant, noAnswer(timeoutMs)),
      )
    } catch (thrown) {
      if (withdraws(asBrokerError(thrown))) throw thrown
      this.#pause(grant)
    }
  }

  /** Waits for an answer, and no longer than callers are to; the question goes on. */
  async #wait(question: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.#away()
      resolve()
    }, this.#options.patienceMs)
    try {
      await Promise.race([question, promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #granted({ key }: Grant, at: Moment): void {
    this.#awayUntil = Number.NEGATIVE_INFINITY
    const refusal = this.#refusals.peek(key)
    // What was asked before the key was taken back says nothing of what is granted since.
    if (refusal !== undefined && refusal.at.monotonic > at.monotonic) return
    this.#refusals.delete(key)
    this.#standings.set(key, { at, quietMs: this.#options.everySeconds * 1000 * earlyShare })
  }

  #failed(grant: Grant, error: BrokerError): BrokerError {
    const { answers, withdraws } = this.#options
    if (withdraws(error) || answers(error)) this.#awayUntil = Number.NEGATIVE_INFINITY
    else this.#away()
    if (withdraws(error)) this.#takeBack(grant, error)
    // A key without a token has no standing, so that it pushes out no other's.
    else if (this.#standings.has(grant.key)) this.#pause(grant)
    return error
  }

  #takeBack(grant: Grant, error: BrokerError): void {
    const { clientId, tenant, scope, key } = grant
    this.#standings.delete(key)
    this.#refusals.set(key, { at: momentOf(this.#options.clock), error })
    const dropped = this.#cache?.purge({ clientId, tenant, scope }) ?? 0
    if (dropped > 0) this.#options.withdrawn(grant, error)
  }

  /** Nothing is asked of the key for a while. */
  #pause({ key }: Grant): void {
    const { clock, everySeconds } = this.#options
    this.#standings.set(key, { at: momentOf(clock), quietMs: Math.min(longestPauseMs, everySeconds * 200) })
  }

  #away(): void {
    this.#awayUntil = this.#options.clock.monotonic() + longestPauseMs
  }

  #isAway(): boolean {
    return this.#options.clock.monotonic() < this.#awayUntil
  }

  /** By whichever clock says more: a machine that slept has confirmed nothing meanwhile. */
  #ageMs({ at }: { readonly at: Moment }): number {
    const { now, monotonic } = momentOf(this.#options.clock)
    return Math.max(now - at.now, monotonic - at.monotonic)
  }
}

const noAnswer = (ms: number) =>
  new BrokerError('upstream_unavailable', `The broker did not confirm a token within ${ms} ms.`, { reason: 'timeout' })
