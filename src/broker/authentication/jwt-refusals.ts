import { errors, type JWTPayload } from 'jose'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { isEntraIssuer } from '../lib/identifiers.ts'
import type { Refusal } from './credential.ts'
import { receivedClaims } from './compact-jws.ts'
import { entraRefusal } from './entra-users.ts'

/** The number of seconds by which clocks may differ. */
export const clockToleranceSeconds = 30

/**
 * The longest time that a token may be valid, in days. Kubernetes issues service-account tokens for a year; an `exp` that
 * is further ahead is one in milliseconds, or a token without an end.
 */
export const maxLifetimeDays = 400

/**
 * Why a token is refused whose expiry is too far ahead; `undefined` if it is not.
 * @param exp seconds since 1970
 * @param now milliseconds since 1970
 */
export function expiryRefusal(exp: number, now: number): Refusal | undefined {
  if (exp <= now / 1000 + maxLifetimeDays * 86_400) return undefined
  return [
    'expiry',
    `The token's expiry (exp) is more than ${maxLifetimeDays} days ahead. It counts seconds, not milliseconds.`,
  ]
}

/**
 * Why a token is refused whose signature need not be verified for that; `undefined` if its claims do not show it. It saves
 * work only: whatever it accepts is checked again with the signature.
 *
 * @param now milliseconds since 1970
 */
export function earlyRefusal(
  payload: JWTPayload,
  { audiences }: { readonly audiences: readonly string[] },
  now: number,
): Refusal | undefined {
  const { aud, exp, nbf } = payload
  const seconds = Math.floor(now / 1000)
  if (![aud].flat().some(each => typeof each === 'string' && audiences.includes(each))) return audienceRefusal(payload)
  if (typeof exp === 'number' && exp <= seconds - clockToleranceSeconds) return refusals['ERR_JWT_EXPIRED']
  if (typeof nbf === 'number' && nbf > seconds + clockToleranceSeconds) return claimRefusals['nbf']
  return undefined
}

/**
 * Returns every reason to refuse a token with these claims that the claims alone show, as sentences for `policy explain`.
 * It decides nothing: `verifyJwt` does.
 *
 * @param now milliseconds since 1970
 * @param admitsUsers whether delegated tokens of the issuer are accepted anywhere
 */
export function reasonsToRefuse(
  payload: JWTPayload,
  { issuer, audiences }: { readonly issuer: string; readonly audiences: readonly string[] },
  now: number,
  admitsUsers = false,
): readonly string[] {
  const { aud, exp, nbf, sub } = payload
  const seconds = now / 1000
  const entra = isEntraIssuer(issuer) ? entraRefusal(payload, admitsUsers)?.[1] : undefined
  return [
    ...([aud].flat().some(each => each !== undefined && audiences.includes(each)) ? [] : [audienceRefusal(payload)[1]]),
    typeof exp === 'number' ? expiryRefusal(exp, now)?.[1] : claimRefusals['exp']?.[1],
    ...(typeof exp === 'number' && exp <= seconds - clockToleranceSeconds ? [refusals['ERR_JWT_EXPIRED']?.[1]] : []),
    ...(typeof nbf === 'number' && nbf > seconds + clockToleranceSeconds ? [claimRefusals['nbf']?.[1]] : []),
    ...(typeof sub === 'string' && sub !== '' ? [] : [claimRefusals['sub']?.[1]]),
    entra,
  ].filter(detail => detail !== undefined)
}

/** Why a token for none of the audiences is refused. It repeats nothing but the token's own claims. */
const audienceRefusal = (payload: JWTPayload): Refusal => [
  'audience',
  `The token is for another audience (aud). ${receivedClaims(payload)}`,
]

/** Why a token of an unknown issuer is refused. */
export const issuerRefusal = (payload: JWTPayload): Refusal => [
  'issuer',
  `The token is from an issuer (iss) that the policy does not list. ${receivedClaims(payload)}`,
]

/** jose's error codes and what they mean for the caller. The details contain nothing of the token. */
const refusals: Readonly<Record<string, Refusal>> = {
  ERR_JWT_EXPIRED: ['expired', 'The token has expired.'],
  ERR_JOSE_ALG_NOT_ALLOWED: ['algorithm', 'The token is signed with an algorithm that is not accepted.'],
  ERR_JOSE_NOT_SUPPORTED: ['unsupported', "The token's key or header uses something that is not supported."],
  ERR_JWKS_NO_MATCHING_KEY: ['key', 'The token is signed with a key that its issuer does not publish.'],
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: ['signature', 'The signature of the token is wrong.'],
}

const claimRefusals: Readonly<Record<string, Refusal>> = {
  aud: ['audience', 'The token is for another audience (aud).'],
  iss: ['issuer', 'The token is from another issuer (iss).'],
  nbf: ['not_yet_valid', 'The token is not valid yet (nbf).'],
  exp: ['expiry', 'The token has no usable expiry (exp).'],
  sub: ['subject', 'The token has no subject (sub).'],
}

/**
 * Turns an error of jose or the Web Crypto API, which is about the token or its key, into `invalid_token`. Any other error
 * is a bug: it becomes `internal_error`, unless it is a BrokerError already.
 */
export function asRefusal(thrown: unknown): BrokerError {
  const isAboutToken =
    thrown instanceof errors.JOSEError || thrown instanceof TypeError || thrown instanceof DOMException
  if (!isAboutToken) return asBrokerError(thrown)
  const known =
    thrown instanceof errors.JWTClaimValidationFailed
      ? claimRefusals[thrown.claim]
      : thrown instanceof errors.JOSEError
        ? refusals[thrown.code]
        : undefined
  const [reason, detail]: Refusal = known ?? ['malformed', 'The token could not be verified.']
  return new BrokerError('invalid_token', detail, { reason, cause: thrown })
}
