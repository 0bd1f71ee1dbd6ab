import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import { createCacheView, type CacheView } from './cache-view.ts'
import { cachedToken, type CachedToken } from './cached-token.ts'
import type { Clock } from './clock.ts'
import { withDeadline } from './deadline.ts'
import { freshness, momentOf, planLife, refreshBackOffMs, remainingMs, type Moment } from './freshness.ts'
import type { Grant } from './policy.ts'
import type { CacheOutcome, Events, TokenSource } from './types.ts'

/** A token that may be handed out now. */
export interface Served {
  readonly token: CachedToken
  /** Milliseconds until the token ends. */
  readonly remaining: number
  readonly how: CacheOutcome
}

/** Tokens by application, tenant and scope. */
export interface TokenCache {
  /**
   * The token a grant stands for: at once when one is held, else as soon as the source has it. A failed refresh never
   * costs a caller a token that is valid. Rejects with whatever the source rejects with.
   *
   * @param minExpiresIn seconds; a held token with less life is replaced first, at most once per key and minute
   */
  readonly get: (grant: Grant, minExpiresIn: number) => Served | Promise<Served>
}

/** A cache that can be looked into. */
export interface ViewableCache extends TokenCache {
  readonly view: CacheView
}

export interface CacheOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly maxEntries: number
  readonly minRemainingSeconds: number
  /** Milliseconds for one fetch, whatever hangs. */
  readonly timeoutMs: number
  readonly refreshed: Events['refreshed']
}

const replaceOncePerMs = 60_000

/**
 * A bounded LRU over a token source, with one fetch per key at a time. It has no timers: a key that nobody asks for is
 * not refreshed and leaves by age. Failures of cold fetches are not remembered.
 */
export function createCache(source: TokenSource, options: CacheOptions): ViewableCache {
  return new LruTokenCache(source, options)
}

class LruTokenCache implements ViewableCache {
  readonly view: CacheView
  readonly #source: TokenSource
  readonly #options: CacheOptions
  readonly #held: LRUCache<string, CachedToken>
  readonly #flights = new Map<string, Promise<CachedToken>>()
  /** Key → monotonic milliseconds of the last fetch that `min_expires_in` caused. */
  readonly #replaced: LRUCache<string, number>
  /** Tokens whose last refresh failed and that were asked for since it did first. */
  readonly #atRisk = new Set<CachedToken>()
  #fetched = 0
  #evictions = 0

