import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import type { ManagedCache, TokenCache } from '../broker/tokens/cache.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { withDeadline } from '../broker/lib/deadline.ts'
import { momentOf, type Moment } from '../broker/tokens/freshness.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { TokenSource } from '../broker/events.ts'

/** How often, for how long, and about what a source is asked again. */
export interface RevalidatingCacheOptions {
  readonly clock: Clock
  /** Seconds for which a token is handed out before the source is asked again whether it still may be. */
  readonly revalidateSeconds: number
  /** Milliseconds for one question, whatever hangs. */
  readonly timeoutMs: number
  /** Milliseconds of it that somebody whose token is held waits at most. */
  readonly maxWaitMs: number
  /** Keys to remember; as many as the cache holds. */
  readonly maxEntries: number
  /** Whether an error takes back what the source gave before, rather than saying that it cannot be asked. */
  readonly revokes: (error: BrokerError) => boolean
  /** Whether an error that takes nothing back is the source's own word; with any other it could not be asked. */
  readonly isSourceError: (error: BrokerError) => boolean
  /** Told when a token that was held is taken back. */
  readonly revoked: (grant: Grant, error: BrokerError) => void
}

/** When the source was asked last of a key whose token is held. */
interface Confirmation {
  readonly at: Moment
  /** Milliseconds after which it is asked again while the token is still handed out. */
  readonly freshForMs: number
}

/** What the source refused, and when. */
interface Refusal {
  readonly at: Moment
  readonly error: BrokerError
}

/** Share of the period after which a token that is asked for is confirmed in the background, so that nobody waits. */
const backgroundShare = 0.8
/** Milliseconds between two questions to a source that cannot be asked, and for which nobody waits for another. */
const retryMs = 15_000
/** Milliseconds for which a refusal is answered without asking again. */
const refusalTtlMs = 5_000

/**
 * Makes sure that a cache hands out nothing that its source has taken back. For a source that decides who may have what,
 * as the central broker does for an agent: there a token that is held is no permission.
 *
 * Each key is confirmed by asking the source again, at the latest when a request comes more than `everySeconds` after the
 * last answer. While the source cannot be asked, tokens are handed out as long as they live, and nobody waits for it
 * longer than `maxWaitMs`. When it refuses, the key's token is dropped, and the refusal is answered for five seconds
 * before the source is asked again. What is remembered here keeps no token away and no token alive: whatever is forgotten
 * is asked for.
 */
export class RevalidatingCache {
  readonly #source: TokenSource
  readonly #options: RevalidatingCacheOptions
  readonly #confirmations: LRUCache<string, Confirmation>
  readonly #refusals: LRUCache<string, Refusal>
  readonly #revalidations = new Map<string, Promise<void>>()
  #cache: Pick<ManagedCache, 'purge'> | undefined
  /** Monotonic milliseconds until which nobody waits for the source. */
  #unavailableUntil = Number.NEGATIVE_INFINITY

  constructor(source: TokenSource, options: RevalidatingCacheOptions) {
    this.#source = source
    this.#options = options
    this.#confirmations = new LRUCache({ max: options.maxEntries })
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
  wrap(cache: Pick<ManagedCache, 'get' | 'purge'>): TokenCache {
    this.#cache = cache
    return {
      get: (grant, minExpiresIn) => {
        const refusal = this.#refusals.get(grant.key)
        if (refusal !== undefined && this.#ageMs(refusal) < refusalTtlMs) return Promise.reject(refusal.error)
        const served = cache.get(grant, minExpiresIn)
        if (served instanceof Promise) return served
        const standing = this.#confirmations.get(grant.key)
        const age = standing === undefined ? Number.POSITIVE_INFINITY : this.#ageMs(standing)
        if (standing !== undefined && age < standing.freshForMs) return served
        const question = this.#revalidate(grant)
        const isLate = age >= this.#options.revalidateSeconds * 1000
        if (isLate && !this.#isUnavailable())
          return this.#waitBriefly(question).then(() => cache.get(grant, minExpiresIn))
        question.catch(() => undefined)
        return served
      },
    }
  }

  /** Resolves when the key's token may be handed out: it was granted again, or the source cannot be asked. */
  #revalidate(grant: Grant): Promise<void> {
    const running = this.#revalidations.get(grant.key)
    if (running) return running
    const question = this.#revalidateOnce(grant).finally(() => this.#revalidations.delete(grant.key))
    this.#revalidations.set(grant.key, question)
    return question
  }

  async #revalidateOnce(grant: Grant): Promise<void> {
    const { timeoutMs, revokes: withdraws } = this.#options
    try {
      await withDeadline(
        signal => this.source(grant, signal),
        timeoutMs,
        () => this.#failed(grant, timeoutError(timeoutMs)),
      )
    } catch (thrown) {
      if (withdraws(asBrokerError(thrown))) throw thrown
      this.#postpone(grant)
    }
  }

  /** Waits for an answer, and no longer than callers are to; the question goes on. */
  async #waitBriefly(question: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.#markUnavailable()
      resolve()
    }, this.#options.maxWaitMs)
    try {
      await Promise.race([question, promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #granted({ key }: Grant, at: Moment): void {
    this.#unavailableUntil = Number.NEGATIVE_INFINITY
    const refusal = this.#refusals.peek(key)
    // What was asked before the key was taken back says nothing of what is granted since.
    if (refusal !== undefined && refusal.at.monotonic > at.monotonic) return
    this.#refusals.delete(key)
    this.#confirmations.set(key, { at, freshForMs: this.#options.revalidateSeconds * 1000 * backgroundShare })
  }

  #failed(grant: Grant, error: BrokerError): BrokerError {
    const { isSourceError: answers, revokes: withdraws } = this.#options
    if (withdraws(error) || answers(error)) this.#unavailableUntil = Number.NEGATIVE_INFINITY
    else this.#markUnavailable()
    if (withdraws(error)) this.#revoke(grant, error)
    // A key without a token has no standing, so that it pushes out no other's.
    else if (this.#confirmations.has(grant.key)) this.#postpone(grant)
    return error
  }

  #revoke(grant: Grant, error: BrokerError): void {
    const { clientId, tenant, scope, key } = grant
    this.#confirmations.delete(key)
    this.#refusals.set(key, { at: momentOf(this.#options.clock), error })
    const dropped = this.#cache?.purge({ clientId, tenant, scope }) ?? 0
    if (dropped > 0) this.#options.revoked(grant, error)
  }

  /** Nothing is asked of the key for a while. */
  #postpone({ key }: Grant): void {
    const { clock, revalidateSeconds: everySeconds } = this.#options
    this.#confirmations.set(key, { at: momentOf(clock), freshForMs: Math.min(retryMs, everySeconds * 200) })
  }

  #markUnavailable(): void {
    this.#unavailableUntil = this.#options.clock.monotonic() + retryMs
  }

  #isUnavailable(): boolean {
    return this.#options.clock.monotonic() < this.#unavailableUntil
  }

  /** By whichever clock says more: a machine that slept has confirmed nothing meanwhile. */
  #ageMs({ at }: { readonly at: Moment }): number {
    const { now, monotonic } = momentOf(this.#options.clock)
    return Math.max(now - at.now, monotonic - at.monotonic)
  }
}

const timeoutError = (ms: number) =>
  new BrokerError('upstream_unavailable', `The broker did not confirm a token within ${ms} ms.`, { reason: 'timeout' })
