import { decodeJwt } from 'jose'
import type { AgentStep, ExchangeTarget } from '../../broker/events.ts'
import type { PresentedIdentity } from '../../errors.ts'
import type { FailureLevel } from '../../reasons/row.ts'

// The last hop, broker → Entra: what the numbers in Entra's error response mean, and what to do. entra-failure.ts reads
// it.

/** Why Entra refuses a request. The class decides the error code, and who can correct it. */
export type RefusalClass =
  'transient' | 'loop' | 'assertion' | 'federation' | 'client' | 'cloud' | 'consent' | 'request' | 'unknown'

/** The facts of an exchange that a remedy can name. */
export interface RemedyContext {
  readonly target: ExchangeTarget
  /** The origin of Entra: `https://login.microsoftonline.com`, or that of another cloud. */
  readonly authority: string
  /** The client assertion that was sent. */
  readonly assertion: string
  /** Which request for an agent identity it is. */
  readonly step?: AgentStep
}

/** What a command can name besides. */
export interface CommandContext extends RemedyContext {
  /** The audience that the federated credential must have. It is not always that of the assertion, which can be a client id. */
  readonly audience: string
}

/** One AADSTS code: its class, what its failure is cached for, and what to do about it. */
export interface CodeRow {
  readonly class: RefusalClass
  /** Which requests the failure is cached for, if they are others than those of its class. */
  readonly level?: FailureLevel
  /** Makes the remedy for an operator, with the exact values of the exchange. */
  readonly remedy?: (context: RemedyContext) => string
  /** The same as a line for a shell or a browser, for operators: `token-broker doctor` prints it. Callers never get it. */
  readonly command?: (context: CommandContext) => string
}

type Command = NonNullable<CodeRow['command']>
type Remedy = NonNullable<CodeRow['remedy']>

/** A claim of the assertion: the exact value that the federated credential must have. */
const claim = (assertion: string, name: 'iss' | 'sub' | 'aud' | 'tid'): string => {
  try {
    // The tokens of Kubernetes have a list of audiences.
    const [value, ...others] = [decodeJwt(assertion)[name]].flat()
    return typeof value === 'string' && others.length === 0 ? value : '(not a string)'
  } catch {
    return '(unreadable)'
  }
}

/** Characters of the longest claim that is kept. */
const longestClaim = 300

/** What an assertion says of itself, to compare with the federated credential. */
export const presentedBy = (assertion: string): PresentedIdentity => ({
  issuer: claim(assertion, 'iss').slice(0, longestClaim),
  subject: claim(assertion, 'sub').slice(0, longestClaim),
  audience: claim(assertion, 'aud').slice(0, longestClaim),
})

const quotedForShell = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** The federated credential that the assertion needs, as Azure CLI takes it. */
const credential = ({ assertion, audience }: CommandContext): string =>
  quotedForShell(
    JSON.stringify({
      name: 'token-broker',
      issuer: claim(assertion, 'iss'),
      subject: claim(assertion, 'sub'),
      audiences: [audience],
    }),
  )

const createCredential: Command = context =>
  `az ad app federated-credential create --id ${context.target.clientId} --parameters ${credential(context)}`

/** Entra allows one credential for an issuer and a subject, so the one with another audience must be changed. */
const updateCredential: Command = context => {
  const app = `--id ${context.target.clientId}`
  const subject = claim(context.assertion, 'sub').replaceAll("'", String.raw`\'`)
  const query = quotedForShell(`[?subject=='${subject}'].id`)
  const found = `"$(az ad app federated-credential list ${app} --query ${query} --output tsv)"`
  const parameters = `--parameters ${credential(context)}`
  return `az ad app federated-credential update ${app} --federated-credential-id ${found} ${parameters}`
}

/** The client of the request: the agent identity in the second one for it, else the application, which may be its blueprint. */
const clientOf = ({ target: { clientId, agentId = clientId }, step }: RemedyContext): string =>
  step === 'blueprint' ? clientId : agentId

/** The page on which an administrator of the tenant consents to the application. */
const consentUrl = ({ authority, target }: RemedyContext): string =>
  `${authority}/${target.tenant}/adminconsent?client_id=${target.clientId}`

const signIn = ({ target }: RemedyContext): string => `az login --tenant ${target.tenant} --allow-no-subscriptions`

const enablePrincipal: Command = context =>
  `${signIn(context)} && az ad sp update --id ${context.target.clientId} --set accountEnabled=true`

const adminConsent: Remedy = context =>
  `The application has no usable service principal in tenant ${context.target.tenant}. An administrator of that tenant must ` +
  `consent at ${consentUrl(context)} (the registration needs a redirect URI).`

const correctCredential =
  (field: 'issuer' | 'subject' | 'audience', name: 'iss' | 'sub' | 'aud'): Remedy =>
  ({ target, assertion }) =>
    `No federated credential of application ${target.clientId} has the ${field} of the managed identity's token. ` +
    // Another identity must not be trusted because the broker happens to have it.
    `${field === 'subject' ? 'If the broker is meant to have this identity, set' : 'Set'} the credential's ${field} to exactly ` +
    `${claim(assertion, name)}. Entra can take some minutes to apply the change.`

const addCredential: Remedy = ({ target, assertion }) =>
  `Application ${target.clientId} has no federated credential that Entra accepts for the managed identity's token. ` +
  `Add one with issuer ${claim(assertion, 'iss')}, subject ${claim(assertion, 'sub')} and audience ${claim(assertion, 'aud')}.`

