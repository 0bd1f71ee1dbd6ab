import { hash } from 'node:crypto'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { createApiKeys, type ApiKeyCaller, type ApiKeys } from './api-keys.ts'
import type { ClientSecret, Credential } from './credential.ts'
import type { CertificateCaller, CertificateVerifier, PresentedCertificate } from './client-certificates.ts'
import type { Clock } from '../lib/clock.ts'
import {
  issuerOf,
  readUnverified,
  verifyJwt,
  type Issuer,
  type JwtCaller,
  type VerifiedJwt,
  type VerifyInTurn,
} from './jwt.ts'
import { unverifiedFacts, type UnverifiedJwt } from './compact-jws.ts'
import type { SecretCaller } from './local-secret.ts'
import { VerifiedJwtCache } from './verified-jwt-cache.ts'
import type { Policy } from '../policy/model.ts'
import type { SignatureLimiter } from './signature-limiter.ts'

export type { Issuer } from './jwt.ts'

/**
 * An authenticated caller of any kind. Only an {@link Authenticate} returns one. It belongs to the version of the policy
 * under which it was authenticated (`policy`), and that version decides about it. `id` identifies the caller; it stays the
 * same when the credential is renewed.
 */
export type Caller = JwtCaller | ApiKeyCaller | CertificateCaller | SecretCaller

/** Reads the client certificate of the request. Called only if the certificate is needed. */
export type GetCertificate = () => PresentedCertificate | undefined

/**
 * Turns a credential or, if there is none, a client certificate into a caller. Returns the caller
 * itself, and no promise, if the credential was verified before.
 */
export type Authenticate = (
  credential: Credential | undefined,
  getCertificate?: GetCertificate,
  /** The client's address. Signatures are limited by it. */
  address?: string,
  /** Identifies the connection. On one that sent the same JWT before, it is found faster. */
  connection?: object,
) => Caller | Promise<Caller>

/** The credentials that one version of the policy accepts. A new version is a new value. */
export interface Admission {
  readonly policy: Policy
  /** By `iss`. */
  readonly issuers: ReadonlyMap<string, Issuer>
  readonly apiKeys: ApiKeys
}

/**
 * Creates the admission of a policy.
 * @param issuers the issuers of the policy, with the source of their keys
 */
export const createAdmission = (policy: Policy, issuers: readonly Issuer[]): Admission => ({
  policy,
  issuers: new Map(issuers.map(issuer => [issuer.issuer, issuer])),
  apiKeys: createApiKeys(policy),
})

/**
 * Observes the verification of credentials: `verified`, or the reason of the refusal. It is called for every JWT that was
 * verified, but not for one that was found in the cache, and for every other credential that was refused.
 *
 * @param issuer its name in the policy, if the credential names an issuer of the policy
 */
export type Verification = (issuer: string | undefined, outcome: string) => void

/** The parts of {@link createAuthenticate}. */
export interface AuthenticateOptions {
  /** Called for each request, because the active policy may change. */
  readonly admission: () => Admission
  readonly certificates: CertificateVerifier
  readonly signatures: SignatureLimiter
  readonly clock: Clock
  readonly verification?: Verification
}

/**
 * Authenticates callers by their credential. One whose hash is that of an API key of the policy is that key, whatever its
 * form; any other bearer must be a JWT, and no other client secret is accepted. Verified JWTs are cached by their SHA-256, up to a number and a weight, until
 * they expire, the keys of their issuer change, or the policy changes. A JWT that is bound to a certificate is accepted only with that certificate.
 *
 * Throws, or rejects with, `unauthenticated`, `invalid_token`, `issuer_unavailable`, or `rate_limited` if too
 * many signatures of the address wait to be verified and this credential is not cached.
 */
