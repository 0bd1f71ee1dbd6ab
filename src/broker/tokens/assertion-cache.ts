import { decodeJwt } from 'jose'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { timed, type Observer } from '../lib/async/timed.ts'
import type { Clock, Wait } from '../lib/clock.ts'
import { withDeadline } from '../lib/async/deadline.ts'
import { hedged } from '../lib/async/hedge.ts'
import { failurePeriodMs, withSecondsLeft } from './negative-cache/negative-cache-rules.ts'
import { guidsIn } from '../lib/identifiers.ts'
import { freshness, momentOf, planLife, refreshBackOffMs, remainingMs, usableMs, type Life } from './freshness.ts'
import type { Assertion, AssertionSource } from '../events.ts'

/** What {@link createAssertionCache} needs, and its limit. */
export interface AssertionCacheOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** The longest time of one fetch, in milliseconds. */
  readonly timeoutMs: number
  /** Measures that time. Default: a timer. */
  readonly wait?: Wait
  /** Called after every fetch. */
  readonly fetched: Observer
  /** Whose tokens they are. Default: the managed identity's. */
  readonly kind?: AssertionKind
}

/** What differs between the assertions of several sources. */
export interface AssertionKind {
  /** A fetch that has not ended after so many milliseconds is made once more; `undefined`: never. */
  readonly hedgeAfterMs: number | undefined
  /** The error of a fetch that has not ended in time. */
  readonly late: (ms: number) => BrokerError
  /** The error of a token that has already expired. */
  readonly expired: () => BrokerError
  /**
   * Whether `identity_unavailable` is cached. Not where it comes from another of these caches: the two pauses would add up,
   * and the second would be served while the first is over.
   */
  readonly cachesFailures: boolean
}

/** A cache of one assertion, which its owner may drop when it is empty. */
export interface AssertionCacheSource extends AssertionSource {
  /** Whether it has no assertion that may still be sent, and is not fetching one. A failure that it remembers does not count. */
  readonly isEmpty: () => boolean
}

/**
 * An assertion is not sent if it ends within this many seconds, or within the last tenth of its life if that is less: it
 * must be valid when the exchange reaches Entra.
 */
export const minRemainingSeconds = 60

/**
 * The longest back-off, in milliseconds. One endpoint on this machine serves the whole replica, and every caller without
 * a token waits for it: it is called again soon after it has recovered.
 */
export const longestIdentityBackOffMs = 1_500

/** A fetch that has not ended after so many milliseconds is made once more beside it, and again after as many. */
export const hedgeIdentityAfterMs = 1_500

/** The managed identity's token. */
const ofIdentity: AssertionKind = {
  cachesFailures: true,
  hedgeAfterMs: hedgeIdentityAfterMs,
  late: ms =>
    new BrokerError('identity_unavailable', `The identity endpoint did not respond within ${ms} ms.`, {
      reason: 'timeout',
    }),
  expired: () =>
    new BrokerError('identity_unavailable', "The managed identity's token has already expired.", {
      reason: 'expired',
      remedy:
        'Compare the clock of this machine with the real time. If it is right, the platform returned an old token: ' +
        'restart the replica.',
    }),
}

/**
 * Caches the managed identity's token, the client assertion, or the token of a blueprint that is the assertion of an agent
 * identity. Once the token is due, one fetch in the background replaces
 * it; the cached one is served until it expires. So an unavailable identity endpoint does no harm until then.
 *
 * There is one fetch at a time. After a failure there is no fetch for `Retry-After` and up to 1 s, then 1.5 s more (full
 * jitter). Meanwhile requests without a valid assertion get that failure at once. A refresh that fails or returns
 * no newer token is followed by a pause, as in the token cache.
 */
export function createAssertionCache(
  fetchAssertion: (signal: AbortSignal) => Promise<Assertion>,
  options: AssertionCacheOptions,
): AssertionCacheSource {
  return new AssertionCache(fetchAssertion, options)
}

class AssertionCache implements AssertionCacheSource {
  readonly #fetchAssertion: (signal: AbortSignal) => Promise<Assertion>
  readonly #options: AssertionCacheOptions
  #cached: { readonly assertion: Assertion; readonly life: Life } | undefined
  #tenant: string | undefined
  #fetching: Promise<Assertion> | undefined
  /** The last fetch, if it failed. There is no other before `until`, in monotonic milliseconds. */
  #failure: { readonly error: BrokerError; readonly count: number; readonly until: number } | undefined
  /** Consecutive refreshes that failed or returned no newer token. */
  #failedRefreshes = 0
  #refreshNotBefore = Number.NEGATIVE_INFINITY

