import { decodeJwt } from 'jose'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { FailureLevel } from '../../reasons/row.ts'

// The last hop, broker → Entra: what the numbers in Entra's error response mean, and what to do. entra-failure.ts reads
// it.

/** Why Entra refuses a request. The class decides the error code, and who can correct it. */
export type RefusalClass =
  'transient' | 'loop' | 'assertion' | 'federation' | 'client' | 'cloud' | 'consent' | 'request' | 'unknown'

/** The facts of an exchange that a remedy can name. */
export interface RemedyContext {
  readonly grant: Grant
  /** The origin of Entra: `https://login.microsoftonline.com`, or that of another cloud. */
  readonly authority: string
  /** The client assertion that was sent. */
  readonly assertion: string
}

/** One AADSTS code: its class, what its failure is cached for, and what to do about it. */
export interface CodeRow {
  readonly class: RefusalClass
  /** Which requests the failure is cached for, if they are others than those of its class. */
  readonly level?: FailureLevel
  /** Makes the remedy for an operator, with the exact values of the exchange. */
  readonly remedy?: (context: RemedyContext) => string
}

type Remedy = NonNullable<CodeRow['remedy']>

/** A claim of the assertion: the exact value that the federated credential must have. */
const claim = (assertion: string, name: 'iss' | 'sub' | 'aud' | 'tid'): string => {
  try {
    const value = decodeJwt(assertion)[name]
    return typeof value === 'string' ? value : '(not a string)'
  } catch {
    return '(unreadable)'
  }
}

const adminConsent: Remedy = ({ authority, grant }) =>
  `The application has no usable service principal in tenant ${grant.tenant}. An administrator of that tenant must ` +
  `consent at ${authority}/${grant.tenant}/adminconsent?client_id=${grant.clientId} (the registration needs a redirect URI).`

const correctCredential =
  (field: 'issuer' | 'subject' | 'audience', name: 'iss' | 'sub' | 'aud'): Remedy =>
  ({ grant, assertion }) =>
    `No federated credential of application ${grant.clientId} has the ${field} of the managed identity's token. ` +
    `Set its ${field} to exactly ${claim(assertion, name)}. Entra can take some minutes to apply the change.`

const addCredential: Remedy = ({ grant, assertion }) =>
  `Application ${grant.clientId} has no federated credential that Entra accepts for the managed identity's token. ` +
  `Add one with issuer ${claim(assertion, 'iss')}, subject ${claim(assertion, 'sub')} and audience ${claim(assertion, 'aud')}.`

const sameTenant: Remedy = ({ grant, assertion }) =>
  `Application ${grant.clientId} must be registered in the tenant of the managed identity, ${claim(assertion, 'tid')}.`

const freshAssertion: Remedy = () =>
  "Entra rejected the managed identity's token. Compare the clocks, and wait until the platform issues another token."

const otherCloud: Remedy = ({ grant, authority }) =>
  `Tenant ${grant.tenant} is in another national cloud than BROKER_AUTHORITY (${authority}). Correct the tenant id. A ` +
  'federated credential does not work across clouds.'

const correctTenant: Remedy = ({ grant, authority }) =>
  `Tenant ${grant.tenant} does not exist at ${authority}. Correct the tenant id.`

const correctResource: Remedy = ({ grant }) =>
  `Entra does not accept the resource of scope ${grant.scope} in tenant ${grant.tenant}. Correct the scope, or have an ` +
  "administrator add the resource's service principal to that tenant."

const enableApplication: Remedy = ({ grant }) =>
  `The service principal of application ${grant.clientId} is disabled in tenant ${grant.tenant}. An administrator ` +
  'of that tenant must enable it under Enterprise applications.'

