import { hash } from 'node:crypto'
import { errors, jwtVerify, type JWTPayload } from 'jose'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import type { JwtFacts, UserFacts } from '../policy/caller-facts.ts'
import type { Clock } from '../lib/clock.ts'
import type { PublishedKeys, Jwks } from './jwks.ts'
import { isEntraIssuer } from '../lib/identifiers.ts'
import { asRefusal, clockToleranceSeconds, earlyRefusal, expiryRefusal, issuerRefusal } from './jwt-refusals.ts'
import { entraRefusal, userOf } from './entra-users.ts'
import { membersOf } from '../lib/json-members.ts'
import { decodeUnverified, type UnverifiedJwt } from './compact-jws.ts'
import { keepNamed, noNames } from '../policy/file/named-claims.ts'
import type { Policy } from '../policy/model.ts'

/** An issuer whose JWTs authenticate callers. */
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
 * The signature algorithms that a caller's JWT may use (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2). All are asymmetric,
 * so that neither `none` nor an HMAC with the public key is accepted (RFC 8725 §2.1, §3.1). `EdDSA` and `Ed25519` are two
 * names of the same algorithm.
 */
export const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

/** `typ` values (RFC 7515 §4.1.9) of tokens that authenticate a caller. Others, such as logout tokens, do not. */
const acceptedTypes = new Set(['jwt', 'at+jwt', 'jose'])
/** If several keys have the same `kid`, at most this many are tried. */
const maxCandidateKeys = 4
/** A longer subject is hashed in the caller's id. */
const maxSubjectLength = 200

/** The user must not be forgotten: without one, a caller is an application. */
type VerifiedFacts = Omit<JwtFacts, 'kind' | 'user'> & { readonly user: UserFacts | undefined }

/** A caller with a JWT. Only this file creates one, from a token that was verified. */
class AuthenticatedJwt implements JwtFacts {
  readonly kind = 'jwt'
  readonly id: string
  readonly issuer: string
  readonly subject: string
  readonly claims: JwtFacts['claims']
  readonly user: UserFacts | undefined
  readonly policy: Policy
  /** Makes the type nominal: an object with the same fields is not a caller. */
  protected readonly verified = true

  constructor({ issuer, subject, claims, user }: VerifiedFacts, policy: Policy) {
    this.id = idOf(issuer, subject)
    this.issuer = issuer
    this.subject = subject
    this.claims = claims
    this.user = user
    this.policy = policy
    Object.freeze(this)
  }
}

/** A caller with a verified JWT. Only this file creates one. */
export type JwtCaller = AuthenticatedJwt

/** Bounded in length, because ids are kept in memory. */
const idOf = (issuer: string, subject: string): string =>
  `jwt ${issuer} ${subject.length > maxSubjectLength ? `sha256:${hash('sha256', subject, 'base64url')}` : subject}`

/** A verified token. */
export interface VerifiedJwt {
  readonly caller: JwtCaller
  readonly issuer: Issuer
  /** The keys of the issuer that contained the signing key. */
  readonly keys: PublishedKeys
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** The SHA-256, in hex, of the client certificate that must come with the token; `undefined` if it is not bound to one. */
  readonly boundTo: string | undefined
}

/** Verifies a signature when there is room for it. */
export type VerifyInTurn = <T>(verify: () => Promise<T>) => Promise<T>

/**
 * Verifies the signature, `iss`, `aud`, `exp` (required), `nbf`, `iat`, `sub` (required) and `typ` of a caller's JWT. It does
 * not check whether the issuer has revoked the token, and it does not decide what the caller may do.
 *
 * What can be refused without the signature is refused before it. Rejects with `invalid_token`, `issuer_unavailable`, or
 * the error of `inTurn`.
 */