  constructor(fetchAssertion: (signal: AbortSignal) => Promise<Assertion>, options: AssertionCacheOptions) {
    this.#fetchAssertion = fetchAssertion
    this.#options = options
  }

  homeTenant = (): string | undefined => this.#tenant

  isEmpty = (): boolean => {
    if (this.#fetching !== undefined || this.#cached === undefined) return this.#fetching === undefined
    const { life } = this.#cached
    return freshness(life, remainingMs(life, momentOf(this.#options.clock))) === 'expired'
  }

  get = (): Promise<Assertion> => {
    if (this.#cached === undefined) return this.#fetch()
    const { assertion, life } = this.#cached
    const moment = momentOf(this.#options.clock)
    const state = freshness(life, remainingMs(life, moment))
    if (state === 'expired') return this.#fetch()
    if (state === 'due' && moment.monotonic >= this.#refreshNotBefore) this.#refresh(assertion, life)
    return Promise.resolve(assertion)
  }

  renew = (refused: Assertion): Promise<Assertion> => {
    const cached = this.#cached?.assertion
    return cached === undefined || cached.token === refused.token ? this.#fetch() : Promise.resolve(cached)
  }

  /** Each refresh in a row that fails or returns no newer token makes the pause before the next one longer. */
  #refresh(cached: Assertion, life: Life): void {
    if (this.#fetching) return
    const settled = (fetched?: Assertion) => {
      this.#failedRefreshes = fetched && fetched.expiresAt > cached.expiresAt ? 0 : this.#failedRefreshes + 1
      if (this.#failedRefreshes === 0) return
      const { clock, random } = this.#options
      const moment = momentOf(clock)
      const wait = refreshBackOffMs(this.#failedRefreshes, usableMs(life, moment), random)
      this.#refreshNotBefore = moment.monotonic + wait
    }
    this.#fetch().then(settled, () => settled())
  }

  #fetch(): Promise<Assertion> {
    if (this.#fetching) return this.#fetching
    const { clock, fetched } = this.#options
    const left = (this.#failure?.until ?? 0) - clock.monotonic()
    if (this.#failure && left > 0) return Promise.reject(withSecondsLeft(this.#failure.error, left))
    this.#fetching = timed(() => this.#fetchOnce(), clock, fetched).finally(() => {
      this.#fetching = undefined
    })
    this.#fetching.then(
      () => (this.#failure = undefined),
      (thrown: unknown) => this.#cacheFailure(asBrokerError(thrown)),
    )
    return this.#fetching
  }

  /** Without its cause, which can contain a request. A bug (`internal_error`) is not cached. */
  #cacheFailure(failed: BrokerError): void {
    const { clock, random, kind = ofIdentity } = this.#options
    if (failed.code !== 'identity_unavailable' || !kind.cachesFailures) return
    const { cause: _cause, ...parts } = failed.parts
    const error = failed.withParts(parts)
    const count = (this.#failure?.count ?? 0) + 1
    const until = clock.monotonic() + failurePeriodMs('key', error, count, random, longestIdentityBackOffMs)
    this.#failure = { error, count, until }
  }

  async #fetchOnce(): Promise<Assertion> {
    const { clock, random, timeoutMs, wait, kind = ofIdentity } = this.#options
    const { hedgeAfterMs } = kind
    const requestedAt = momentOf(clock)
    const fetch = (signal: AbortSignal) =>
      hedgeAfterMs === undefined
        ? this.#fetchAssertion(signal)
        : hedged(this.#fetchAssertion, hedgeAfterMs, signal, wait)
    const assertion = await withDeadline(fetch, timeoutMs, () => kind.late(timeoutMs), wait)
    const expiresIn = (assertion.expiresAt - requestedAt.now) / 1000
    if (expiresIn <= 0) throw kind.expired()
    this.#cached = { assertion, life: planLife({ expiresIn }, requestedAt, minRemainingSeconds, random) }
    this.#tenant = issuingTenantOf(assertion.token) ?? this.#tenant
    return assertion
  }
}

/** The tenant that issued an Entra token: its `tid`, or the GUID in its issuer. */
function issuingTenantOf(token: string): string | undefined {
  try {
    const { tid, iss } = decodeJwt(token)
    return typeof tid === 'string' ? tid.toLowerCase() : guidsIn(iss ?? '')[0]
  } catch {
    return undefined
  }
}
