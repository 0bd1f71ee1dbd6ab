import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { asBrokerError } from '../errors.ts'
import { createApiKeys, type ApiKeyCaller, type ApiKeys } from './api-keys.ts'
import type { Clock } from './clock.ts'
import { issuerOf, verifyJwt, type Issuer, type JwtCaller, type VerifiedJwt } from './jwt-caller.ts'
import type { SecretCaller } from './local-secret.ts'
import type { Policy } from './policy-model.ts'

export type { Issuer } from './jwt-caller.ts'

/**
 * An authenticated caller, of whichever kind. Only an {@link Authenticate} hands one out. It belongs to the version of
 * the policy under which it was authenticated (`policy`) and is judged by that one; `id` names who it is, in the same
 * words whatever its credential's own life.
 */
export type Caller = JwtCaller | ApiKeyCaller | SecretCaller

/** Turns a bearer credential (RFC 6750 §2.1) into a caller; without waiting, where it was verified before. */
export type Authenticate = (credential: string) => Caller | Promise<Caller>

/** Whom one version of the policy lets in. A new version is a new value. */
export interface Admission {
  readonly policy: Policy
  readonly issuers: ReadonlyMap<string, Issuer>
  readonly apiKeys: ApiKeys
}

/** @param issuers the policy's, with the source of their keys */
export const createAdmission = (policy: Policy, issuers: readonly Issuer[]): Admission => ({
  policy,
  issuers: new Map(issuers.map(issuer => [issuer.issuer, issuer])),
  apiKeys: createApiKeys(policy),
})

/**
 * Told of every JWT that was checked and not merely remembered, and of every API key that has expired: `verified`, or
 * the reason of the refusal.
 *
 * @param issuer its name in the policy, where the credential names one that is there
 */
export type Verification = (issuer: string | undefined, outcome: string) => void

const rememberedCallers = 10_000

/**
 * Recognises callers by their credential. What has the hash of an API key of the policy is that key, whatever it looks
 * like; anything else must be a JWT. Verified JWTs are remembered by their SHA-256 until they expire, their issuer's keys
 * change, or the policy does; API keys need no remembering.
 *
 * Rejects with `invalid_token` or `issuer_unavailable`.
 *
 * @param admission looked at for each request: what it returns may change
 */
export function createAuthenticate(
  admission: () => Admission,
  clock: Clock,
  verification: Verification = () => undefined,
): Authenticate {
  const remembered = new RememberedJwts(clock)

  const check = async (credential: string, { policy, issuers }: Admission): Promise<VerifiedJwt> => {
    let issuer: Issuer | undefined
    try {
      issuer = issuerOf(credential, issuers)
      const verified = await verifyJwt(credential, issuer, policy, clock)
      verification(issuer.name, 'verified')
      return verified
    } catch (thrown) {
      verification(issuer?.name, asBrokerError(thrown).reason)
      throw thrown
    }
  }

  return credential => {
    const now = admission()
    const fingerprint = hash('sha256', credential, 'base64url')
    const known = remembered.find(fingerprint, now) ?? findKey(fingerprint, now)
    if (known) return known
    return check(credential, now).then(verified => {
      remembered.keep(fingerprint, verified, now)
      return verified.caller
    })
  }

  function findKey(fingerprint: string, { apiKeys }: Admission): ApiKeyCaller | undefined {
    try {
      return apiKeys.find(fingerprint, clock.now())
    } catch (thrown) {
      verification(undefined, asBrokerError(thrown).reason)
      throw thrown
    }
  }
}

/** Verified tokens of one version of the policy, by SHA-256. */
class RememberedJwts {
  readonly #clock: Clock
  readonly #byFingerprint = new LRUCache<string, VerifiedJwt>({ max: rememberedCallers })
  #under: Admission | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(fingerprint: string, under: Admission): JwtCaller | undefined {
    if (this.#under !== under) {
      this.#byFingerprint.clear()
      this.#under = under
    }
    const known = this.#byFingerprint.get(fingerprint)
    if (known === undefined) return undefined
    if (this.#isGood(known) && known.issuer.keys.current() === known.keys) return known.caller
    this.#byFingerprint.delete(fingerprint)
    return undefined
  }

  /** Not kept when the policy has changed while it was being verified. */
  keep(fingerprint: string, verified: VerifiedJwt, under: Admission): void {
    if (this.#under === under && this.#isGood(verified)) this.#byFingerprint.set(fingerprint, verified)
  }

  #isGood = ({ expiresAt }: VerifiedJwt): boolean => this.#clock.now() < expiresAt
}
