import { createLocalJWKSet, type JSONWebKeySet, type JWK } from 'jose'
import { BrokerError, messageOf } from '../../errors.ts'
import { timed, type Observer } from '../lib/timed.ts'
import type { Clock } from '../lib/clock.ts'

/** The keys of one issuer at one moment. A new object whenever, and only when, the keys changed. */
export interface PublishedKeys {
  /** Finds the key for a JWS header; throws jose's `JWKSNoMatchingKey` or `JWKSMultipleMatchingKeys`. */
  readonly find: ReturnType<typeof createLocalJWKSet>
  /** Canonical text of the keys, to notice a change. */
  readonly text: string
}

/** The keys of one issuer over time. */
export interface Jwks {
  /**
   * The keys as they are known, without waiting; starts a background fetch when they are due. `undefined` when there
   * are none or they are too old to be trusted.
   */
  readonly current: () => PublishedKeys | undefined
  /** The keys as they are known, fetched first if there are none. Rejects with `issuer_unavailable`. */
  readonly ready: () => Promise<PublishedKeys>
  /** Newer keys than `seen`, for a key id that `seen` lacks; resolves to `seen` while cooling down or on failure. */
  readonly newerThan: (seen: PublishedKeys) => Promise<PublishedKeys>
}

/** Milliseconds after which keys are fetched again on use: how long a withdrawn key goes on working, give or take the grace. */
export const refreshAfterMs = 5 * 60_000
/** Milliseconds for which keys that are due still serve while they are fetched in the background. */
export const graceMs = 30_000
/** Milliseconds for which keys are trusted while the issuer is unreachable. */
export const staleAfterMs = 60 * 60_000
/** Least milliseconds between two fetches that failed or that an unknown key id asked for. */
export const coolDownMs = 10_000
/** Keys of one issuer. */
export const maxKeys = 100

/**
 * Checks a JWK Set (RFC 7517 §5) and makes it searchable. Keys for encryption are left out. `use: jwt-svid`
 * (SPIFFE JWT-SVID §3.2) means signature keys, under a name that jose does not look for.
 * Entries that are no public signature key are left out too (RFC 7517 §5), private and symmetric ones among them.
 * @throws Error when it is not a JWK Set or holds no usable key.
 */
export function parseJwks(document: unknown): PublishedKeys {
  const listed = typeof document === 'object' && document !== null && 'keys' in document ? document.keys : undefined
  if (!Array.isArray(listed)) throw new Error('not a JWK Set: it has no "keys" array')
  if (listed.length > maxKeys) throw new Error(`the JWK Set has more than ${maxKeys} keys`)
  const keys: JWK[] = []
  for (const key of listed as unknown[]) {
    if (typeof key !== 'object' || key === null || 'd' in key || 'k' in key) continue
    const { use, ...jwk } = key as JWK
    if (use === undefined || use === 'sig' || use === 'jwt-svid') keys.push(jwk)
  }
  if (keys.length === 0) throw new Error('the JWK Set holds no key for signatures')
  const jwks: JSONWebKeySet = { keys }
  return { find: createLocalJWKSet(jwks), text: JSON.stringify(jwks) }
}

/** Keys that never change while the process runs, such as those of a file. */
export function fixedJwks(keys: PublishedKeys): Jwks {
  return { current: () => keys, ready: () => Promise.resolve(keys), newerThan: () => Promise.resolve(keys) }
}

/**
 * Keys that are fetched on use. One fetch at a time; after a failure, and after a fetch that an unknown key id asked
 * for, none for {@link coolDownMs}, however many forged tokens arrive; old keys serve for {@link staleAfterMs} while the
 * issuer is away.
 *
 * @param fetchKeys reads the issuer's JWK Set: bounded in size and time by whoever supplies it
 * @param fetched told of every fetch
 */
export function fetchedJwks(
  issuer: string,
  fetchKeys: () => Promise<unknown>,
  clock: Clock,
  fetched: Observer = () => undefined,
): Jwks {
  return new FetchedJwks(issuer, fetchKeys, clock, fetched)
}

