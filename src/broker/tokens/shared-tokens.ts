import type { Grant } from '../authorization/authorize.ts'
import type { FetchFilter, IssuedToken, TokenSource } from '../events.ts'
import type { Clock } from '../lib/clock.ts'
import type { CachedToken } from './cached-token.ts'
import { momentOf, planLife, usableMs } from './freshness.ts'
import { matches } from './negative-cache/records.ts'
import { wantedToken, type FetchedToken, type FetchSource, type SecondLevel, type Wanted } from './second-level.ts'

/** What a look-up in the second level found. */
export interface SharedLookUp {
  /** The cached token: the one that was found, or the one that was cached already if that lives as long. */
  readonly token: CachedToken | undefined
  /** Whether another replica is fetching it now. */
  readonly isFetching: boolean
  /** When a token was issued that was found, and is expired here: only a newer one is of use. */
  readonly newerThan?: number | undefined
}

/** What the second level needs of the cache. */
export interface SharedTokensOptions {
  readonly secondLevel: SecondLevel
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly minRemainingSeconds: number
  /** Stores a token that was found, and returns the token to serve. Throws if the found one is expired. */
  readonly store: (grant: Grant, found: FetchedToken) => CachedToken
}

interface RunningLookUp {
  readonly grant: Grant
  isPurged: boolean
  readonly result: Promise<SharedLookUp>
}

const nothing: SharedLookUp = { token: undefined, isFetching: false }

/** The second level as the cache sees it: one look-up per key at a time, and fetches through its lease. */
export class SharedTokens {
  readonly #options: SharedTokensOptions
  readonly #lookUps = new Map<string, RunningLookUp>()

  constructor(options: SharedTokensOptions) {
    this.#options = options
  }

  /** Looks a token up, and stores what is found. Joins the look-up of this key that is running. Never rejects. */
  lookUp(grant: Grant, isAwaited: boolean, newerThan?: number): Promise<SharedLookUp> {
    const running = this.#lookUps.get(grant.key)
    if (running) return running.result
    const { promise: result, resolve } = Promise.withResolvers<SharedLookUp>()
    const lookUp: RunningLookUp = { grant, isPurged: false, result }
    this.#lookUps.set(grant.key, lookUp)
    resolve(this.#find(lookUp, wantedToken(isAwaited, newerThan)))
    return result
  }

  async #find(lookUp: RunningLookUp, wanted: Wanted): Promise<SharedLookUp> {
    const { secondLevel, store } = this.#options
    const { grant } = lookUp
    const { token, isFetching } = await secondLevel.lookUp(grant, wanted)
    if (lookUp.isPurged) return nothing
    this.#lookUps.delete(grant.key)
    if (token === undefined) return { token, isFetching }
    try {
      return { token: store(grant, { ...token, isShared: true }), isFetching }
    } catch {
      return { token: undefined, isFetching, newerThan: token.issuedAt }
    }
  }

  /** Makes a source of fetches over a source of exchanges. When a token becomes due is planned here, once for all replicas. */
  source(source: TokenSource): FetchSource {
    return async (grant, signal, wanted) => {
      let own: IssuedToken | undefined
      const exchange: TokenSource = async (...request) => (own = await this.#exchange(source, ...request))
      const fetch = (which: Wanted) => this.#options.secondLevel.fetch(grant, which, signal, exchange)
      let fetched = await fetch(wanted)
      const isOfNoUse = () => fetched.token !== own?.token && this.#isExpired(fetched)
      if (isOfNoUse()) fetched = await fetch(wantedToken(wanted.isAwaited, fetched.issuedAt))
      // The replicas' clocks differ, or their limits: then this one needs a token of its own.
      if (isOfNoUse()) return exchange(grant, signal)
      return fetched.token === own?.token ? own : { ...fetched, isShared: true }
    }
  }

  async #exchange(source: TokenSource, grant: Grant, signal: AbortSignal): Promise<IssuedToken> {
    const { clock, random, minRemainingSeconds } = this.#options
    const requestedAt = momentOf(clock)
    const issued = await source(grant, signal)
    const { endsAt, dueBeforeEnd } = planLife(issued, requestedAt, minRemainingSeconds, random)
    return { ...issued, issuedAt: requestedAt.now, refreshAt: endsAt - dueBeforeEnd }
  }

  #isExpired(token: IssuedToken): boolean {
    const { clock, random, minRemainingSeconds } = this.#options
    const moment = momentOf(clock)
    return usableMs(planLife(token, moment, minRemainingSeconds, random), moment) <= 0
  }

  /** Ignores the results of matching look-ups that are running: they may be from before the purge. */
  purge(filter: FetchFilter): void {
    for (const [key, lookUp] of this.#lookUps) {
      if (!matches(lookUp.grant, filter)) continue
      lookUp.isPurged = true
      this.#lookUps.delete(key)
    }
  }
}
