import type { AgentStep } from '../../broker/events.ts'
import type { FailureLevel } from '../../reasons/row.ts'
import { firstKnownCode, type RefusalClass, type RemedyContext } from './aadsts-codes.ts'

// The last hop, broker → Entra, for an agent identity: what Entra's refusals mean there. entra-failure.ts reads it.

/** What differs from the row of a code, or from its class, in a request for an agent identity. */
export interface AgentRow {
  readonly detail?: string
  readonly level?: FailureLevel
  /** In place of the name of the class. */
  readonly reason?: 'agent_identity' | 'agent_assertion'
  readonly remedy?: (context: RemedyContext) => string
}

type Remedy = NonNullable<AgentRow['remedy']>

/** What differs in one of the two requests. */
interface StepRows {
  /** By the class of the refusal. */
  readonly classes: Readonly<Partial<Record<RefusalClass, AgentRow>>>
  /** By its code, in place of what its class says. */
  readonly codes: ReadonlyMap<number, AgentRow>
  /** For a refusal without a known code, where its class has no remedy. */
  readonly unlisted?: AgentRow
}

const isBlueprint: Remedy = ({ target }) =>
  `Entra does not issue application ${target.clientId} a token for its agent identity ${target.agentId} in tenant ` +
  `${target.tenant}. Check that the application is an agent identity blueprint.`

const sentUnchanged: Remedy = ({ target }) =>
  `Entra did not recognise a request of blueprint ${target.clientId} for its agent identity ${target.agentId}. The broker ` +
  'always sends it with fmi_path: check that nothing between the broker and Entra changes requests.'

const tokenExchange: Remedy = ({ target, authority }) =>
  `Entra does not accept scope ${target.scope} in tenant ${target.tenant}. The broker requests it as blueprint ` +
  `${target.clientId}, not a caller. Check that the application is an agent identity blueprint, and that BROKER_AUTHORITY ` +
  `(${authority}) is the cloud of the tenant.`

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

const freshToken: Remedy = ({ target }) =>
  `Entra rejected the token that it has issued to blueprint ${target.clientId} itself. Compare the clocks; purge the tokens ` +
  `of agent identity ${target.agentId} to have the broker request another one.`

const allowFederation: Remedy = ({ target }) =>
  `A policy restricts the credentials of agent identity ${target.agentId} in tenant ${target.tenant}. An administrator of ` +
  `that tenant must allow the tokens of blueprint ${target.clientId}.`

const applicationsOnly: Remedy = ({ target }) =>
  `Entra issues agent identity ${target.agentId} no application token for scope ${target.scope} in tenant ${target.tenant}. ` +
  'Check under "agents" that its id is not that of a blueprint, and whether the resource accepts users only.'

/** The same row for several codes. */
const rows = (row: AgentRow, ...codes: readonly number[]) =>
  codes.map((code): readonly [number, AgentRow] => [code, row])

const noTokenForAgent = 'Entra refuses the blueprint a token for its agent identity.'

/** The first request is the same for every scope. */
const oneForAllScopes: AgentRow = { level: 'tenant' }

const steps: Readonly<Record<AgentStep, StepRows>> = {
  // Its client is the blueprint, which the rows of an application name.
  blueprint: {
    classes: {
      client: oneForAllScopes,
      consent: {
        ...oneForAllScopes,
        detail: 'The blueprint has no usable service principal or no consent in this tenant.',
      },
      request: oneForAllScopes,
      unknown: { ...oneForAllScopes, detail: noTokenForAgent },
    },
    codes: new Map([
      ...rows({ detail: noTokenForAgent, remedy: sentUnchanged }, 82001, 82008),
      // No caller chooses its scope.
      ...rows(
        { detail: noTokenForAgent, remedy: tokenExchange },
        28000,
        50001,
        500011,
        500014,
        650057,
        70011,
        90009,
        1002012,
      ),
    ]),
    unlisted: { detail: noTokenForAgent, remedy: isBlueprint },
  },
  agent: {
    classes: {
      // What concerns one agent identity is not cached for its blueprint and the others.
      federation: {
        reason: 'agent_identity',
        detail: "Entra does not accept the blueprint's token as the credential of the agent identity.",
        level: 'tenant',
        remedy: ownBlueprint,
      },
      assertion: {
        reason: 'agent_assertion',
        detail: "Entra rejected the blueprint's token.",
        level: 'tenant',
        remedy: freshToken,
      },
      client: {
        reason: 'agent_identity',
        detail: 'Entra rejected the agent identity in this tenant. The reason is unknown.',
        remedy: ownBlueprint,
      },
      consent: {
        detail: 'The agent identity does not exist in this tenant, is disabled, or has no permission for the resource.',
        remedy: existsHere,
      },
    },
    codes: new Map([
      ...rows({ remedy: enableAgent }, 7000112),
      ...rows({ remedy: assignRoles }, 65001, 650056, 501051),
      ...rows({ remedy: allowFederation }, 700238),
      ...rows({ remedy: isBlueprint }, 700229),
      ...rows({ remedy: applicationsOnly }, 82001, 82008),
    ]),
  },
}

/**
 * What differs in a request for an agent identity; nothing in other requests. Which of its two requests Entra refuses with
 * which code is not documented, except for 700211 and 82001, which Microsoft's guide for agents names
 * (https://github.com/microsoft/azure-skills). What concerns the tenant itself, such as that it does not exist, is the same
 * in both.
 *
 * @param codes the AADSTS codes of the response
 */
export function agentRow(step: AgentStep | undefined, kind: RefusalClass, codes: readonly number[]): AgentRow {
  if (step === undefined) return {}
  const { classes, codes: known, unlisted } = steps[step]
  const code = firstKnownCode(codes)
  return { ...classes[kind], ...(code === undefined ? unlisted : known.get(code)) }
}