export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  const { admission, certificates, signatures, clock, verification = () => undefined } = options
  const cachedJwts = new VerifiedJwtCache(clock)
  const verifyUnknown = createJwtVerifier(signatures, clock, verification)
  const checkBound = ({ caller, boundTo }: VerifiedJwt, getCertificate: GetCertificate | undefined): JwtCaller => {
    if (boundTo === undefined) return caller
    reportRefusal(verification, () => checkBinding(boundTo, getCertificate?.(), caller.policy, certificates))
    return caller
  }

  return (credential, getCertificate, address = '', connection) => {
    const current = admission()
    // No credential: is there a client certificate?
    if (credential === undefined) {
      const presented = reportRefusal(verification, () => getCertificate?.())
      if (!presented) throw missingCredential()
      return reportRefusal(verification, () => certificates.verify(presented, current.policy))
    }
    // A client secret: is it an API key?
    if (typeof credential === 'object') {
      return reportRefusal(verification, () => secretHolder(credential, current, clock.now()))
    }
    // Is it the JWT that this connection sent last?
    const last = connection && cachedJwts.findLast(connection, credential, current)
    if (last) return checkBound(last, getCertificate)
    // Is it a JWT that was verified before?
    const fingerprint = fingerprintOf(credential)
    const cached = cachedJwts.find(fingerprint, current, connection)
    if (cached) return checkBound(cached, getCertificate)
    // Is it an API key?
    const keyCaller = reportRefusal(verification, () => current.apiKeys.find(fingerprint, clock.now()))
    if (keyCaller) return keyCaller
    // Is it a valid JWT?
    return verifyUnknown(credential, current, address).then(verified => {
      cachedJwts.store(fingerprint, credential, verified, current)
      return checkBound(verified, getCertificate)
    })
  }
}

const fingerprintOf = (text: string): string => hash('sha256', text, 'base64url')

/** The caller whose API key is the client secret. A JWT is not accepted as one; the error says where it belongs. */
function secretHolder({ clientSecret }: ClientSecret, { apiKeys }: Admission, now: number): ApiKeyCaller {
  const caller = apiKeys.find(fingerprintOf(clientSecret), now)
  if (caller) return caller
  throw new BrokerError('invalid_token', 'The client secret is not an API key of this broker.', {
    reason: 'client_secret',
    remedy: 'Send an API key as the client secret, or a token as client_assertion instead of a client secret.',
  })
}

/** Verifies a JWT that is not cached. Rejects with `invalid_token`, `issuer_unavailable` or `rate_limited`. */
type JwtVerifier = (token: string, admission: Admission, address: string) => Promise<VerifiedJwt>

/** Verifies JWTs, their signatures in the turn of their address, and reports every outcome. */
function createJwtVerifier(signatures: SignatureLimiter, clock: Clock, verification: Verification): JwtVerifier {
  return async (token, { policy, issuers }, address) => {
    let unverified: UnverifiedJwt | undefined
    let issuer: Issuer | undefined
    try {
      unverified = readUnverified(token)
      issuer = issuerOf(unverified, issuers)
      const inTurn: VerifyInTurn = verify => signatures.run(address, verify)
      const verified = await verifyJwt(token, unverified, issuer, policy, clock, inTurn)
      verification(issuer.name, 'verified')
      return verified
    } catch (thrown) {
      const error = asBrokerError(thrown)
      verification(issuer?.name, error.reason)
      if (error.code !== 'invalid_token' || unverified === undefined) throw thrown
      throw error.withParts({ ...error.parts, unverified: unverifiedFacts(unverified) })
    }
  }
}

/** Runs a check and reports a refusal. A success is not reported, because these checks run for every request. */
function reportRefusal<T>(verification: Verification, check: () => T): T {
  try {
    return check()
  } catch (thrown) {
    verification(undefined, asBrokerError(thrown).reason)
    throw thrown
  }
}

/** RFC 8705 §3: the token is valid only with one client certificate, and that certificate must be valid itself. */
function checkBinding(
  boundTo: string,
  presented: PresentedCertificate | undefined,
  policy: Policy,
  certificates: CertificateVerifier,
): void {
  const holder = presented && certificates.verify(presented, policy)
  if (holder?.fingerprint === boundTo) return
  const what = holder
    ? 'another client certificate than this one'
    : 'a client certificate, and the request came with none'
  throw new BrokerError('invalid_token', `The token is bound (cnf) to ${what}.`, { reason: 'confirmation' })
}

const missingCredential = () => new BrokerError('unauthenticated', 'Send "Authorization: Bearer <token or API key>".')
