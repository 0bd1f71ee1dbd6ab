import { decodeJwt } from 'jose'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { FailureLevel } from '../../reasons/row.ts'

/** The reasons that Entra's refusals can have: they decide the error code, and who can put it right. */
export type RefusalClass =
  'transient' | 'assertion' | 'federation' | 'client' | 'cloud' | 'consent' | 'request' | 'unknown'

/** What a remedy may need to name. */
export interface RemedyContext {
  readonly grant: Grant
  /** `https://login.microsoftonline.com`, or another cloud's. */
  readonly authority: string
  /** The client assertion that was sent. */
  readonly assertion: string
}

/** One AADSTS code: its class, where it is remembered, and what can be done about it. */
export interface CodeRow {
  readonly class: RefusalClass
  /** Where the failure is remembered, if not where its class is. */
  readonly level?: FailureLevel
  readonly remedy?: (circumstances: RemedyContext) => string
}

type Remedy = NonNullable<CodeRow['remedy']>

/** A claim of the assertion: the very value that the federated credential should have. */
const claim = (assertion: string, name: 'iss' | 'sub' | 'aud' | 'tid'): string => {
  try {
    const value = decodeJwt(assertion)[name]
    return typeof value === 'string' ? value : '(not a text)'
  } catch {
    return '(unreadable)'
  }
}

const adminConsent: Remedy = ({ authority, grant }) =>
  `The application has no usable service principal in tenant ${grant.tenant}. An administrator of that tenant consents ` +
  `at ${authority}/${grant.tenant}/adminconsent?client_id=${grant.clientId} (the registration needs a redirect URI).`

const correctCredential =
  (field: 'issuer' | 'subject' | 'audience', name: 'iss' | 'sub' | 'aud'): Remedy =>
  ({ grant, assertion }) =>
    `No federated credential of application ${grant.clientId} has the ${field} of the managed identity's token: ` +
    `set its ${field} to exactly ${claim(assertion, name)}. A change takes some minutes to arrive everywhere.`

const addCredential: Remedy = ({ grant, assertion }) =>
  `Application ${grant.clientId} has no federated credential: add one with issuer ${claim(assertion, 'iss')}, ` +
  `subject ${claim(assertion, 'sub')} and audience ${claim(assertion, 'aud')}.`

const sameTenant: Remedy = ({ grant, assertion }) =>
  `The registration of application ${grant.clientId} must live in the managed identity's own tenant ` +
  `${claim(assertion, 'tid')}.`

const freshAssertion: Remedy = () =>
  "Entra rejected the managed identity's token itself: compare the clocks, and wait for the platform's next token."

const otherCloud: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} is in another national cloud than BROKER_AUTHORITY; a federated credential cannot cross clouds.`

const correctTenant: Remedy = ({ grant, authority }) =>
  `Tenant ${grant.tenant} does not exist at ${authority}: correct the tenant id.`

const correctResource: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} does not know the resource of ${grant.scope}: correct the scope, or have the resource's ` +
  'service principal added there.'

const enableApplication: Remedy = ({ grant }) =>
  `The service principal of application ${grant.clientId} is disabled in tenant ${grant.tenant}: an administrator ` +
  'there enables it under Enterprise applications.'

const assignRole: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} issues tokens for ${grant.scope} to assigned applications only: an administrator there ` +
  `assigns application ${grant.clientId} a role of that resource.`

const oneScope: Remedy = () => 'Client credentials need the scope of one resource, as <resource>/.default.'

/** Codes that mean the same. */
const rows = (row: CodeRow, ...codes: readonly number[]) => codes.map((code): readonly [number, CodeRow] => [code, row])

const federation = (remedy: Remedy): CodeRow => ({ class: 'federation', remedy })
const blocked: Remedy = ({ grant }) => `Conditional Access of tenant ${grant.tenant} blocks the application.`

/**
 * The AADSTS codes that are known to matter here. Microsoft may add and change codes
 * (https://learn.microsoft.com/entra/identity-platform/reference-error-codes), so this refines what the HTTP status and
 * the OAuth error say, and a code that is not listed is no surprise.
 *
 * Two kinds are remembered elsewhere than others of their class: a tenant that does not exist, whatever the scope; and
 * consent that is missing for one resource, which must not keep other resources of that tenant from callers.
 */
export const aadstsCodes: ReadonlyMap<number, CodeRow> = new Map([
  ...rows({ class: 'transient' }, 50000, 50033, 50196, 90006, 90012, 90024, 90033, 90055, 90090, 90091),
  ...rows({ class: 'assertion', remedy: freshAssertion }, 50013, 700024, 700027),
  ...rows(federation(addCredential), 70021, 70025, 7000226),
  ...rows(federation(correctCredential('issuer', 'iss')), 700211),
  ...rows(federation(correctCredential('audience', 'aud')), 700212, 7002121),
  ...rows(federation(correctCredential('subject', 'sub')), 700213),
  ...rows(federation(sameTenant), 700222, 700236),
  ...rows(
    federation(() => "A policy of the application's tenant restricts federated credentials: allow it."),
    700238,
  ),
  ...rows({ class: 'cloud', remedy: otherCloud }, 90038, 900382, 900432),
  ...rows({ class: 'consent', remedy: adminConsent, level: 'key' }, 65001, 650056),
  ...rows({ class: 'consent', remedy: adminConsent }, 700011, 700016),
  ...rows({ class: 'consent', remedy: enableApplication }, 7000112),
  ...rows({ class: 'consent', remedy: adminConsent }, 7000229),
  ...rows({ class: 'consent', remedy: assignRole, level: 'key' }, 501051),
  ...rows({ class: 'request', remedy: correctTenant, level: 'tenant' }, 90002, 900023),
  ...rows({ class: 'request', remedy: correctResource }, 50001, 500011, 650057),
  ...rows({ class: 'request', remedy: oneScope }, 28000, 70011, 1002012),
  ...rows({ class: 'unknown', remedy: blocked }, 53003, 530032, 530035),
])

/** The row of the first code that is known. */
export function findCode(codes: readonly number[]): CodeRow | undefined {
  const known = codes.find(code => aadstsCodes.has(code))
  return known === undefined ? undefined : aadstsCodes.get(known)
}
