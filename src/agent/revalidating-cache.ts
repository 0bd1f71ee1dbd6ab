import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import type { ManagedCache, TokenCache } from '../broker/tokens/cache.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { withDeadline } from '../broker/lib/async/deadline.ts'
import { momentOf, type Moment } from '../broker/tokens/freshness.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { TokenSource } from '../broker/events.ts'

/** When a {@link RevalidatingCache} revalidates a token, how long that takes at most, and which errors revoke it. */
export interface RevalidatingCacheOptions {
  readonly clock: Clock
  /** Seconds for which a token is issued before the source must confirm it again. */
  readonly revalidateSeconds: number
  /** Milliseconds that one revalidation takes at most, even if the source hangs. */
  readonly timeoutMs: number
  /** Milliseconds of it for which a caller waits at most if its token is cached. */
  readonly maxWaitMs: number
  /** The largest number of keys with a confirmation or a refusal: that of the cache. */
  readonly maxEntries: number
  /** Whether an error revokes what the source has granted before. */
  readonly revokes: (error: BrokerError) => boolean
  /**
   * Whether an error that revokes nothing comes from the source itself. With any other error, the source is
   * unavailable.
   */
  readonly isSourceError: (error: BrokerError) => boolean
  /** Called when a cached token is revoked. */
  readonly revoked: (grant: Grant, error: BrokerError) => void
}

/** The last revalidation of a key. */
interface Confirmation {
  readonly at: Moment
  /** Milliseconds from then until the next request for the key starts a revalidation. */
  readonly freshForMs: number
}

/** A refusal of the source, and when it came. */
interface Refusal {
  readonly at: Moment
  readonly error: BrokerError
}

/** After this share of the period, a request revalidates the token in the background, so that no caller waits. */
const backgroundShare = 0.8
/**
 * While the source is unavailable: the longest time between two revalidations of a key, in milliseconds, and the time
 * for which no caller with a cached token waits for the source.
 */
const retryMs = 15_000
/** Milliseconds for which requests get the same refusal without a request to the source. */
const refusalTtlMs = 5_000

/**
 * A cache that issues no token which its source has revoked. It is for a source that decides who gets which token, as
 * the central broker does for an agent: a cached token is no permission to use it.
 *
 * - Each key is revalidated with a request to the source: in the background after four fifths of `revalidateSeconds`,
 *   and before the token is issued after all of it.
 * - While the source is unavailable, cached tokens are issued as long as they live. A caller waits for the source for
 *   `maxWaitMs` at most.
 * - If the source refuses, the key's token is dropped, and requests get the same refusal for five seconds.
 * - An entry that is evicted here neither hides nor keeps a token: its key is revalidated at the next request.
 */
export class RevalidatingCache {
  readonly #source: TokenSource
  readonly #options: RevalidatingCacheOptions
  readonly #confirmations: LRUCache<string, Confirmation>
  readonly #refusals: LRUCache<string, Refusal>
  readonly #revalidations = new Map<string, Promise<void>>()
  #cache: Pick<ManagedCache, 'purge'> | undefined
  /** Monotonic milliseconds until which no caller with a cached token waits for the source. */
  #unavailableUntil = Number.NEGATIVE_INFINITY

  constructor(source: TokenSource, options: RevalidatingCacheOptions) {
    this.#source = source
    this.#options = options
    this.#confirmations = new LRUCache({ max: options.maxEntries })
    this.#refusals = new LRUCache({ max: options.maxEntries })
  }

  /** The source for the cache. A fetch of the cache counts as a revalidation too. */
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

