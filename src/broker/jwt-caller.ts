import { hash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose'
import { asBrokerError, BrokerError } from '../errors.ts'
import type { JwtFacts } from './caller-facts.ts'
import type { Clock } from './clock.ts'
import type { Keys, KeySet } from './key-set.ts'
import { isEntraIssuer } from './names.ts'
import type { Policy } from './policy-model.ts'

/** One issuer whose JWTs authenticate callers. */
export interface Issuer {
  /** Its name in the policy. */
  readonly name: string
  /** The exact `iss`. */
  readonly issuer: string
  /** `aud` must be, or contain, one of these. */
  readonly audiences: readonly string[]
  readonly keys: KeySet
}

/**
 * The signature algorithms a caller's JWT may use (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric ones only, so that neither
 * `none` nor an HMAC under the public key can pass (RFC 8725 §2.1, §3.1).
 */
export const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** `typ` values (RFC 7515 §4.1.9) of tokens that may stand for a caller; others, such as logout tokens, may not. */
const acceptedTypes = new Set(['jwt', 'at+jwt', 'jose'])
const clockToleranceSeconds = 30
/** Several keys under one `kid` are tried one after the other, at most this many. */
const maxCandidateKeys = 4
const longestPlainId = 200

/** A caller with a JWT: made only here, from a token that was verified. */
class AuthenticatedJwt implements JwtFacts {
  readonly kind = 'jwt'
  readonly id: string
  readonly issuer: string
  readonly subject: string
  readonly claims: Readonly<JWTPayload>
  readonly policy: Policy
  /** Makes the type nominal: an object that merely looks like a caller is none. */
  protected readonly verified = true

  constructor(issuer: string, subject: string, claims: Readonly<JWTPayload>, policy: Policy) {
    this.id = idOf(issuer, subject)
    this.issuer = issuer
    this.subject = subject
    this.claims = claims
    this.policy = policy
    Object.freeze(this)
  }
}

export type JwtCaller = AuthenticatedJwt

/** Subjects can be long, and ids are kept. */
const idOf = (issuer: string, subject: string): string =>
  `jwt ${issuer} ${subject.length > longestPlainId ? `sha256:${hash('sha256', subject, 'base64url')}` : subject}`

/** What was found out about a token. */
export interface VerifiedJwt {
  readonly caller: JwtCaller
  readonly issuer: Issuer
  /** The keys among which its own was. */
  readonly keys: Keys
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * Checks the signature, `iss`, `aud`, `exp` (required), `nbf`, `sub` (required) and `typ` of a caller's JWT. It does not
 * ask whether the issuer has revoked the token, and it does not decide what the caller may have.
 *
 * Rejects with `invalid_token` or `issuer_unavailable`.
 */
export async function verifyJwt(token: string, issuer: Issuer, policy: Policy, clock: Clock): Promise<VerifiedJwt> {
  checkType(token)
  const { payload, keys } = await verifyWithRefresh(token, issuer, clock)
  const { sub, exp } = payload
  if (typeof sub !== 'string' || sub === '' || exp === undefined || !Number.isFinite(exp)) {
    throw refusal('claims', 'The token needs a subject (sub) and an expiry (exp).')
  }
  if (isEntraIssuer(issuer.issuer)) checkEntraApplicationToken(payload)
  if (payload['cnf'] !== undefined) {
    throw refusal('confirmation', 'The token is bound to a key (cnf) that this request does not prove to hold.')
  }
  const caller = new AuthenticatedJwt(issuer.name, sub, payload, policy)
  return { caller, issuer, keys, expiresAt: exp * 1000 }
}

/**
 * Which issuer's keys to try. Nothing read here is trusted: jose checks `iss` again under the signature.
 * @throws BrokerError `invalid_token`
 */
export function issuerOf(token: string, byIss: ReadonlyMap<string, Issuer>): Issuer {
  const { iss } = readUnverified(() => decodeJwt(token))
  const issuer = typeof iss === 'string' ? byIss.get(iss) : undefined
  if (!issuer) throw refusal('issuer', 'The token is from an issuer (iss) that the policy does not list.')
  return issuer
}

function checkType(token: string): void {
  const { typ } = readUnverified(() => decodeProtectedHeader(token))
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  if (type !== undefined && !(typeof type === 'string' && acceptedTypes.has(type))) {
    throw refusal('type', 'The token is of a type (typ) that does not authenticate callers.')
  }
}

function readUnverified<T>(decode: () => T): T {
  try {
    return decode()
  } catch {
    throw refusal('malformed', 'The credential is neither a JWT in compact form nor an API key of the policy.')
  }
}

/** Verifies with the keys that are known; once more with newer ones if none of them fits. */
async function verifyWithRefresh(token: string, issuer: Issuer, clock: Clock) {
  const keys = await issuer.keys.ready()
  try {
    return { payload: await verifyWith(token, issuer, keys, clock), keys }
  } catch (thrown) {
    if (!(thrown instanceof errors.JWKSNoMatchingKey)) throw asRefusal(thrown)
    const newer = await issuer.keys.newerThan(keys)
    if (newer === keys) throw asRefusal(thrown)
    try {
      return { payload: await verifyWith(token, issuer, newer, clock), keys: newer }
    } catch (again) {
      throw asRefusal(again)
    }
  }
}

async function verifyWith(token: string, issuer: Issuer, keys: Keys, clock: Clock): Promise<JWTPayload> {
  const options = {
    algorithms,
    issuer: issuer.issuer,
    audience: [...issuer.audiences],
    requiredClaims: ['exp', 'sub'],
    clockTolerance: clockToleranceSeconds,
    currentDate: new Date(clock.now()),
  }
  try {
    return (await jwtVerify(token, keys.find, options)).payload
  } catch (thrown) {
    if (!(thrown instanceof errors.JWKSMultipleMatchingKeys)) throw thrown
    let tried = 0
    for await (const key of thrown) {
      if (++tried > maxCandidateKeys) break
      try {
        return (await jwtVerify(token, key, options)).payload
      } catch (failed) {
        if (!(failed instanceof errors.JWSSignatureVerificationFailed)) throw failed
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/**
 * Entra signs delegated tokens and ID tokens with the same keys and the same `typ` as application tokens
 * (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function checkEntraApplicationToken(payload: JWTPayload): void {
  const [reason, detail] = entraFault(payload) ?? []
  if (reason !== undefined && detail !== undefined) throw refusal(reason, detail)
}

function entraFault(payload: JWTPayload): readonly [reason: string, detail: string] | undefined {
  if (typeof payload['azp'] !== 'string' && typeof payload['appid'] !== 'string') {
    return ['claims', 'A token of Entra must name the calling application (azp or appid): an ID token does not.']
  }
  if (payload['scp'] !== undefined) {
    return ['delegated', 'A delegated token (scp) acts for a user; only application tokens are accepted.']
  }
  return undefined
}

/**
 * Why a token with these claims would be refused although its signature is good, as far as the claims tell: for people
 * who ask why. {@link verifyJwt} decides.
 *
 * @param now milliseconds since 1970
 */
export function claimFaults(
  payload: JWTPayload,
  { issuer, audiences }: Pick<Issuer, 'issuer' | 'audiences'>,
  now: number,
): readonly string[] {
  const { aud, exp, nbf, sub } = payload
  const seconds = now / 1000
  const entra = isEntraIssuer(issuer) ? entraFault(payload)?.[1] : undefined
  return [
    ...([aud].flat().some(each => each !== undefined && audiences.includes(each)) ? [] : [claimRefusals['aud']?.[1]]),
    ...(typeof exp === 'number' ? [] : [claimRefusals['exp']?.[1]]),
    ...(typeof exp === 'number' && exp <= seconds - clockToleranceSeconds ? [refusals['ERR_JWT_EXPIRED']?.[1]] : []),
    ...(typeof nbf === 'number' && nbf > seconds + clockToleranceSeconds ? [claimRefusals['nbf']?.[1]] : []),
    ...(typeof sub === 'string' && sub !== '' ? [] : [claimRefusals['sub']?.[1]]),
    entra,
  ].filter(fault => fault !== undefined)
}

function refusal(reason: string, detail: string): BrokerError {
  return new BrokerError('invalid_token', detail, { reason })
}

/** jose's closed set of error codes → why, in words that help and hold nothing of the token. */
const refusals: Readonly<Record<string, readonly [reason: string, detail: string]>> = {
  ERR_JWT_EXPIRED: ['expired', 'The token has expired.'],
  ERR_JOSE_ALG_NOT_ALLOWED: ['algorithm', 'The token is signed with an algorithm that is not accepted.'],
  ERR_JOSE_NOT_SUPPORTED: ['unsupported', "The token's key or header uses something that is not supported."],
  ERR_JWKS_NO_MATCHING_KEY: ['key', 'The token is signed with a key that its issuer does not publish.'],
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: ['signature', 'The signature of the token is wrong.'],
}

const claimRefusals: Readonly<Record<string, readonly [reason: string, detail: string]>> = {
  aud: ['audience', 'The token is for another audience (aud).'],
  iss: ['issuer', 'The token is from another issuer (iss).'],
  nbf: ['not_yet_valid', 'The token is not valid yet (nbf).'],
  exp: ['expiry', 'The token has no usable expiry (exp).'],
  sub: ['subject', 'The token has no subject (sub).'],
}

/** What jose and the Web Crypto API throw speaks of the token or its key; anything else is a bug, and stays one. */
function asRefusal(thrown: unknown): BrokerError {
  const isOfToken = thrown instanceof errors.JOSEError || thrown instanceof TypeError || thrown instanceof DOMException
  if (!isOfToken) return asBrokerError(thrown)
  const known =
    thrown instanceof errors.JWTClaimValidationFailed
      ? claimRefusals[thrown.claim]
      : thrown instanceof errors.JOSEError
        ? refusals[thrown.code]
        : undefined
  const [reason, detail] = known ?? ['malformed', 'The token could not be verified.']
  return new BrokerError('invalid_token', detail, { reason, cause: thrown })
}
