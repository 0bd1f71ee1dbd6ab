import type { AgentStep } from '../../broker/events.ts'
import type { FailureLevel } from '../../reasons/row.ts'
import type { RefusalClass, RemedyContext } from './aadsts-codes.ts'

// The last hop, broker → Entra, for an agent identity: what Entra's refusals mean there. entra-failure.ts reads it.

/** What differs from the row of a code, or from its class, in a request for an agent identity. */
export interface AgentRow {
  readonly detail?: string
  readonly level?: FailureLevel
  readonly remedy?: (context: RemedyContext) => string
}

type Remedy = NonNullable<AgentRow['remedy']>

const isBlueprint: Remedy = ({ target }) =>
  `Entra does not issue application ${target.clientId} a token for its agent identity ${target.agentId} in tenant ` +
  `${target.tenant}. Check that the application is an agent identity blueprint.`

const ownBlueprint: Remedy = ({ target }) =>
  `Check that agent identity ${target.agentId} belongs to blueprint ${target.clientId}, and that tenant ${target.tenant} is ` +
  'its own: an agent identity has one blueprint and one tenant. Correct the id or the application under "agents".'

const existsHere: Remedy = ({ target }) =>
  `Tenant ${target.tenant} has no agent identity ${target.agentId}. Check its id under "agents", and request the tenant in ` +
  'which it exists: an agent identity exists in one tenant only.'

const enableAgent: Remedy = ({ target }) =>
  `Agent identity ${target.agentId} is disabled in tenant ${target.tenant}. An administrator of that tenant must enable it.`

const assignRoles: Remedy = ({ target, authority }) =>
  `An administrator of tenant ${target.tenant} must assign roles of the resource of scope ${target.scope} to agent identity ` +
  `${target.agentId}, or consent at ${authority}/${target.tenant}/v2.0/adminconsent?client_id=${target.agentId} with the ` +
  'parameters role and redirect_uri (https://learn.microsoft.com/entra/agent-id/autonomous-agent-authentication-authorization-flow).'

const freshToken: Remedy = () =>
  "Entra rejected the token that it has issued to the blueprint itself. Compare the clocks; purge the agent identity's " +
  'tokens to have the broker request another one.'

/** By the class of the refusal. */
const steps: Readonly<Record<AgentStep, Readonly<Partial<Record<RefusalClass, AgentRow>>>>> = {
  blueprint: {
    request: { detail: 'Entra refuses the blueprint a token for its agent identity.', remedy: isBlueprint },
  },
  agent: {
    // What concerns one agent identity is not cached for its blueprint and the others.
    federation: {
      detail: "Entra does not accept the blueprint's token as the credential of the agent identity.",
      level: 'tenant',
      remedy: ownBlueprint,
    },
    assertion: {
      detail: "Entra rejected the blueprint's token.",
      level: 'tenant',
      remedy: freshToken,
    },
    client: {
      detail: 'Entra rejected the agent identity in this tenant. The reason is unknown.',
      remedy: ownBlueprint,
    },
    consent: {
      detail: 'The agent identity does not exist in this tenant, is disabled, or has no permission for the resource.',
      remedy: existsHere,
    },
  },
}

/** Remedies of the second request that differ from that of their class. */
const agentCodes: ReadonlyMap<number, Remedy> = new Map([
  [7000112, enableAgent],
  [65001, assignRoles],
  [650056, assignRoles],
  [501051, assignRoles],
])

/**
 * What differs in a request for an agent identity; nothing in other requests. Which of its two requests Entra refuses with
 * which code is not documented, except for 700211 and 82001, which Microsoft's guide for agents names
 * (https://github.com/microsoft/azure-skills).
 *
 * @param codes the AADSTS codes of the response
 */
export function agentRow(step: AgentStep | undefined, kind: RefusalClass, codes: readonly number[]): AgentRow {
  if (step === undefined) return {}
  const row = steps[step][kind] ?? {}
  const remedy = step === 'agent' ? codes.map(code => agentCodes.get(code)).find(Boolean) : undefined
  return remedy ? { ...row, remedy } : row
}
