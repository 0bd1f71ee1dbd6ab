import type { LRUCache } from 'lru-cache'
import { asBrokerError } from '../../errors.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { Clock } from '../lib/clock.ts'
import { lifetimeUnavailable, replaceOnceMs } from './cache-errors.ts'
import type { CachedToken, Served } from './cached-token.ts'
import { momentOf, remainingMs } from './freshness.ts'
import type { SharedTokens } from './shared-tokens.ts'
import type { SingleFlight } from './single-flight/single-flight.ts'
import type { TokenStore } from './token-store.ts'
import { createLru } from '../lib/lru.ts'

/** What fetches need of the cache. */
export interface AwaitedFetchOptions {
  readonly clock: Clock
  readonly tokens: TokenStore
  readonly singleFlight: SingleFlight
  readonly sharedTokens: SharedTokens | undefined
  /** The largest number of keys for which the last fetch for `min_expires_in` is known. */
  readonly maxEntries: number
}

/** What a caller waits for. */
interface Request {
  readonly grant: Grant
  /** Why: there is no token, it is expired, or it ends too soon for `min_expires_in`. */
  readonly cause: 'miss' | 'expired' | 'request'
  /** Seconds. */
  readonly minExpiresIn: number
  /** As in {@link Wanted}. */
  readonly newerThan?: number | undefined
  /** How long the caller has waited already, in milliseconds. */
  readonly spentMs?: number
}

/** Obtains tokens while callers wait: from the second level, if there is one, or by a fetch. */
export class AwaitedFetch {
  readonly #options: AwaitedFetchOptions
  /** Key → monotonic milliseconds of the last fetch that `min_expires_in` caused. */
  readonly #lastReplaced: LRUCache<string, number>

  constructor(options: AwaitedFetchOptions) {
    this.#options = options
    this.#lastReplaced = createLru(options.maxEntries)
  }

  /** Obtains a token for a key that has none, or an expired one. */
  obtain(grant: Grant, cause: 'miss' | 'expired', minExpiresIn: number): Promise<Served> {
    return this.#obtain({ grant, cause, minExpiresIn })
  }

  /** Obtains a token in place of a valid one that ends too soon for `min_expires_in`. */
  async replace(grant: Grant, token: CachedToken, remaining: number, minExpiresIn: number): Promise<Served> {
    const { clock, singleFlight } = this.#options
    const last = this.#lastReplaced.get(grant.key)
    const wait = last === undefined ? 0 : last + replaceOnceMs - clock.monotonic()
    if (wait > 0 && !singleFlight.has(grant.key)) throw lifetimeUnavailable(remaining, Math.ceil(wait / 1000))
    try {
      return await this.#obtain({ grant, cause: 'request', minExpiresIn, newerThan: token.newestIssuedAt })
    } catch (thrown) {
      const error = asBrokerError(thrown)
      if (error.code === 'rate_limited' || error.parts.availableExpiresIn !== undefined) throw error
      throw lifetimeUnavailable(remaining, error.retryAfter, error)
    }
  }

  /** Permits the next fetch for `min_expires_in` at once: the token was purged. */
  forget(key: string): void {
    this.#lastReplaced.delete(key)
  }

  #obtain(request: Request): Promise<Served> {
    const { sharedTokens, singleFlight } = this.#options
    return sharedTokens === undefined || singleFlight.has(request.grant.key)
      ? this.#fetch(request)
      : this.#fetchUnlessShared(request, sharedTokens)
  }

  /** Looks the token up in the second level, and fetches it if it is not there. */
  async #fetchUnlessShared(request: Request, sharedTokens: SharedTokens): Promise<Served> {
    const { grant, cause, minExpiresIn, newerThan } = request
    const { clock, tokens } = this.#options
    const before = tokens.peek(grant.key)
    const start = clock.monotonic()
    const { token, newerThan: expiredAt = newerThan } = await sharedTokens.lookUp(grant, true, newerThan)
    const spentMs = clock.monotonic() - start
    if (token === undefined) {
      // Another look-up or fetch may have stored a token meanwhile.
      return this.#newer(request, before) ?? this.#fetch({ ...request, newerThan: expiredAt, spentMs })
    }
    const remaining = this.#remaining(token)
    if (remaining >= minExpiresIn * 1000) return { token, remaining, how: 'shared' }
    if (cause === 'request') return this.#fetch({ ...request, newerThan: token.newestIssuedAt, spentMs })
    return this.replace(grant, token, remaining, minExpiresIn)
  }

  /** Waits for the fetch of this key, and starts it if there is none. */
  async #fetch(request: Request): Promise<Served> {
    const { grant, cause, minExpiresIn, newerThan, spentMs } = request
    const { clock, tokens, singleFlight } = this.#options
    const isRunning = singleFlight.has(grant.key)
    const before = tokens.peek(grant.key)
    try {
      const fetching = singleFlight.wait(grant, { newerThan, spentMs, mayProbe: cause !== 'request' })
      // The fetch may be refused before it starts (negative cache, limits, full queue): then the minute is not used up.
      if (cause === 'request' && !isRunning && singleFlight.has(grant.key)) {
        this.#lastReplaced.set(grant.key, clock.monotonic())
      }
      const token = await fetching
      const remaining = this.#remaining(token)
      if (remaining < minExpiresIn * 1000) throw lifetimeUnavailable(remaining)
      if (isRunning) return { token, remaining, how: 'collapsed' }
      return { token, remaining, how: token.isShared && token !== before ? 'shared' : cause }
    } catch (thrown) {
      // A probe, or a newer fetch after a purge, can finish first for the same key. If it stored a valid token, serve
      // that one instead of failing.
      const newer = this.#newer(request, before)
      if (newer === undefined) throw thrown
      return newer
    }
  }

  /** The cached token, if it is another one than `before`, is valid and lives long enough. */
  #newer({ grant, minExpiresIn }: Request, before: CachedToken | undefined): Served | undefined {
    const token = this.#options.tokens.peek(grant.key)
    if (token === undefined || token === before) return undefined
    const remaining = this.#remaining(token)
    const isServed = remaining > token.life.minRemaining && remaining >= minExpiresIn * 1000
    return isServed ? { token, remaining, how: 'collapsed' } : undefined
  }

  #remaining({ life }: CachedToken): number {
    return remainingMs(life, momentOf(this.#options.clock))
  }
}