export async function verifyJwt(
  token: string,
  unverified: UnverifiedJwt,
  issuer: Issuer,
  policy: Policy,
  clock: Clock,
  inTurn: VerifyInTurn,
): Promise<VerifiedJwt> {
  checkHeader(unverified)
  const early = earlyRefusal(unverified.payload, issuer, clock.now())
  if (early) throw refusal(...early)
  const { payload, keys } = await verifyWithRefresh(token, issuer, clock, inTurn)
  const { sub, exp, iat } = payload
  if (typeof sub !== 'string' || sub === '' || exp === undefined || !Number.isFinite(exp)) {
    throw refusal('claims', 'The token needs a subject (sub) and an expiry (exp).')
  }
  // No honest issuer issues a token in the future. RFC 7519 §4.1.6 does not require this check.
  if (iat !== undefined && iat > clock.now() / 1000 + clockToleranceSeconds) {
    throw refusal('not_yet_valid', 'The token was issued in the future (iat).')
  }
  const isEntra = isEntraIssuer(issuer.issuer)
  const admitsUsers = policy.delegatedIssuers.has(issuer.name)
  const refused = expiryRefusal(exp, clock.now()) ?? (isEntra ? entraRefusal(payload, admitsUsers) : undefined)
  if (refused) throw refusal(...refused)
  const boundTo = payload['cnf'] === undefined ? undefined : fingerprintIn(payload['cnf'])
  const claims = keepNamed(payload, policy.namedClaims.get(issuer.name) ?? noNames)
  const user = isEntra ? userOf(payload) : undefined
  const caller = new AuthenticatedJwt({ issuer: issuer.name, subject: sub, claims, user }, policy)
  return { caller, issuer, keys, expiresAt: exp * 1000, boundTo }
}

/**
 * Returns the fingerprint in a confirmation (RFC 7800 §3.1), which must be `x5t#S256` alone (RFC 8705 §3.1). The broker
 * checks no other proof, such as `jkt`, and a token that needs one must not be accepted without it.
 */
function fingerprintIn(cnf: unknown): string {
  const entries = Object.entries(membersOf(cnf))
  const [[name, value] = []] = entries
  if (entries.length === 1 && name === 'x5t#S256' && typeof value === 'string' && /^[\w-]{43}$/.test(value)) {
    return Buffer.from(value, 'base64url').toString('hex')
  }
  throw refusal('confirmation', 'The token is bound (cnf) to something else than a client certificate.')
}

/**
 * Decodes a token without verifying it.
 * @throws BrokerError `invalid_token` if it is not a JWT in its one spelling
 */
export function readUnverified(token: string): UnverifiedJwt {
  const unverified = decodeUnverified(token)
  if (!unverified) throw malformed()
  return unverified
}

/**
 * Returns the issuer that a token names, to choose the keys. The token is not verified yet: jose checks `iss` again with
 * the signature.
 *
 * @throws BrokerError `invalid_token` if its issuer is unknown
 */
export function issuerOf({ payload }: UnverifiedJwt, byIss: ReadonlyMap<string, Issuer>): Issuer {
  const { iss } = payload
  const issuer = typeof iss === 'string' ? byIss.get(iss) : undefined
  if (!issuer) throw refusal(...issuerRefusal(payload))
  return issuer
}

function checkHeader({ header: { typ, alg } }: UnverifiedJwt): void {
  if (typeof alg !== 'string') throw malformed()
  if (!algorithms.includes(alg)) throw asRefusal(new errors.JOSEAlgNotAllowed())
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  if (type !== undefined && !(typeof type === 'string' && acceptedTypes.has(type))) {
    throw refusal('type', 'The token is of a type (typ) that does not authenticate callers.')
  }
}

const malformed = () =>
  refusal('malformed', 'The credential is neither a JWT in compact form nor an API key of the policy.')

/** Verifies with the cached keys, and once more with newer ones if none of them matches. */
async function verifyWithRefresh(token: string, issuer: Issuer, clock: Clock, inTurn: VerifyInTurn) {
  const keys = await issuer.keys.ready()
  try {
    return { payload: await inTurn(() => verifyWith(token, issuer, keys, clock)), keys }
  } catch (thrown) {
    if (!(thrown instanceof errors.JWKSNoMatchingKey)) throw asRefusal(thrown)
    const newer = await issuer.keys.newerThan(keys)
    if (newer === keys) throw asRefusal(thrown)
    try {
      return { payload: await inTurn(() => verifyWith(token, issuer, newer, clock)), keys: newer }
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