class FetchedJwks implements Jwks {
  readonly #issuer: string
  readonly #fetchKeys: () => Promise<unknown>
  readonly #clock: Clock
  readonly #fetched: Observer
  #keys: PublishedKeys | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  /** After a failure. */
  #notBefore = Number.NEGATIVE_INFINITY
  /** After a fetch for the sake of an unknown key id: does not hold up the refresh of keys that are due. */
  #unknownNotBefore = Number.NEGATIVE_INFINITY
  #fetching: Promise<void> | undefined
  #lastFailure: unknown

  constructor(issuer: string, fetchKeys: () => Promise<unknown>, clock: Clock, fetched: Observer) {
    this.#issuer = issuer
    this.#fetchKeys = fetchKeys
    this.#clock = clock
    this.#fetched = fetched
  }

  current = (): PublishedKeys | undefined => {
    const age = this.#clock.monotonic() - this.#fetchedAt
    if (age < refreshAfterMs) return this.#keys
    void this.#fetch()
    const isAway = this.#lastFailure !== undefined
    return age < (isAway ? staleAfterMs : refreshAfterMs + graceMs) ? this.#keys : undefined
  }

  ready = async (): Promise<PublishedKeys> => {
    const known = this.current()
    if (known) return known
    await this.#fetch()
    const fetched = this.current()
    if (fetched) return fetched
    throw new BrokerError('issuer_unavailable', `The keys of issuer "${this.#issuer}" could not be fetched.`, {
      retryAfter: Math.max(1, Math.ceil((this.#notBefore - this.#clock.monotonic()) / 1000)),
      cause: this.#lastFailure,
    })
  }

  newerThan = async (seen: PublishedKeys): Promise<PublishedKeys> => {
    if (this.#keys !== undefined && this.#keys !== seen) return this.#keys
    const monotonic = this.#clock.monotonic()
    if (!this.#fetching) {
      if (monotonic < this.#unknownNotBefore) return seen
      this.#unknownNotBefore = monotonic + coolDownMs
    }
    await this.#fetch()
    return this.#keys ?? seen
  }

  /** Never rejects: whoever waits looks at what there is afterwards. */
  #fetch(): Promise<void> {
    if (this.#fetching) return this.#fetching
    if (this.#clock.monotonic() < this.#notBefore) return Promise.resolve()
    this.#fetching = this.#fetchOnce().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchOnce(): Promise<void> {
    try {
      const read = async () => parseJwks(await this.#fetchKeys())
      const keys = await timed(read, this.#clock, this.#fetched, keysUnavailable)
      if (keys.text !== this.#keys?.text) this.#keys = keys
      this.#fetchedAt = this.#clock.monotonic()
      this.#lastFailure = undefined
    } catch (thrown) {
      this.#lastFailure = thrown
      this.#notBefore = this.#clock.monotonic() + coolDownMs
    }
  }
}

/** An issuer, as far as its keys go. */
interface Publisher {
  readonly name: string
  readonly keys: Pick<Jwks, 'ready'>
}

/**
 * Resolves once the keys of one of these issuers are there; at once where there are no issuers.
 * Rejects with `issuer_unavailable`, saying of each issuer why its keys are not.
 */
export async function readyKeys(issuers: readonly Publisher[]): Promise<void> {
  if (issuers.length === 0) return
  const tries = issuers.map(({ keys }) => keys.ready())
  await Promise.any(tries).catch(async () => {
    const outcomes = await Promise.allSettled(tries)
    const whys = outcomes.map((outcome, n) => `${issuers[n]?.name ?? ''} (${whyNot(outcome)})`)
    throw new BrokerError('issuer_unavailable', `No issuer's keys could be fetched: ${whys.join('; ')}.`, {
      reason: 'keys',
      remedy:
        "From the broker's network, read each issuer's discovery document or jwksUri, and correct its issuer, jwksUri " +
        'or caFile in the policy; where anonymous reads are refused, as by Kubernetes API servers, use jwksFile.',
    })
  })
}

function whyNot(outcome: PromiseSettledResult<unknown>): string {
  const thrown: unknown = outcome.status === 'rejected' ? outcome.reason : undefined
  return messageOf(thrown instanceof BrokerError ? (thrown.cause ?? thrown) : thrown)
}

const keysUnavailable = (cause: unknown): BrokerError =>
  new BrokerError('issuer_unavailable', messageOf(cause), { reason: 'keys', cause })
