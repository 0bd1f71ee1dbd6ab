import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { createApiKeys, type ApiKeyCaller, type ApiKeys } from './api-keys.ts'
import type { CertificateCaller, CertificateVerifier, PresentedCertificate } from './client-certificates.ts'
import type { Clock } from '../lib/clock.ts'
import { issuerOf, verifyJwt, type Issuer, type JwtCaller, type VerifiedJwt } from './jwt.ts'
import type { SecretCaller } from './local-secret.ts'
import type { Policy } from '../policy/model.ts'
import type { FailedCredentialLimiter } from './failed-credential-limiter.ts'

export type { Issuer } from './jwt.ts'

/**
 * An authenticated caller, of whichever kind. Only an {@link Authenticate} hands one out. It belongs to the version of
 * the policy under which it was authenticated (`policy`) and is judged by that one; `id` names who it is, in the same
 * words whatever its credential's own life.
 */
export type Caller = JwtCaller | ApiKeyCaller | CertificateCaller | SecretCaller

/** Looks up the client certificate that a request came with: not before it is needed. */
export type GetCertificate = () => PresentedCertificate | undefined

/**
 * Turns a bearer credential (RFC 6750 §2.1) or, where there is none, a client certificate into a caller; without waiting,
 * where it was verified before.
 */
export type Authenticate = (
  token: string | undefined,
  certificate?: GetCertificate,
  /** Where the request came from; bad credentials are counted by it. */
  address?: string,
) => Caller | Promise<Caller>

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
 * Told of every JWT that was checked and not merely remembered, and of every other credential that was refused:
 * `verified`, or the reason of the refusal.
 *
 * @param issuer its name in the policy, where the credential names one that is there
 */
export type Verification = (issuer: string | undefined, outcome: string) => void

const rememberedCallers = 10_000

/** What {@link createAuthenticate} looks at. */
export interface AuthenticateOptions {
  /** Looked at for each request: what it returns may change. */
  readonly admission: () => Admission
  readonly certificates: CertificateVerifier
  readonly failedCredentials: FailedCredentialLimiter
  readonly clock: Clock
  readonly verification?: Verification
}

/**
 * Recognises callers by their credential. What has the hash of an API key of the policy is that key, whatever it looks
 * like; any other bearer must be a JWT. Verified JWTs are remembered by their SHA-256 until they expire, their issuer's
 * keys change, or the policy does; one that is bound to a certificate is accepted with that certificate only.
 *
 * Rejects with `unauthenticated`, `invalid_token`, `issuer_unavailable` or, where an address has sent many bad credentials
 * and this one is not known, `rate_limited`.
 */
export function createAuthenticate(recognised: AuthenticateOptions): Authenticate {
  const {
    admission,
    certificates,
    failedCredentials: failedCredentials,
    clock,
    verification = () => undefined,
  } = recognised
  const remembered = new RememberedJwts(clock)

  const verify = async (token: string, { policy, issuers }: Admission, address: string): Promise<VerifiedJwt> => {
    let issuer: Issuer | undefined
    try {
      issuer = issuerOf(token, issuers)
      const verified = await verifyJwt(token, issuer, policy, clock)
      failedCredentials.released(address)
      verification(issuer.name, 'verified')
      return verified
    } catch (thrown) {
      const { code, reason } = asBrokerError(thrown)
      failedCredentials[code === 'invalid_token' ? 'failed' : 'released'](address)
      verification(issuer?.name, reason)
      throw thrown
    }
  }
  /** Tells of a refusal; these are looked up on every request, so that what is good is not told of. */
  const announcing = <T>(look: () => T): T => {
    try {
      return look()
    } catch (thrown) {
      verification(undefined, asBrokerError(thrown).reason)
      throw thrown
    }
  }
  const bound = ({ caller, boundTo }: VerifiedJwt, certificate: GetCertificate | undefined): JwtCaller => {
    if (boundTo !== undefined) announcing(() => checkBinding(boundTo, certificate?.(), caller.policy, certificates))
    return caller
  }

  return (token, certificate, address = '') => {
    const now = admission()
    if (token === undefined) {
      const presented = announcing(() => certificate?.())
      if (!presented) throw missingCredential()
      return announcing(() => certificates.verify(presented, now.policy))
    }
    const fingerprint = hash('sha256', token, 'base64url')
    const known = remembered.find(fingerprint, now)
    if (known) return bound(known, certificate)
    const key = announcing(() => now.apiKeys.find(fingerprint, clock.now()))
    if (key) return key
    const wait = announcing(() => failedCredentials.acquire(address))
    const verified = wait ? wait.then(() => verify(token, now, address)) : verify(token, now, address)
    return verified.then(jwt => {
      remembered.keep(fingerprint, jwt, now)
      return bound(jwt, certificate)
    })
  }
}

/** RFC 8705 §3: the token is good for the holder of one certificate, which must be good itself. */
function checkBinding(
  boundTo: string,
  presented: PresentedCertificate | undefined,
  policy: Policy,
  { verify: holderOf }: CertificateVerifier,
): void {
  const holder = presented && holderOf(presented, policy)
  if (holder?.fingerprint === boundTo) return
  const what = holder
    ? 'another client certificate than this one'
    : 'a client certificate, and the request came with none'
  throw new BrokerError('invalid_token', `The token is bound (cnf) to ${what}.`, { reason: 'confirmation' })
}

const missingCredential = () => new BrokerError('unauthenticated', 'Send "Authorization: Bearer <token or API key>".')

/** Verified tokens of one version of the policy, by SHA-256. */
class RememberedJwts {
  readonly #clock: Clock
  readonly #byFingerprint = new LRUCache<string, VerifiedJwt>({ max: rememberedCallers })
  #under: Admission | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(fingerprint: string, under: Admission): VerifiedJwt | undefined {
    if (this.#under !== under) {
      this.#byFingerprint.clear()
      this.#under = under
    }
    const known = this.#byFingerprint.get(fingerprint)
    if (known === undefined) return undefined
    if (this.#isGood(known) && known.issuer.keys.current() === known.keys) return known
    this.#byFingerprint.delete(fingerprint)
    return undefined
  }

  /** Not kept when the policy has changed while it was being verified. */
  keep(fingerprint: string, verified: VerifiedJwt, under: Admission): void {
    if (this.#under === under && this.#isGood(verified)) this.#byFingerprint.set(fingerprint, verified)
  }

  #isGood = ({ expiresAt }: VerifiedJwt): boolean => this.#clock.now() < expiresAt
}
