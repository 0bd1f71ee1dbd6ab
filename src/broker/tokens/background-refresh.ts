import { asBrokerError } from '../../errors.ts'
import type { Grant } from '../authorization/authorize.ts'
import type { Events } from '../events.ts'
import type { Clock } from '../lib/clock.ts'
import type { CachedToken } from './cached-token.ts'
import { longestWaitMs, momentOf, refreshBackOffMs, usableMs, type Moment } from './freshness.ts'
import type { SharedTokens } from './shared-tokens.ts'
import type { SingleFlight } from './single-flight/single-flight.ts'
import type { TokenStore } from './token-store.ts'

/** What refreshes need of the cache. */
export interface BackgroundRefreshOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly tokens: TokenStore
  readonly singleFlight: SingleFlight
  readonly sharedTokens: SharedTokens | undefined
  readonly refreshed: Events['refreshed']
}

/**
 * So long after it looked for a newer token in the second level, in milliseconds, a replica looks again: another replica may
 * be fetching one meanwhile.
 */
export const lookAgainMs = 1000

/** Refreshes tokens that are due, while they are still served. */
export class BackgroundRefresh {
  readonly #options: BackgroundRefreshOptions

  constructor(options: BackgroundRefreshOptions) {
    this.#options = options
  }

  /** Starts a refresh of a token that is due, unless one is under way or the pause after the last one is not over. */
  start(grant: Grant, token: CachedToken, { monotonic }: Moment): void {
    const { singleFlight, sharedTokens } = this.#options
    if (monotonic < token.refreshNotBefore || singleFlight.has(grant.key)) return
    if (sharedTokens === undefined) return this.#fetch(grant, token)
    token.refreshNotBefore = monotonic + Math.min(lookAgainMs, longestWaitMs(this.#usable(token)))
    void this.#fetchUnlessShared(grant, token, sharedTokens)
  }

  /** After each refresh in a row that brought no newer token, the next one waits longer. */
  postpone(token: CachedToken): void {
    const { clock, random } = this.#options
    token.failedRefreshes++
    token.refreshNotBefore = clock.monotonic() + refreshBackOffMs(token.failedRefreshes, this.#usable(token), random)
  }

  async #fetchUnlessShared(grant: Grant, token: CachedToken, sharedTokens: SharedTokens): Promise<void> {
    const { tokens, singleFlight, refreshed } = this.#options
    const found = await sharedTokens.lookUp(grant, false, token.newestIssuedAt)
    if (found.token) refreshed(grant, found.token === token ? 'not_yet' : 'replaced')
    else if (found.isFetching || singleFlight.has(grant.key)) return
    // It may have been purged meanwhile.
    else if (tokens.peek(grant.key) === token) this.#fetch(grant, token)
  }

  #fetch(grant: Grant, token: CachedToken): void {
    const { clock, singleFlight, refreshed } = this.#options
    singleFlight.inBackground(grant, longestWaitMs(this.#usable(token)), token.newestIssuedAt).then(
      stored => refreshed(grant, stored === token ? 'not_yet' : 'replaced'),
      (thrown: unknown) => {
        const error = asBrokerError(thrown)
        if (error.code === 'rate_limited') {
          // The limit of one caller says nothing about the token: the next caller may refresh it. That of the tenant is the
          // same for all.
          if (error.parts.limit?.what === 'tenant') this.#await(token, error.retryAfter)
          return
        }
        token.failure = { error, at: clock.now() }
        this.postpone(token)
        refreshed(grant, 'failed', error)
      },
    )
  }

  /** The next refresh begins in so many seconds, if the token is usable for long enough. */
  #await(token: CachedToken, seconds = 1): void {
    const longest = longestWaitMs(this.#usable(token))
    token.refreshNotBefore = this.#options.clock.monotonic() + Math.min(seconds * 1000, longest)
  }

  #usable({ life }: CachedToken): number {
    return usableMs(life, momentOf(this.#options.clock))
  }
}