const assignRole: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} issues tokens for ${grant.scope} only to applications with a role assignment. An administrator ` +
  `of that tenant must assign a role of that resource to application ${grant.clientId}.`

const enableResource: Remedy = ({ grant }) =>
  `The service principal of the resource of scope ${grant.scope} is disabled in tenant ${grant.tenant}. An administrator of ` +
  'that tenant must enable it under Enterprise applications, or renew the subscription that it belongs to.'

const reactivateTenant: Remedy = ({ grant }) =>
  `Microsoft has blocked tenant ${grant.tenant} because it was inactive. An administrator of that tenant must ask ` +
  "Microsoft's support to reactivate it, within 20 days; otherwise remove it from the policy."

const resourceById: Remedy = ({ grant }) =>
  `Application ${grant.clientId} requests a token for itself. Entra issues one only if the scope names it by its client ` +
  `id: request ${grant.clientId}/.default.`

const applicationAssertion: Remedy = () =>
  'Entra accepts only the token of an application or a managed identity as assertion, and got the token of a user. Check ' +
  'what responds at IDENTITY_ENDPOINT, or what is in AZURE_FEDERATED_TOKEN_FILE.'

const oneScope: Remedy = ({ grant }) =>
  `Scope ${grant.scope} is invalid for client credentials. Use the scope of one resource, in the form <resource>/.default.`

const requestLess: Remedy = ({ grant }) =>
  `Entra has seen the same request for tenant ${grant.tenant} too often, and gets none for a minute. Find out why the ` +
  'broker requests this token so often: replicas that restart or do not share a cache, or a token that lives seconds.'

/** The same row for several codes. */
const rows = (row: CodeRow, ...codes: readonly number[]) => codes.map((code): readonly [number, CodeRow] => [code, row])

const federation = (remedy: Remedy): CodeRow => ({ class: 'federation', remedy })
const blocked: Remedy = ({ grant }) =>
  `A Conditional Access or security policy of tenant ${grant.tenant} blocks application ${grant.clientId}. An ` +
  'administrator of that tenant must change the policy.'

/**
 * The AADSTS codes that matter here. Microsoft can add and change codes
 * (https://learn.microsoft.com/entra/identity-platform/reference-error-codes). So the HTTP status and the OAuth error
 * come first, this table refines them, and unlisted codes are expected.
 *
 * Some are cached for another level than their class. A tenant that does not exist fails for every scope. Consent or
 * a role that is missing for one resource must not block the other resources of that tenant.
 */
export const aadstsCodes: ReadonlyMap<number, CodeRow> = new Map([
  ...rows({ class: 'loop', remedy: requestLess }, 50196),
  ...rows({ class: 'transient' }, 50000, 50033, 90006, 90012, 90024, 90033, 90055, 90090, 90091),
  ...rows({ class: 'assertion', remedy: freshAssertion }, 50013, 700024, 700027),
  ...rows(federation(addCredential), 70021, 70025, 7000226),
  ...rows(federation(correctCredential('issuer', 'iss')), 700211),
  ...rows(federation(correctCredential('audience', 'aud')), 700212, 7002121),
  ...rows(federation(correctCredential('subject', 'sub')), 700213),
  ...rows(federation(sameTenant), 700222, 700236),
  ...rows(
    federation(
      () =>
        "A policy of the application's home tenant restricts federated credentials. Allow managed identities in that policy.",
    ),
    700238,
  ),
  ...rows(federation(applicationAssertion), 700229),
  ...rows({ class: 'cloud', remedy: otherCloud }, 90038, 900382, 900432),
  ...rows({ class: 'consent', remedy: adminConsent, level: 'key' }, 65001, 650056),
  ...rows({ class: 'consent', remedy: adminConsent }, 90099, 700011, 700016),
  ...rows({ class: 'consent', remedy: enableApplication }, 7000112),
  ...rows({ class: 'consent', remedy: adminConsent }, 7000229),
  ...rows({ class: 'consent', remedy: assignRole, level: 'key' }, 501051),
  ...rows({ class: 'request', remedy: correctTenant, level: 'tenant' }, 90002, 900023),
  ...rows({ class: 'request', remedy: reactivateTenant, level: 'tenant' }, 5000225),
  ...rows({ class: 'request', remedy: correctResource }, 50001, 500011, 650057),
  ...rows({ class: 'request', remedy: enableResource }, 500014),
  ...rows({ class: 'request', remedy: resourceById }, 90009),
  ...rows({ class: 'request', remedy: oneScope }, 28000, 70011, 1002012),
  ...rows({ class: 'unknown', remedy: blocked }, 53003, 530003, 530032, 530035),
])

/** The row of the first known code; `undefined` if no code is known. */
export function findCode(codes: readonly number[]): CodeRow | undefined {
  const known = codes.find(code => aadstsCodes.has(code))
  return known === undefined ? undefined : aadstsCodes.get(known)
}
