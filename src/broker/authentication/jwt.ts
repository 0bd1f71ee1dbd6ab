import { hash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import type { JwtFacts } from '../policy/caller-facts.ts'
import type { Clock } from '../lib/clock.ts'
import type { PublishedKeys, Jwks } from './jwks.ts'
import { isEntraIssuer } from '../lib/identifiers.ts'
import { asRefusal, clockToleranceSeconds, entraRefusal } from './jwt-refusals.ts'
import { membersOf } from '../lib/json-members.ts'
import type { Policy } from '../policy/model.ts'

/** One issuer whose JWTs authenticate callers. */
export interface Issuer {
  /** Its name in the policy. */
  readonly name: string
  /** The exact `iss`. */
  readonly issuer: string
  /** `aud` must be, or contain, one of these. */
  readonly audiences: readonly string[]
  readonly keys: Jwks
}

/**
 * The signature algorithms a caller's JWT may use (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric ones only, so that neither
 * `none` nor an HMAC under the public key can pass (RFC 8725 §2.1, §3.1).
 */
export const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** `typ` values (RFC 7515 §4.1.9) of tokens that may stand for a caller; others, such as logout tokens, may not. */
const acceptedTypes = new Set(['jwt', 'at+jwt', 'jose'])
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

/** A caller with a verified JWT. Only this file makes one. */
export type JwtCaller = AuthenticatedJwt

/** Subjects can be long, and ids are kept. */
const idOf = (issuer: string, subject: string): string =>
  `jwt ${issuer} ${subject.length > longestPlainId ? `sha256:${hash('sha256', subject, 'base64url')}` : subject}`

/** What was found out about a token. */
export interface VerifiedJwt {
  readonly caller: JwtCaller
  readonly issuer: Issuer
  /** The keys among which its own was. */
  readonly keys: PublishedKeys
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** SHA-256, in hex, of the client certificate without which the token is nobody's; `undefined` for a mere bearer token. */
  readonly boundTo: string | undefined
}

/**
 * Checks the signature, `iss`, `aud`, `exp` (required), `nbf`, `iat`, `sub` (required) and `typ` of a caller's JWT. It does not
 * ask whether the issuer has revoked the token, and it does not decide what the caller may have.
 *
 * Rejects with `invalid_token` or `issuer_unavailable`.
 */
export async function verifyJwt(token: string, issuer: Issuer, policy: Policy, clock: Clock): Promise<VerifiedJwt> {
  checkType(token)
  const { payload, keys } = await verifyWithRefresh(token, issuer, clock)
  const { sub, exp, iat } = payload
  if (typeof sub !== 'string' || sub === '' || exp === undefined || !Number.isFinite(exp)) {
    throw refusal('claims', 'The token needs a subject (sub) and an expiry (exp).')
  }
  // No honest issuer makes one (RFC 7519 §4.1.6 leaves the check to whoever reads it).
  if (iat !== undefined && iat > clock.now() / 1000 + clockToleranceSeconds) {
    throw refusal('not_yet_valid', 'The token was issued in the future (iat).')
  }
  const entra = isEntraIssuer(issuer.issuer) ? entraRefusal(payload) : undefined
  if (entra) throw refusal(...entra)
  const boundTo = payload['cnf'] === undefined ? undefined : fingerprintIn(payload['cnf'])
  const caller = new AuthenticatedJwt(issuer.name, sub, payload, policy)
  return { caller, issuer, keys, expiresAt: exp * 1000, boundTo }
}

/**
 * The certificate that a confirmation (RFC 7800 §3.1) names: `x5t#S256` alone (RFC 8705 §3.1). Others, such as `jkt`, are
 * proofs that nobody asks for here, and a token that needs one must not pass without.
 */
function fingerprintIn(cnf: unknown): string {
  const members = Object.entries(membersOf(cnf))
  const [[name, value] = []] = members
  if (members.length === 1 && name === 'x5t#S256' && typeof value === 'string' && /^[\w-]{43}$/.test(value)) {
    return Buffer.from(value, 'base64url').toString('hex')
  }
  throw refusal('confirmation', 'The token is bound (cnf) to something else than a client certificate.')
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

async function verifyWith(token: string, issuer: Issuer, keys: PublishedKeys, clock: Clock): Promise<JWTPayload> {
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

function refusal(reason: ReasonOf<'invalid_token'>, detail: string): BrokerError {
  return new BrokerError('invalid_token', detail, { reason })
}
