import { decodeJwt } from 'jose'
import type { Grant } from '../../broker/authorization/authorize.ts'

/** What kind of trouble a refusal is; decides the answer, and who can end it. */
export type RefusalClass =
  'transient' | 'assertion' | 'federation' | 'client' | 'cloud' | 'consent' | 'request' | 'unknown'

/** What a remedy may need to name. */
export interface Circumstances {
  readonly grant: Grant
  /** `https://login.microsoftonline.com`, or another cloud's. */
  readonly authority: string
  /** The client assertion that was sent. */
  readonly assertion: string
}

/** One AADSTS code: its class, and what somebody can do about it. */
interface CodeRow {
  readonly class: RefusalClass
  readonly remedy?: (circumstances: Circumstances) => string
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

const setCredential =
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
  "Entra does not accept the managed identity's token itself: compare the clocks, and wait for the platform's next token."

const otherCloud: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} is in another national cloud than BROKER_AUTHORITY; a federated credential cannot cross clouds.`

const noSuchTenant: Remedy = ({ grant, authority }) =>
  `There is no tenant ${grant.tenant} at ${authority}: correct the tenant id.`

const noSuchResource: Remedy = ({ grant }) =>
  `Tenant ${grant.tenant} does not know the resource of ${grant.scope}: correct the scope, or have the resource's ` +
  'service principal added there.'

const oneScope: Remedy = () => 'Client credentials take the scope of one resource, as <resource>/.default.'

const rows = (kind: RefusalClass, remedy: Remedy | undefined, ...codes: readonly number[]) =>
  codes.map((code): readonly [number, CodeRow] => [code, { class: kind, ...(remedy && { remedy }) }])

/**
 * The AADSTS codes that are known to matter here. Microsoft may add and change codes
 * (https://learn.microsoft.com/entra/identity-platform/reference-error-codes), so this refines what the HTTP status and
 * the OAuth error say, and a code that is not listed is no surprise.
 */
const codeTable: ReadonlyMap<number, CodeRow> = new Map([
  ...rows('transient', undefined, 90033, 90024, 90006, 90012, 90090, 90091, 50033, 50000, 90055, 50196),
  ...rows('assertion', freshAssertion, 700024, 700027, 50013),
  ...rows('federation', setCredential('issuer', 'iss'), 700211),
  ...rows('federation', setCredential('audience', 'aud'), 700212, 7002121),
  ...rows('federation', setCredential('subject', 'sub'), 700213),
  ...rows('federation', addCredential, 70021, 70025, 7000226),
  ...rows('federation', sameTenant, 700236, 700222),
  ...rows(
    'federation',
    () => "A policy of the application's tenant restricts federated credentials: allow it.",
    700238,
  ),
  ...rows('cloud', otherCloud, 90038, 900382, 900432),
  ...rows('consent', adminConsent, 700016, 7000229, 700011, 65001, 650056),
  ...rows(
    'consent',
    ({ grant }) =>
      `The service principal of application ${grant.clientId} is disabled in tenant ${grant.tenant}: an administrator ` +
      'there enables it under Enterprise applications.',
    7000112,
  ),
  ...rows(
    'consent',
    ({ grant }) =>
      `Tenant ${grant.tenant} lets only assigned applications have ${grant.scope}: an administrator there assigns the ` +
      `application ${grant.clientId} a role of that resource.`,
    501051,
  ),
  ...rows('request', noSuchTenant, 90002, 900023),
  ...rows('request', noSuchResource, 500011, 50001, 650057),
  ...rows('request', oneScope, 1002012, 70011, 28000),
  ...rows(
    'unknown',
    ({ grant }) => `Conditional Access of tenant ${grant.tenant} blocks the application.`,
    53003,
    530032,
    530035,
  ),
])

/** The class and remedy of the first code that is known. */
export function lookUpCodes(codes: readonly number[]): CodeRow | undefined {
  const known = codes.find(code => codeTable.has(code))
  return known === undefined ? undefined : codeTable.get(known)
}