  /** The cache with revalidation in front of it. Revoked tokens are purged from `cache`. */
  wrap(cache: Pick<ManagedCache, 'get' | 'purge'>): TokenCache {
    this.#cache = cache
    return {
      get: (grant, minExpiresIn) => {
        const refusal = this.#refusals.get(grant.key)
        if (refusal !== undefined && this.#ageMs(refusal) < refusalTtlMs) return Promise.reject(refusal.error)
        const served = cache.get(grant, minExpiresIn)
        if (served instanceof Promise) return served
        const confirmation = this.#confirmations.get(grant.key)
        const age = confirmation === undefined ? Number.POSITIVE_INFINITY : this.#ageMs(confirmation)
        if (confirmation !== undefined && age < confirmation.freshForMs) return served
        const revalidation = this.#revalidate(grant)
        const isOverdue = age >= this.#options.revalidateSeconds * 1000
        if (isOverdue && !this.#isUnavailable())
          return this.#waitBriefly(revalidation).then(() => cache.get(grant, minExpiresIn))
        revalidation.catch(() => undefined)
        return served
      },
    }
  }

  /**
   * Resolves when the key's token may be issued: the source granted it again or is unavailable. Rejects if it is
   * revoked.
   */
  #revalidate(grant: Grant): Promise<void> {
    const running = this.#revalidations.get(grant.key)
    if (running) return running
    const revalidation = this.#revalidateOnce(grant).finally(() => this.#revalidations.delete(grant.key))
    this.#revalidations.set(grant.key, revalidation)
    return revalidation
  }

  async #revalidateOnce(grant: Grant): Promise<void> {
    const { timeoutMs, revokes } = this.#options
    try {
      await withDeadline(
        signal => this.source(grant, signal),
        timeoutMs,
        () => this.#failed(grant, timeoutError(timeoutMs)),
      )
    } catch (thrown) {
      if (revokes(asBrokerError(thrown))) throw thrown
      this.#postpone(grant)
    }
  }

  /** Waits for a revalidation, for `maxWaitMs` at most. The revalidation itself goes on. */
  async #waitBriefly(revalidation: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.#markUnavailable()
      resolve()
    }, this.#options.maxWaitMs)
    try {
      await Promise.race([revalidation, promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #granted({ key }: Grant, at: Moment): void {
    this.#unavailableUntil = Number.NEGATIVE_INFINITY
    const refusal = this.#refusals.peek(key)
    // A request that began before the key was revoked must not undo the refusal.
    if (refusal !== undefined && refusal.at.monotonic > at.monotonic) return
    this.#refusals.delete(key)
    this.#confirmations.set(key, { at, freshForMs: this.#options.revalidateSeconds * 1000 * backgroundShare })
  }

  #failed(grant: Grant, error: BrokerError): BrokerError {
    const { isSourceError, revokes } = this.#options
    if (revokes(error) || isSourceError(error)) this.#unavailableUntil = Number.NEGATIVE_INFINITY
    else this.#markUnavailable()
    if (revokes(error)) this.#revoke(grant, error)
    // A key without a token gets no confirmation, so that it does not evict another key's.
    else if (this.#confirmations.has(grant.key)) this.#postpone(grant)
    return error
  }

  #revoke(grant: Grant, error: BrokerError): void {
    const { clientId, agentId, tenant, scope, key } = grant
    this.#confirmations.delete(key)
    this.#refusals.set(key, { at: momentOf(this.#options.clock), error })
    const dropped = this.#cache?.purge({ clientId, agentId, tenant, scope }) ?? 0
    if (dropped > 0) this.#options.revoked(grant, error)
  }

  /** Starts no revalidation of the key for a while. */
  #postpone({ key }: Grant): void {
    const { clock, revalidateSeconds } = this.#options
    this.#confirmations.set(key, { at: momentOf(clock), freshForMs: Math.min(retryMs, revalidateSeconds * 200) })
  }

  #markUnavailable(): void {
    this.#unavailableUntil = this.#options.clock.monotonic() + retryMs
  }

  #isUnavailable(): boolean {
    return this.#options.clock.monotonic() < this.#unavailableUntil
  }

  /** The larger age by the two clocks: the monotonic clock can stand still while a machine sleeps. */
  #ageMs({ at }: { readonly at: Moment }): number {
    const { now, monotonic } = momentOf(this.#options.clock)
    return Math.max(now - at.now, monotonic - at.monotonic)
  }
}

const timeoutError = (ms: number) =>
  new BrokerError('upstream_unavailable', `The broker did not confirm a token within ${ms} ms.`, { reason: 'timeout' })