const sameTenant: Remedy = ({ target, assertion }) =>
  `Application ${target.clientId} must be registered in the tenant of the managed identity, ${claim(assertion, 'tid')}.`

const freshAssertion: Remedy = () =>
  "Entra rejected the managed identity's token. Compare the clocks, and wait until the platform issues another token."

const otherCloud: Remedy = ({ target, authority }) =>
  `Tenant ${target.tenant} is in another national cloud than BROKER_AUTHORITY (${authority}). Correct the tenant id. A ` +
  'federated credential does not work across clouds.'

const correctTenant: Remedy = ({ target, authority }) =>
  `Tenant ${target.tenant} does not exist at ${authority}. Correct the tenant id.`

const correctResource: Remedy = ({ target }) =>
  `Entra does not accept the resource of scope ${target.scope} in tenant ${target.tenant}. Correct the scope, or have an ` +
  "administrator add the resource's service principal to that tenant."

const enableApplication: Remedy = ({ target }) =>
  `The service principal of application ${target.clientId} is disabled in tenant ${target.tenant}. An administrator ` +
  'of that tenant must enable it under Enterprise applications.'

const assignRole: Remedy = ({ target }) =>
  `Tenant ${target.tenant} issues tokens for ${target.scope} only to applications with a role assignment. An administrator ` +
  `of that tenant must assign a role of that resource to application ${target.clientId}.`

const enableResource: Remedy = ({ target }) =>
  `The service principal of the resource of scope ${target.scope} is disabled in tenant ${target.tenant}. An administrator of ` +
  'that tenant must enable it under Enterprise applications, or renew the subscription that it belongs to.'

const reactivateTenant: Remedy = ({ target }) =>
  `Microsoft has blocked tenant ${target.tenant} because it was inactive. An administrator of that tenant must ask ` +
  "Microsoft's support to reactivate it, within 20 days; otherwise remove it from the policy."

const resourceById: Remedy = context =>
  `Application ${clientOf(context)} requests a token for itself. Entra issues one only if the scope names it by its client ` +
  `id: request ${clientOf(context)}/.default.`

const agentInstead: Remedy = ({ target }) =>
  `Application ${target.clientId} is an agent identity blueprint, which gets no token for scope ${target.scope} itself. ` +
  'Request it for one of its agent identities, which the policy names under "agents".'

const applicationAssertion: Remedy = () =>
  'Entra accepts only the token of an application or a managed identity as assertion, and got the token of a user. Check ' +
  'what responds at IDENTITY_ENDPOINT, or what is in AZURE_FEDERATED_TOKEN_FILE.'

const oneScope: Remedy = ({ target }) =>
  `Scope ${target.scope} is invalid for client credentials. Use the scope of one resource, in the form <resource>/.default.`

const requestLess: Remedy = ({ target }) =>
  `Entra has seen the same request for tenant ${target.tenant} too often, and gets none for a minute. Find out why the ` +
  'broker requests this token so often: replicas that restart or do not share a cache, or a token that lives seconds.'

/** The same row for several codes. */
const rows = (row: CodeRow, ...codes: readonly number[]) => codes.map((code): readonly [number, CodeRow] => [code, row])

const federation = (remedy: Remedy, command?: Command): CodeRow => ({
  class: 'federation',
  remedy,
  ...(command && { command }),
})
const consent = (remedy: Remedy, command: Command): CodeRow => ({ class: 'consent', remedy, command })
const blocked: Remedy = context =>
  `A Conditional Access or security policy of tenant ${context.target.tenant} blocks application ${clientOf(context)}. An ` +
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
  ...rows(federation(addCredential, createCredential), 70021, 70025, 7000226),
  ...rows(federation(correctCredential('issuer', 'iss'), createCredential), 700211),
  ...rows(federation(correctCredential('audience', 'aud'), updateCredential), 700212, 7002121),
  ...rows(federation(correctCredential('subject', 'sub'), createCredential), 700213),
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
  ...rows({ ...consent(adminConsent, consentUrl), level: 'key' }, 65001, 650056),
  ...rows(consent(adminConsent, consentUrl), 90099, 700011, 700016, 7000229),
  ...rows(consent(enableApplication, enablePrincipal), 7000112),
  ...rows({ ...consent(assignRole, consentUrl), level: 'key' }, 501051),
  ...rows({ class: 'request', remedy: correctTenant, level: 'tenant' }, 90002, 900023),
  ...rows({ class: 'request', remedy: reactivateTenant, level: 'tenant' }, 5000225),
  ...rows({ class: 'request', remedy: correctResource }, 50001, 500011, 650057),
  ...rows({ class: 'request', remedy: enableResource }, 500014),
  ...rows({ class: 'request', remedy: resourceById }, 90009),
  ...rows({ class: 'request', remedy: agentInstead }, 82001, 82008),
  ...rows({ class: 'request', remedy: oneScope }, 28000, 70011, 1002012),
  ...rows({ class: 'unknown', remedy: blocked }, 53003, 530003, 530032, 530035),
])

/** The first code that is in the table; `undefined` if none is. */
export const firstKnownCode = (codes: readonly number[]): number | undefined =>
  codes.find(code => aadstsCodes.has(code))

/** The row of the first known code; `undefined` if no code is known. */
export function findCode(codes: readonly number[]): CodeRow | undefined {
  const known = firstKnownCode(codes)
  return known === undefined ? undefined : aadstsCodes.get(known)
}