  constructor(source: TokenSource, options: CacheOptions) {
    this.#source = source
    this.#options = options
    this.#held = new LRUCache({
      max: options.maxEntries,
      dispose: (token, _key, reason) => {
        this.#atRisk.delete(token)
        if (reason === 'evict') this.#evictions++
      },
    })
    this.#replaced = new LRUCache({ max: options.maxEntries })
    this.view = createCacheView({
      held: this.#held,
      flights: this.#flights,
      atRisk: this.#atRisk,
      evictions: () => this.#evictions,
      clock: options.clock,
    })
  }

  get = (grant: Grant, minExpiresIn: number): Served | Promise<Served> => {
    const held = this.#held.get(grant.key)
    if (held === undefined) return this.#fetch(grant, 'miss', minExpiresIn)
    const moment = momentOf(this.#options.clock)
    const remaining = remainingMs(held.life, moment)
    const state = freshness(held.life, remaining)
    if (state === 'expired') return this.#fetch(grant, 'expired', minExpiresIn)
    if (remaining < minExpiresIn * 1000) return this.#replace(grant, remaining, minExpiresIn, moment)
    if (state === 'fresh') return { token: held, remaining, how: 'hit' }
    this.#refresh(grant, held, moment)
    if (held.failure === undefined) return { token: held, remaining, how: 'due' }
    this.#atRisk.add(held)
    return { token: held, remaining, how: 'refresh-failed' }
  }

  async #fetch(grant: Grant, cause: 'miss' | 'expired' | 'request', minExpiresIn: number): Promise<Served> {
    const joins = this.#flights.has(grant.key)
    const token = await this.#flight(grant)
    const remaining = remainingMs(token.life, momentOf(this.#options.clock))
    if (freshness(token.life, remaining) === 'expired') throw stillborn()
    if (remaining < minExpiresIn * 1000) throw tooShort(remaining)
    return { token, remaining, how: joins ? 'joined' : cause }
  }

  async #replace(grant: Grant, remaining: number, minExpiresIn: number, moment: Moment): Promise<Served> {
    const last = this.#replaced.get(grant.key)
    if (!this.#flights.has(grant.key)) {
      const wait = last === undefined ? 0 : last + replaceOncePerMs - moment.monotonic
      if (wait > 0) throw tooShort(remaining, Math.ceil(wait / 1000))
      this.#replaced.set(grant.key, moment.monotonic)
    }
    try {
      return await this.#fetch(grant, 'request', minExpiresIn)
    } catch (thrown) {
      const error = asBrokerError(thrown)
      throw error.parts.availableExpiresIn === undefined ? tooShort(remaining, error.retryAfter, error) : error
    }
  }

  #refresh(grant: Grant, held: CachedToken, { monotonic }: Moment): void {
    if (monotonic < held.refreshNotBefore || this.#flights.has(grant.key)) return
    const { clock, refreshed } = this.#options
    this.#flight(grant).then(
      token => refreshed(grant, token === held ? 'not_yet' : 'replaced'),
      (thrown: unknown) => {
        const error = asBrokerError(thrown)
        held.failure = { error, at: clock.now() }
        this.#postpone(held)
        refreshed(grant, 'failed', error)
      },
    )
  }

  #postpone(held: CachedToken): void {
    held.vainRefreshes++
    const wait = refreshBackOffMs(held.vainRefreshes, this.#options.random)
    held.refreshNotBefore = this.#options.clock.monotonic() + wait
  }

  /** The fetch of a key that is under way, or a new one. */
  #flight(grant: Grant): Promise<CachedToken> {
    const running = this.#flights.get(grant.key)
    if (running) return running
    const flight = this.#fetchOnce(grant).finally(() => this.#flights.delete(grant.key))
    this.#flights.set(grant.key, flight)
    return flight
  }

  async #fetchOnce(grant: Grant): Promise<CachedToken> {
    const { clock, random, minRemainingSeconds, timeoutMs } = this.#options
    const asked = momentOf(clock)
    const issued = await withDeadline(
      signal => this.#source(grant, signal),
      timeoutMs,
      () => noAnswer(timeoutMs),
    )
    return this.#store(
      grant.key,
      cachedToken(++this.#fetched, issued, planLife(issued, asked, minRemainingSeconds, random)),
    )
  }

  #isExpired({ life }: CachedToken): boolean {
    return freshness(life, remainingMs(life, momentOf(this.#options.clock))) === 'expired'
  }

  /** Keeps the token that lives longer: what a refresh brought without a later end counts as "not yet". */
  #store(key: string, fetched: CachedToken): CachedToken {
    const held = this.#held.peek(key)
    if (
      held &&
      !this.#isExpired(held) &&
      held.life.endsAtMonotonic >= fetched.life.endsAtMonotonic &&
      held.life.endsAt >= fetched.life.endsAt
    ) {
      held.failure = undefined
      this.#atRisk.delete(held)
      this.#postpone(held)
      return held
    }
    this.#held.set(key, fetched)
    return fetched
  }
}

const noAnswer = (ms: number) =>
  new BrokerError('upstream_unavailable', `No token could be had within ${ms} ms.`, { reason: 'timeout' })

const stillborn = () =>
  new BrokerError('upstream_invalid', 'Entra issued a token that has no useful life left.', { reason: 'expired' })

function tooShort(remaining: number, retryAfter = replaceOncePerMs / 1000, cause?: BrokerError): BrokerError {
  return new BrokerError('upstream_unavailable', 'No token with the least remaining life asked for can be had now.', {
    reason: 'min_expires_in',
    retryAfter,
    availableExpiresIn: Math.max(0, Math.floor(remaining / 1000)),
    remedy: 'Ask with a smaller min_expires_in, or again after retry_after seconds.',
    ...(cause && { cause }),
  })
}
