import { hash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose'
import { LRUCache } from 'lru-cache'
import { asBrokerError, BrokerError } from '../errors.ts'
import { AuthenticatedCaller, type Caller } from './caller.ts'
import type { Keys, KeySet } from './key-set.ts'
import type { Clock } from './clock.ts'

export type { Caller } from './caller.ts'

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
const rememberedCallers = 10_000
/** Several keys under one `kid` are tried one after the other, at most this many. */
const maxCandidateKeys = 4
/** Hosts whose tokens follow Entra's rules: `azp`/`appid` required, delegated tokens refused. */
const entraHosts = new Set([
  'login.microsoftonline.com',
  'login.microsoftonline.us',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
  'sts.windows.net',
  'sts.chinacloudapi.cn',
])

/** Turns a bearer credential (RFC 6750 §2.1) into a caller; without waiting, where it was verified before. */
export type Authenticate = (credential: string) => Caller | Promise<Caller>

/**
 * Told of every credential that was checked and not merely remembered: `verified`, or the reason of the refusal.
 *
 * @param issuer its name in the policy, where the credential names one that is there
 */
export type Verification = (issuer: string | undefined, outcome: string) => void

interface Remembered {
  readonly caller: Caller
  readonly issuer: Issuer
  readonly keys: Keys
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * Checks the signature, `iss`, `aud`, `exp` (required), `nbf`, `sub` (required) and `typ` of callers' JWTs, and
 * remembers verified ones by their SHA-256 until they expire or their issuer's keys change.
 *
 * It does not ask whether the issuer has revoked a token, and it does not decide what a caller may have.
 *
 * Rejects with `invalid_token` or `issuer_unavailable`.
 */
export function createAuthenticate(
  issuers: readonly Issuer[],
  clock: Clock,
  verification: Verification = () => undefined,
): Authenticate {
  const byIss = new Map(issuers.map(issuer => [issuer.issuer, issuer]))
  const remembered = new LRUCache<string, Remembered>({ max: rememberedCallers })

  const check = async (credential: string): Promise<Remembered> => {
    let issuer: Issuer | undefined
    try {
      issuer = issuerOf(credential, byIss)
      const verified = await verify(credential, issuer, clock)
      verification(issuer.name, 'verified')
      return verified
    } catch (thrown) {
      verification(issuer?.name, asBrokerError(thrown).reason)
      throw thrown
    }
  }

  return credential => {
    const fingerprint = hash('sha256', credential, 'base64url')
    const known = remembered.get(fingerprint)
    if (known && clock.now() < known.expiresAt && known.issuer.keys.current() === known.keys) return known.caller
    if (known) remembered.delete(fingerprint)
    return check(credential).then(verified => {
      if (clock.now() < verified.expiresAt) remembered.set(fingerprint, verified)
      return verified.caller
    })
  }
}

async function verify(token: string, issuer: Issuer, clock: Clock): Promise<Remembered> {
  const { payload, keys } = await verifyWithRefresh(token, issuer, clock)
  const { sub, exp } = payload
  if (typeof sub !== 'string' || sub === '' || exp === undefined || !Number.isFinite(exp)) {
    throw refusal('claims', 'The token needs a subject (sub) and an expiry (exp).')
  }
  if (isEntra(issuer.issuer)) checkEntraApplicationToken(payload)
  if (payload['cnf'] !== undefined) {
    throw refusal('confirmation', 'The token is bound to a key (cnf) that this request does not prove to hold.')
  }
  const caller = new AuthenticatedCaller('jwt', issuer.name, sub, payload)
  return { caller, issuer, keys, expiresAt: exp * 1000 }
}

/** Which issuer's keys to try. Nothing read here is trusted: jose checks `iss` again under the signature. */
function issuerOf(token: string, byIss: ReadonlyMap<string, Issuer>): Issuer {
  let iss: unknown
  let typ: unknown
  try {
    iss = decodeJwt(token).iss
    typ = decodeProtectedHeader(token).typ
  } catch {
    throw refusal('malformed', 'The credential is not a JWT in compact form.')
  }
  const issuer = typeof iss === 'string' ? byIss.get(iss) : undefined
  if (!issuer) throw refusal('issuer', 'The token is from an issuer (iss) that the policy does not list.')
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  if (type !== undefined && !(typeof type === 'string' && acceptedTypes.has(type))) {
    throw refusal('type', 'The token is of a type (typ) that does not authenticate callers.')
  }
  return issuer
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

function isEntra(issuer: string): boolean {
  return URL.canParse(issuer) && entraHosts.has(new URL(issuer).hostname)
}

/**
 * Entra signs delegated tokens and ID tokens with the same keys and the same `typ` as application tokens
 * (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function checkEntraApplicationToken(payload: JWTPayload): void {
  if (typeof payload['azp'] !== 'string' && typeof payload['appid'] !== 'string') {
    throw refusal('claims', 'A token of Entra must name the calling application (azp or appid): an ID token does not.')
  }
  if (payload['scp'] !== undefined) {
    throw refusal('delegated', 'A delegated token (scp) acts for a user; only application tokens are accepted.')
  }
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
