import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { weightOf } from '../policy/file/named-claims.ts'
import type { VerifiedJwt } from './jwt.ts'

const maxCachedJwts = 10_000
/** The total weight of all cached JWTs, in bytes. */
export const maxCachedBytes = 32 * 1024 * 1024
/** What an entry weighs without the texts of its token: the objects, the fingerprint, and a fragment of audit line. */
const entryBytes = 1024

/** The longest JWT that is compared as a text, in characters. Longer ones are found by their SHA-256 only. */
const maxComparedLength = 4096

/** A verified JWT. */
interface Entry {
  readonly verified: VerifiedJwt
  /** The JWT itself; `undefined` if it is too long to be kept. */
  readonly text: string | undefined
}

const weigh = ({ verified: { caller }, text }: Entry): number =>
  entryBytes + (text?.length ?? 0) + weightOf(caller.id) + weightOf(caller.subject) + weightOf(caller.claims)

/**
 * The verified JWTs of one version of the policy, by SHA-256. Bounded by their number and by their weight.
 *
 * A connection usually sends the same JWT again and again. So its last one is compared as a text first, which costs a
 * fiftieth of the hash. The comparison does not take constant time. What it could reveal is the credential that the same
 * connection, verified, has just sent.
 */
export class VerifiedJwtCache {
  readonly #clock: Clock
  readonly #byFingerprint = new LRUCache<string, Entry>({
    max: maxCachedJwts,
    maxSize: maxCachedBytes,
    sizeCalculation: weigh,
  })
  /** By connection: at most one for each, of at most {@link maxComparedLength} characters. */
  #lastOn = new WeakMap<object, Entry>()
  /** Compared only by identity: a new version of the policy is a new object. */
  #admission: object | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Returns the JWT that a connection sent last, if this is the same text and still valid, as {@link find} does. */
  findLast(connection: object, text: string, admission: object): VerifiedJwt | undefined {
    const last = this.#admission === admission ? this.#lastOn.get(connection) : undefined
    return last?.text === text && this.#isCurrent(last) ? last.verified : undefined
  }

  /**
   * Returns a JWT that is still valid: not expired, and its issuer's keys and the policy have not changed.
   *
   * @param connection on which it was sent
   */
  find(fingerprint: string, admission: object, connection?: object): VerifiedJwt | undefined {
    if (this.#admission !== admission) {
      this.#byFingerprint.clear()
      this.#lastOn = new WeakMap()
      this.#admission = admission
    }
    const cached = this.#byFingerprint.get(fingerprint)
    if (cached === undefined) return undefined
    if (this.#isCurrent(cached)) {
      if (connection && cached.text !== undefined) this.#lastOn.set(connection, cached)
      return cached.verified
    }
    this.#byFingerprint.delete(fingerprint)
    return undefined
  }

  /** Does nothing if the policy changed while the JWT was being verified. */
  store(fingerprint: string, text: string, verified: VerifiedJwt, admission: object): void {
    if (this.#admission !== admission || !this.#isUnexpired(verified)) return
    this.#byFingerprint.set(fingerprint, { verified, text: text.length <= maxComparedLength ? text : undefined })
  }

  #isCurrent({ verified }: Entry): boolean {
    return this.#isUnexpired(verified) && verified.issuer.keys.current() === verified.keys
  }

  #isUnexpired = ({ expiresAt }: VerifiedJwt): boolean => this.#clock.now() < expiresAt
}
