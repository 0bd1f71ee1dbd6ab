import { decodeJwt, type JWTPayload } from 'jose'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import type { Members } from '../lib/json-members.ts'
import { isExchange, isGuid, resourceOf } from '../lib/identifiers.ts'
import type { ExchangeTarget } from '../events.ts'

/** A token response of the token endpoint that was not verified yet. */
export interface UnverifiedToken {
  readonly token: string
  /** Seconds from the response on. */
  readonly expiresIn: number
}

/** How far the token's own `exp` may be from `expires_in`. */
const expiryToleranceMs = 5 * 60_000

/** Seconds. No access token of Entra lives longer, so a longer `expires_in` is not believed. */
export const maxLifetimeSeconds = 7 * 24 * 3600

/**
 * Reads the token of a token response (RFC 6749 §5.1): visible ASCII, since callers put it into a header as it is, and of
 * the type `Bearer`, in any case, since the response says `Bearer`.
 *
 * @param body the response's fields, which can have any type
 * @param from whose response it is, for the message: `Entra`
 * @throws BrokerError `upstream_invalid`, reason `malformed_token` or `not_bearer`
 */
export function readToken(body: Members, from: string): string {
  const { access_token: token, token_type: type } = body
  if (typeof token !== 'string' || !visible.test(token)) {
    throw wrong('malformed_token', 'is not a text of visible ASCII characters', from)
  }
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    throw wrong('not_bearer', 'does not have the token_type Bearer', from)
  }
  return token
}

/** A token, or another text that goes into a header: no white space, no control character, nothing beyond ASCII. */
export const visible = /^[\x21-\x7e]+$/

/**
 * Refuses a token that acts for a user: client credentials never get one, and the policy grants applications only.
 *
 * @throws BrokerError `upstream_invalid`, reason `wrong_kind`; not for a token that is not readable
 */
export function refuseDelegated(token: string, from: string): void {
  if (isDelegated(readClaims(token) ?? {})) throw delegated(from)
}

/**
 * In an application token of an agent identity, `scp` may be empty or a slash
 * (https://learn.microsoft.com/entra/agent-id/agent-token-claims).
 */
const isDelegated = ({ scp, idtyp }: JWTPayload): boolean =>
  idtyp === 'user' || (scp !== undefined && !(idtyp === 'app' && (scp === '' || scp === '/')))

const delegated = (from: string) => wrong('wrong_kind', 'acts for a user, not for the application', from)

/**
 * Verifies that a token is the requested one before it is cached: a token for another tenant or application must never
 * enter the cache. Compares tenant, application, audience and expiry with what was requested, and refuses delegated tokens.
 *
 * A token that is not a readable JWT (encrypted, opaque) is accepted as it is, because a client must not depend on its
 * content (https://learn.microsoft.com/entra/identity-platform/access-tokens). The signature is not verified: the response
 * came from the authority itself, over TLS.
 *
 * @param now milliseconds since 1970, when the response arrived
 * @returns the token's own `exp` in milliseconds since 1970; `undefined` if it is not readable
 * @throws BrokerError `upstream_invalid`
 */
export function verifyToken(target: ExchangeTarget, issued: UnverifiedToken, now: number): number | undefined {
  const claims = readClaims(issued.token)
  if (claims === undefined) return undefined
  if (lower(claims['tid']) !== target.tenant) throw wrong('wrong_tenant', 'is for another tenant')
  verifyClient(target, claims)
  if (isDelegated(claims)) throw delegated('Entra')
  if (!isForResource(claims, resourceOf(target.scope))) throw wrong('wrong_audience', 'is for another resource')
  const expiresAt = (claims.exp ?? Number.NaN) * 1000
  if (!(Math.abs(expiresAt - now - issued.expiresIn * 1000) <= expiryToleranceMs)) {
    throw wrong('wrong_expiry', 'has an expiry that contradicts expires_in (or this machine has the wrong time)')
  }
  return expiresAt
}

/**
 * The token of an agent identity has its client id as `appid` or `azp`, and may have that of its blueprint as the parent
 * application of that one (https://learn.microsoft.com/entra/agent-id/agent-token-claims).
 */
function verifyClient({ clientId, agentId }: ExchangeTarget, claims: JWTPayload): void {
  if (lower(claims['appid'] ?? claims['azp']) !== (agentId ?? clientId)) {
    throw wrong('wrong_application', `is for another ${agentId === undefined ? 'application' : 'agent identity'}`)
  }
  const parent = claims['xms_par_app_azp']
  if (agentId !== undefined && parent !== undefined && lower(parent) !== clientId) {
    throw wrong('wrong_application', 'is for an agent identity of another blueprint')
  }
}

/**
 * Verifies the token that a blueprint gets for an agent identity, as far as Microsoft documents it: it is of the tenant, if
 * it says of which, and not a user's. Entra itself verifies it in the next request, whose response is verified completely.
 *
 * @throws BrokerError `upstream_invalid`
 */
export function verifyBlueprintToken({ tenant }: Pick<ExchangeTarget, 'tenant'>, token: string): undefined {
  const claims = readClaims(token) ?? {}
  if (claims['tid'] !== undefined && lower(claims['tid']) !== tenant)
    throw wrong('wrong_tenant', 'is for another tenant')
  if (isDelegated(claims)) throw delegated('Entra')
}

/** The claims of a readable JWT, whose signature is not verified; `undefined` for another token. */
export function readClaims(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

const lower = (claim: unknown): string | undefined => (typeof claim === 'string' ? claim.toLowerCase() : undefined)

const withoutSlash = (text: string): string => text.replace(/\/$/, '')

/**
 * `aud` is the resource's URI or its client id. In v2.0 tokens it is always a client id, in v1.0 tokens where the resource
 * is requested by it or has the optional claim `aud` with `use_guid`
 * (https://learn.microsoft.com/entra/identity-platform/optional-claims-reference). Which client id a URI stands for is not
 * known here, so each GUID counts, but that of client assertions: tenant, application and expiry have to fit too. Some
 * resources write `spn:` before it.
 */
function isForResource({ aud }: JWTPayload, resource: string): boolean {
  if (typeof aud !== 'string' || isExchange(aud)) return false
  const audience = aud.replace(/^spn:/i, '')
  return isGuid(audience) || withoutSlash(audience) === withoutSlash(resource.replace(/^spn:/i, ''))
}

const wrong = (reason: ReasonOf<'upstream_invalid'>, what: string, from = 'Entra') =>
  new BrokerError('upstream_invalid', `${from}'s response has a token that ${what}; it was discarded.`, { reason })
