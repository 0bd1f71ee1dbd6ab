import { decodeJwt, type JWTPayload } from 'jose'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import { guidsIn, isGuid, resourceOf } from '../lib/identifiers.ts'
import type { Grant } from '../authorization/authorize.ts'

/** A token response of the token endpoint that was not verified yet. */
export interface UnverifiedToken {
  readonly token: string
  /** Seconds from the response on. */
  readonly expiresIn: number
}

/** How far the token's own `exp` may be from `expires_in`. */
const expiryToleranceMs = 5 * 60_000

/**
 * Verifies that a token is the requested one before it is cached: a token for another tenant or application must never
 * enter the cache. Compares tenant, application, audience and expiry with the grant.
 *
 * A token that is not a readable JWT (encrypted, opaque) is accepted as it is, because a client must not depend on its
 * content (https://learn.microsoft.com/entra/identity-platform/access-tokens). The signature is not verified: the response
 * came from the authority itself, over TLS.
 *
 * @param now milliseconds since 1970, when the response arrived
 * @returns the token's own `exp` in milliseconds since 1970; `undefined` if it is not readable
 * @throws BrokerError `upstream_invalid`
 */
export function verifyToken(grant: Grant, issued: UnverifiedToken, now: number): number | undefined {
  const claims = readClaims(issued.token)
  if (claims === undefined) return undefined
  if (lower(claims['tid']) !== grant.tenant) throw wrong('wrong_tenant', 'is for another tenant')
  if (lower(claims['appid'] ?? claims['azp']) !== grant.clientId) {
    throw wrong('wrong_application', 'is for another application')
  }
  if (!isForResource(claims, resourceOf(grant.scope))) throw wrong('wrong_audience', 'is for another resource')
  const expiresAt = (claims.exp ?? Number.NaN) * 1000
  if (!(Math.abs(expiresAt - now - issued.expiresIn * 1000) <= expiryToleranceMs)) {
    throw wrong('wrong_expiry', 'has an expiry that contradicts expires_in (or this machine has the wrong time)')
  }
  return expiresAt
}

function readClaims(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

const lower = (claim: unknown): string | undefined => (typeof claim === 'string' ? claim.toLowerCase() : undefined)

const withoutSlash = (text: string): string => text.replace(/\/$/, '')

/**
 * `aud` is the resource's URI or its client id. In v2.0 tokens it is always a client id
 * (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function isForResource(claims: JWTPayload, resource: string): boolean {
  const { aud } = claims
  if (typeof aud !== 'string') return false
  if (withoutSlash(aud) === withoutSlash(resource)) return true
  return isGuid(aud) && (claims['ver'] === '2.0' || guidsIn(resource).includes(aud.toLowerCase()))
}

const wrong = (reason: ReasonOf<'upstream_invalid'>, what: string) =>
  new BrokerError('upstream_invalid', `Entra's response has a token that ${what}; it was discarded.`, { reason })
