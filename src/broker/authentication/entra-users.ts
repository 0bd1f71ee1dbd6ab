import type { JWTPayload } from 'jose'
import type { UserFacts } from '../policy/caller-facts.ts'
import { guidsIn, isGuid } from '../lib/identifiers.ts'
import type { Refusal } from './credential.ts'

/**
 * Application tokens and delegated tokens of Entra. Entra signs delegated tokens and ID tokens with the same keys and the
 * same `typ` as application tokens (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference), so
 * the claims alone distinguish them.
 */

/**
 * An application token has no `scp`, and `idtyp` `app`, if it has that optional claim. That of an agent identity has it, and
 * `scp` may be empty or a slash (https://learn.microsoft.com/entra/agent-id/agent-token-claims).
 */
const isOfApplication = ({ scp, idtyp }: JWTPayload): boolean =>
  idtyp === 'app' ? scp === undefined || isUnscoped(scp) : scp === undefined && idtyp === undefined

/** Whether `scp` names no permission. */
const isUnscoped = (scp: unknown): boolean => typeof scp === 'string' && ['', '/'].includes(scp.trim())

/**
 * Why a token of Entra is refused although its signature is valid; `undefined` if it is an application token, or a
 * delegated token while these are admitted.
 *
 * @param admitsUsers whether a rule of the policy lists delegated tokens of the issuer
 */
export function entraRefusal(payload: JWTPayload, admitsUsers: boolean): Refusal | undefined {
  if (clientIdIn(payload) === undefined) {
    return ['claims', 'A token of Entra must name the calling application (azp or appid): an ID token does not.']
  }
  if (isOfApplication(payload)) return undefined
  if (!admitsUsers)
    return ['delegated', 'A delegated token (scp) acts for a user; only application tokens are accepted.']
  const { scp, idtyp, oid, sub } = payload
  if (typeof scp !== 'string' || isUnscoped(scp)) {
    return ['delegated', 'A delegated token needs a scope (scp) of this API.']
  }
  // In an application token, both are the id of its service principal.
  const isContradictory = (idtyp !== undefined && idtyp !== 'user') || oid === sub
  if (isContradictory || typeof oid !== 'string' || !isGuid(oid)) {
    return ['claims', 'A delegated token must say which user it acts for (oid), and not that it is of an application.']
  }
  return undefined
}

/** The user for whom a token acts; `undefined` if {@link entraRefusal} takes it for an application token. */
export function userOf(payload: JWTPayload): UserFacts | undefined {
  if (isOfApplication(payload)) return undefined
  return Object.freeze({
    oid: String(payload['oid']).toLowerCase(),
    clientId: clientIdIn(payload) ?? '',
    isGuest: isGuest(payload),
  })
}

function clientIdIn({ azp, appid }: JWTPayload): string | undefined {
  if (typeof azp === 'string') return azp
  return typeof appid === 'string' ? appid : undefined
}

/**
 * Whether a token says that its user is a guest: by the optional claim `acct`, or by `idp`, the identity provider, if that
 * is not the tenant of the issuer.
 */
function isGuest({ acct, idp, iss = '' }: JWTPayload): boolean {
  if (acct !== undefined && acct !== 0) return true
  if (idp === undefined || idp === iss) return false
  const [tenant] = guidsIn(iss)
  return typeof idp !== 'string' || tenant === undefined || !guidsIn(idp).includes(tenant)
}
