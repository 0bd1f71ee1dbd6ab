import { decodeJwt } from 'jose'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { timed, type Observer } from '../lib/timed.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { failurePeriodMs, withSecondsLeft } from './negative-cache-rules.ts'
import { guidsIn } from '../lib/identifiers.ts'
import { freshness, momentOf, planLife, refreshBackOffMs, remainingMs, usableMs, type Life } from './freshness.ts'
import type { Assertion, AssertionSource } from '../events.ts'

/** What {@link createAssertionCache} needs, and its limit. */
export interface AssertionCacheOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds for one fetch. */
  readonly timeoutMs: number
  /** Told of every fetch. */
  readonly fetched: Observer
}

/** Assertions with less life than this are not sent: the exchange must arrive while they are valid. */
export const minRemainingSeconds = 60

/**
 * Keeps the identity's token while it lives and replaces it in the background once it is due, so that an identity
 * endpoint that is away costs nothing until then. One fetch at a time. After a failure none is made for up to a second, then
 * two, … 30 s (full jitter, on top of Retry-After): whoever has no assertion meanwhile gets that failure at once.
 */
export function createAssertionCache(
  fetchAssertion: (signal: AbortSignal) => Promise<Assertion>,
  options: AssertionCacheOptions,
): AssertionSource {
  return new AssertionCache(fetchAssertion, options)
}

class AssertionCache implements AssertionSource {
  readonly #fetchAssertion: (signal: AbortSignal) => Promise<Assertion>
  readonly #options: AssertionCacheOptions
  #cached: { readonly assertion: Assertion; readonly life: Life } | undefined
  #tenant: string | undefined
  #fetching: Promise<Assertion> | undefined
  /** The last fetch, if it failed: no other is made for some time. */
  #failure: { readonly error: BrokerError; readonly count: number; readonly until: number } | undefined
  #failures = 0
  #refreshNotBefore = Number.NEGATIVE_INFINITY

  constructor(fetchAssertion: (signal: AbortSignal) => Promise<Assertion>, options: AssertionCacheOptions) {
    this.#fetchAssertion = fetchAssertion
    this.#options = options
  }

  homeTenant = (): string | undefined => this.#tenant

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
    const held = this.#cached?.assertion
    return held === undefined || held.token === refused.token ? this.#fetch() : Promise.resolve(held)
  }

  /** A refresh that fails or that brings the same token again waits longer before the next one. */
  #refresh(held: Assertion, life: Life): void {
    if (this.#fetching) return
    const settled = (fetched?: Assertion) => {
      this.#failures = fetched && fetched.expiresAt > held.expiresAt ? 0 : this.#failures + 1
      const moment = momentOf(this.#options.clock)
      const servedFor = usableMs(life, moment)
      const wait = this.#failures === 0 ? 0 : refreshBackOffMs(this.#failures, servedFor, this.#options.random)
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
      (thrown: unknown) => this.#remember(asBrokerError(thrown)),
    )
    return this.#fetching
  }

  /** Without its cause, which can hold a request; a bug is not remembered. */
  #remember(failed: BrokerError): void {
    if (failed.code !== 'identity_unavailable') return
    const { clock, random } = this.#options
    const { cause: _cause, ...parts } = failed.parts
    const error = failed.withParts(parts)
    const count = (this.#failure?.count ?? 0) + 1
    const until = clock.monotonic() + failurePeriodMs('key', error, count, random)
    this.#failure = { error, count, until }
  }

  async #fetchOnce(): Promise<Assertion> {
    const { clock, random, timeoutMs } = this.#options
    const asked = momentOf(clock)
    const assertion = await withDeadline(this.#fetchAssertion, timeoutMs, () => noAnswer(timeoutMs))
    const expiresIn = (assertion.expiresAt - asked.now) / 1000
    if (expiresIn <= 0) {
      throw new BrokerError('identity_unavailable', "The managed identity's token has already expired.", {
        reason: 'expired',
        remedy: 'Compare the clock of this machine with the real time.',
      })
    }
    this.#cached = { assertion, life: planLife({ expiresIn }, asked, minRemainingSeconds, random) }
    this.#tenant = issuingTenantOf(assertion.token) ?? this.#tenant
    return assertion
  }
}

const noAnswer = (ms: number) =>
  new BrokerError('identity_unavailable', `The identity endpoint did not respond within ${ms} ms.`, {
    reason: 'timeout',
  })

/** The tenant that issued an Entra token: its `tid`, or the GUID in its issuer. */
function issuingTenantOf(token: string): string | undefined {
  try {
    const { tid, iss } = decodeJwt(token)
    return typeof tid === 'string' ? tid.toLowerCase() : guidsIn(iss ?? '')[0]
  } catch {
    return undefined
  }
}
