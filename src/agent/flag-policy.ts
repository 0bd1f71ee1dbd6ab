import { createHash } from 'node:crypto'
import type { CallerMatcher } from '../broker/policy/caller-matcher.ts'
import { quoted } from '../broker/lib/text/quoted.ts'
import { EntryIndex } from '../broker/policy/entry-index.ts'
import { authorize, createAuthorize, type Authorize } from '../broker/authorization/authorize.ts'
import type { Policy, PolicyIndex, Rule, TokenRequest } from '../broker/policy/model.ts'
import { BrokerError } from '../errors.ts'

const secretHolder: CallerMatcher = {
  kind: 'secret',
  matches: ({ kind }) => kind === 'secret',
  mismatch: ({ kind }) => (kind === 'secret' ? undefined : 'the caller does not have the local secret'),
}

/**
 * The policy of an agent. Its only caller, the holder of the local secret, may observe the agent. The central broker
 * decides which tokens that caller gets; see {@link authorizeByFlags}.
 *
 * @param tenant as in `--tenant`
 */
export function policyOfFlags(tenant: string): Policy {
  const rules = [
    {
      name: `--tenant ${tenant}`,
      order: 0,
      callers: [secretHolder],
      tenants: new Set([tenant]),
      scopes: new Set<string>(),
      applications: new Set<string>(),
      permissions: new Set(['observe'] as const),
    },
  ]
  return {
    version: createHash('sha256').update(`agent ${tenant}`).digest('hex'),
    applications: new Map(),
    agents: new Map(),
    tenants: new Map([[tenant, tenant]]),
    scopes: new Map(),
    issuers: [],
    apiKeys: [],
    denials: [],
    rules,
    namedClaims: new Map(),
    delegatedIssuers: new Set(),
    index: indexOf(rules),
    warnings: [],
    hints: [],
  }
}

/**
 * The policy with the scope and application of a request in its rule. A rule must list what it grants, and an agent
 * does not know that before the request. It does not know the central policy's names either, so the name of an application
 * or an agent identity is used as its client id, and a scope's name as the scope.
 */
function grantAlso(policy: Policy, { scope, application, agent }: TokenRequest): Policy {
  const rules = policy.rules.map(rule => ({
    ...rule,
    scopes: new Set([scope]),
    ...(agent === undefined ? { applications: new Set([application]) } : { agents: new Set([agent]) }),
  }))
  const applications = new Map([[application, application]])
  const agents: Policy['agents'] =
    agent === undefined
      ? policy.agents
      : new Map([[agent, { application: unknownBlueprint, clientId: agent, id: agent }]])
  return {
    ...policy,
    applications,
    agents,
    scopes: new Map([[scope, scope]]),
    rules,
    index: indexOf(rules, applications, agents),
  }
}

/** The application of an agent identity in the agent's log: only the central broker knows it. */
const unknownBlueprint = ''

function indexOf(
  rules: readonly Rule[],
  applications?: ReadonlyMap<string, string>,
  agents?: Policy['agents'],
): PolicyIndex {
  const index = new EntryIndex(applications, agents)
  for (const rule of rules) index.addRule(rule)
  return index
}

/**
 * Grants the holder of the secret every scope and application in one tenant. Grants are cached as in a broker, so that
 * a repeated request is a look-up. The function throws `not_permitted` for another tenant.
 */
export const authorizeByFlags = (tenant: string): Authorize =>
  createAuthorize(
    () => undefined,
    (policy, caller, request, homeTenant) => {
      if (request.tenant === tenant) return authorize(grantAlso(policy, request), caller, request, homeTenant)
      throw new BrokerError(
        'not_permitted',
        `This agent issues tokens for one tenant only: ${tenant}. The request is for ${quoted(request.received?.tenant ?? request.tenant)}.`,
        {
          reason: 'unknown_target',
          remedy: 'For another tenant, start another agent with that tenant in --tenant.',
        },
      )
    },
  )
