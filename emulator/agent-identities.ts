import type { FederatedCredential } from './options.ts'

/**
 * Agent identities (https://learn.microsoft.com/entra/agent-id/agent-autonomous-app-oauth-flow). Microsoft documents the two
 * requests, and that Entra refuses an agent identity of another blueprint. It does not document the claims of the first
 * token, nor which of the two requests is refused with which code. Here they are as public reports have them: the first
 * request is granted for every `fmi_path`, and the second compares issuer and subject of its token.
 */

/** An agent identity, and the blueprint that it belongs to. All three are GUIDs in lower case. */
export interface AgentIdentity {
  readonly tenant: string
  readonly blueprint: string
  readonly agent: string
}

/** The resource of token exchange, by its URI and its client id. */
export const exchange = { uri: 'api://azureadtokenexchange', clientId: 'fb60f99c-7a34-4190-8149-302f77469936' }

/** Whether a resource, as a scope without `/.default` names it, is that of token exchange. */
export const isTokenExchange = (resource: string): boolean =>
  [exchange.uri, exchange.clientId].includes(resource.toLowerCase().replace(/\/$/, ''))

/** The subject of the first token, which names tenant, blueprint and agent identity. */
export const subjectOf = ({ tenant, blueprint, agent }: AgentIdentity): string =>
  `/eid1/c/pub/t/${encoded(tenant)}/a/${encoded(blueprint)}/${agent}`

/** A GUID as the subject has it: its bytes, base64url. */
const encoded = (guid: string): string => Buffer.from(guid.replaceAll('-', ''), 'hex').toString('base64url')

/** The only credential of an agent identity: a token of its own tenant that its blueprint requested for it. */
export const credentialOfAgent = (identity: AgentIdentity, entraUrl: string): Required<FederatedCredential> => ({
  issuer: `${entraUrl}/${identity.tenant}/v2.0`,
  subject: subjectOf(identity),
  audience: exchange.clientId,
})
