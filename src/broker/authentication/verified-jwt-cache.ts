import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { weightOf } from '../policy/file/named-claims.ts'
import type { VerifiedJwt } from './jwt.ts'

const maxCachedJwts = 10_000
/** The total weight of all cached JWTs, in bytes. */
export const maxCachedBytes = 32 * 1024 * 1024
/** What an entry weighs without the texts of its token: the objects, the fingerprint, and a fragment of audit line. */
const entryBytes = 1024

const weigh = ({ caller }: VerifiedJwt): number =>
  entryBytes + weightOf(caller.id) + weightOf(caller.subject) + weightOf(caller.claims)

/** The verified JWTs of one version of the policy, by SHA-256. Bounded by their number and by their weight. */
export class VerifiedJwtCache {
  readonly #clock: Clock
  readonly #byFingerprint = new LRUCache<string, VerifiedJwt>({
    max: maxCachedJwts,
    maxSize: maxCachedBytes,
    sizeCalculation: weigh,
  })
  /** Compared only by identity: a new version of the policy is a new object. */
  #admission: object | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Returns a JWT that is still valid: not expired, and its issuer's keys and the policy have not changed. */
  find(fingerprint: string, admission: object): VerifiedJwt | undefined {
    if (this.#admission !== admission) {
      this.#byFingerprint.clear()
      this.#admission = admission
    }
    const cached = this.#byFingerprint.get(fingerprint)
    if (cached === undefined) return undefined
    if (this.#isUnexpired(cached) && cached.issuer.keys.current() === cached.keys) return cached
    this.#byFingerprint.delete(fingerprint)
    return undefined
  }

  /** Does nothing if the policy changed while the JWT was being verified. */
  store(fingerprint: string, verified: VerifiedJwt, admission: object): void {
    if (this.#admission === admission && this.#isUnexpired(verified)) this.#byFingerprint.set(fingerprint, verified)
  }

  #isUnexpired = ({ expiresAt }: VerifiedJwt): boolean => this.#clock.now() < expiresAt
}
