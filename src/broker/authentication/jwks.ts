import { createLocalJWKSet, type JSONWebKeySet, type JWK } from 'jose'
import { BrokerError, messageOf } from '../../errors.ts'
import { timed, type Observer } from '../lib/async/timed.ts'
import type { Clock } from '../lib/clock.ts'
import { isWeakKey } from './weak-keys.ts'

/** The keys of one issuer at one moment. There is a new object if, and only if, the keys changed. */
export interface PublishedKeys {
  /** Finds the key for a JWS header; throws jose's `JWKSNoMatchingKey` or `JWKSMultipleMatchingKeys`. */
  readonly find: ReturnType<typeof createLocalJWKSet>
  /** The keys as JSON text, to detect a change. */
  readonly text: string
}

/** The keys of one issuer over time. */
export interface Jwks {
  /**
   * Returns the cached keys without waiting, and starts a background fetch if they are due. Returns `undefined` if there
   * are none, or if they are too old to be trusted.
   */
  readonly current: () => PublishedKeys | undefined
  /** Returns the cached keys, and fetches them first if there are none. Rejects with `issuer_unavailable`. */
  readonly ready: () => Promise<PublishedKeys>
  /** Returns newer keys than `seen`, for a key id that `seen` lacks. Resolves to `seen` during the cool-down or on failure. */
  readonly newerThan: (seen: PublishedKeys) => Promise<PublishedKeys>
}

/** Age in milliseconds from which keys are fetched again on use. A withdrawn key works for this long, plus {@link graceMs}. */
export const refreshAfterMs = 5 * 60_000
/** Milliseconds for which keys that are due are still used while they are fetched in the background. */
export const graceMs = 30_000
/** Age in milliseconds up to which keys are trusted while the issuer is unavailable. */
export const staleAfterMs = 60 * 60_000
/** Milliseconds between two fetches after a failure, and between two fetches for unknown key ids. */
export const coolDownMs = 10_000
/** The maximum number of keys of one issuer. */
export const maxKeys = 100

/**
 * Parses a JWK Set (RFC 7517 §5). Entries that are not public signature keys are ignored, among them encryption keys,
 * private keys and symmetric keys, and so are keys with which everybody can sign ({@link isWeakKey}). `use: jwt-svid`
 * (SPIFFE JWT-SVID §3.2) also marks a signature key; jose does not know this value, so it is removed.
 *
 * @throws Error if the document is not a JWK Set, has more than {@link maxKeys} keys, or has no usable key
 */
export function parseJwks(document: unknown): PublishedKeys {
  const listed = typeof document === 'object' && document !== null && 'keys' in document ? document.keys : undefined
  if (!Array.isArray(listed)) throw new Error('not a JWK Set: it has no "keys" array')
  if (listed.length > maxKeys) throw new Error(`the JWK Set has more than ${maxKeys} keys`)
  const keys: JWK[] = []
  for (const key of listed as unknown[]) {
    if (typeof key !== 'object' || key === null || 'd' in key || 'k' in key) continue
    const { use, ...jwk } = key as JWK
    if ((use === undefined || use === 'sig' || use === 'jwt-svid') && !isWeakKey(jwk)) {
      keys.push(withoutEdwardsName(jwk))
    }
  }
  if (keys.length === 0) throw new Error('the JWK Set has no key for signatures')
  const jwks: JSONWebKeySet = { keys }
  return { find: createLocalJWKSet(jwks), text: JSON.stringify(jwks) }
}

/**
 * Removes the `alg` of an Ed25519 key, which has two names: `EdDSA` (RFC 8037) and `Ed25519` (RFC 9864). The curve says the
 * same, and a token may use either name.
 */
function withoutEdwardsName({ alg, ...key }: JWK): JWK {
  const isEdwards = key.crv === 'Ed25519' && (alg === 'EdDSA' || alg === 'Ed25519')
  return alg === undefined || isEdwards ? key : { ...key, alg }
}

/** Keys that never change, such as those of one version of a file. */
export function fixedJwks(keys: PublishedKeys): Jwks {
  return { current: () => keys, ready: () => Promise.resolve(keys), newerThan: () => Promise.resolve(keys) }
}

/**
 * Keys that are fetched on use, one fetch at a time. A failed fetch is repeated after {@link coolDownMs} at the earliest.
 * Unknown key ids cause one fetch in {@link coolDownMs}, however many forged tokens arrive. While the issuer is unavailable,
 * its last keys are used up to an age of {@link staleAfterMs}.
 *
 * @param fetchKeys reads the issuer's JWK Set; must limit its size and its time
 * @param fetched observes every fetch
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
  /** The end of the cool-down after a failure. */
  #notBefore = Number.NEGATIVE_INFINITY
  /** The end of the cool-down after a fetch for an unknown key id. It does not delay the refresh of keys that are due. */
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
    const isUnavailable = this.#lastFailure !== undefined
    return age < (isUnavailable ? staleAfterMs : refreshAfterMs + graceMs) ? this.#keys : undefined
  }

  ready = async (): Promise<PublishedKeys> => {
    const cached = this.current()
    if (cached) return cached
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

  /** Never rejects: the caller reads `#keys` afterwards. */
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

/** The name and the keys of an issuer. */
interface Publisher {
  readonly name: string
  readonly keys: Pick<Jwks, 'ready'>
}

/**
 * Resolves once the keys of one of these issuers are available, or at once if there are no issuers. Rejects with
 * `issuer_unavailable`, and says for each issuer why its keys are unavailable.
 */
export async function readyKeys(issuers: readonly Publisher[]): Promise<void> {
  if (issuers.length === 0) return
  const attempts = issuers.map(({ keys }) => keys.ready())
  await Promise.any(attempts).catch(async () => {
    const outcomes = await Promise.allSettled(attempts)
    const failures = outcomes.map((outcome, n) => `${issuers[n]?.name ?? ''} (${failureText(outcome)})`)
    throw new BrokerError('issuer_unavailable', `No issuer's keys could be fetched: ${failures.join('; ')}.`, {
      reason: 'keys',
      remedy:
        "From the broker's network, read each issuer's discovery document or jwksUri, and correct its issuer, jwksUri " +
        'or caFile in the policy; if the issuer refuses anonymous reads, as Kubernetes API servers do, use jwksTokenFile ' +
        'or jwksFile.',
    })
  })
}

function failureText(outcome: PromiseSettledResult<unknown>): string {
  const thrown: unknown = outcome.status === 'rejected' ? outcome.reason : undefined
  return messageOf(thrown instanceof BrokerError ? (thrown.cause ?? thrown) : thrown)
}

const keysUnavailable = (cause: unknown): BrokerError =>
  new BrokerError('issuer_unavailable', messageOf(cause), { reason: 'keys', cause })
