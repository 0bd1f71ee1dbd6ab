import type { ReasonOf } from '../../errors.ts'
import { isGuid, isScopeName } from '../lib/identifiers.ts'
import type { CallerFacts } from './caller-facts.ts'
import type { AgentIdentity, TokenRequest, Denial, Policy, Rule, Target, TargetClient } from './model.ts'

/** Why a request is denied. */
export type DenialReason = Exclude<ReasonOf<'not_permitted'>, 'broker'>

/** What a policy decides about a request. It has no effect yet: no grant is made, and no limit is charged. */
export type Decision =
  | { readonly verdict: 'granted'; readonly target: Target; readonly rules: readonly [Rule, ...Rule[]] }
  /** Only a rule for `*` would grant it, and the home tenant, which `*` does not include, is not known yet. */
  | { readonly verdict: 'undecided' }
  | { readonly verdict: 'denied'; readonly reason: DenialReason }

/**
 * Decides one request. Denials take precedence. Otherwise every rule that lists the caller, the tenant, the scope and the
 * application grants it, but no agent identity in a tenant that is not its own. The order of rules and of denials does not
 * matter.
 *
 * @param homeTenant the managed identity's own tenant, which a rule for `*` does not include; `undefined` if not known
 * @returns the decision; if it is `granted`, with the rules that grant it in the order of the file
 */
export function decide(
  policy: Policy,
  caller: CallerFacts,
  request: TokenRequest,
  homeTenant: string | undefined,
): Decision {
  let refusal: Decision | undefined
  for (const target of targetsOf(policy, request)) {
    const decision = decideTarget(policy, caller, target, homeTenant)
    if (decision.verdict === 'granted') return decision
    // Of several applications with one client id, `undecided` counts: it ends when the home tenant is known.
    if (refusal?.verdict !== 'undecided') refusal = decision
  }
  return (
    refusal ?? {
      verdict: 'denied',
      reason: isUnknownClientId(policy, request) ? 'unknown_client_id' : 'unknown_target',
    }
  )
}

function decideTarget(policy: Policy, caller: CallerFacts, target: Target, homeTenant: string | undefined): Decision {
  if (policy.index.denials(target.tenant, caller).some(denial => barsTarget(denial, target))) {
    return { verdict: 'denied', reason: 'denied' }
  }
  let undecided = false
  const granting: Rule[] = []
  for (const rule of policy.index.rules(target.tenant, caller)) {
    if (!coversTarget(rule, target)) continue
    if (rule.tenants !== '*' || (homeTenant !== undefined && target.tenant !== homeTenant)) granting.push(rule)
    else undecided ||= homeTenant === undefined
  }
  const [first, ...others] = granting.toSorted((a, b) => a.order - b.order)
  // Also if it is undecided: the home tenant changes nothing about it.
  if ((first || undecided) && isElsewhere(target)) return { verdict: 'denied', reason: 'other_tenant' }
  if (first) return { verdict: 'granted', target, rules: [first, ...others] }
  return undecided ? { verdict: 'undecided' } : { verdict: 'denied', reason: 'no_rule' }
}

/** The targets of a request: none if it is unknown, one client by its name, or each that has the client id. */
function targetsOf(policy: Policy, request: TokenRequest): readonly Target[] {
  const { tenant: named, scope: wanted } = request
  const tenant = isGuid(named) ? named : policy.tenants.get(named)
  const scope = scopeOf(policy, wanted)
  if (tenant === undefined || scope === undefined) return []
  return clientsOf(policy, request).map(each => ({ ...each, tenant, scope }))
}

/** The scope of a request, which may be a name; `undefined` if the policy does not have that name. */
export const scopeOf = ({ scopes }: Policy, wanted: string): string | undefined =>
  isScopeName(wanted) ? scopes.get(wanted) : wanted

/**
 * The agent identity of a request; or the applications that have the name, or the client id in lower case. Several can have
 * the same client id. An agent identity has one too, which is no application's. Empty if none has it.
 */
export function clientsOf(policy: Policy, { application, agent }: TokenRequest): readonly TargetClient[] {
  if (agent !== undefined) return agentsOf(policy, agent)
  const { applications, index } = policy
  if (!isGuid(application)) {
    const clientId = applications.get(application)
    return clientId === undefined ? [] : [{ application, clientId }]
  }
  const names = index.applications(application)
  if (names.length === 0) return agentsOf(policy, application)
  return names.map(name => ({ application: name, clientId: application }))
}

/** The agent identity with a name, or with a client id in lower case. */
function agentsOf({ agents, index }: Policy, wanted: string): readonly TargetClient[] {
  const agent = isGuid(wanted) ? index.agent(wanted) : wanted
  const found = agent === undefined ? undefined : agents.get(agent)
  if (agent === undefined || found === undefined) return []
  return [clientOf(agent, found)]
}

/** The agent identity with this name, as what a request is for. */
export const clientOf = (agent: string, { application, clientId, id, tenant }: AgentIdentity): TargetClient => ({
  application,
  clientId,
  agent,
  agentId: id,
  ...(tenant !== undefined && { agentTenant: tenant }),
})

/** Whether a target is an agent identity in another tenant than its own: no rule can grant that. */
export const isElsewhere = ({ agentTenant, tenant }: Target): boolean =>
  agentTenant !== undefined && agentTenant !== tenant

/** Whether the policy has this agent identity, with this blueprint, and in this tenant. All are ids in lower case. */
export function hasAgent(
  { agents, index }: Policy,
  place: Pick<Target, 'clientId' | 'tenant'> & { readonly agentId: string },
): boolean {
  const agent = agents.get(index.agent(place.agentId) ?? '')
  return agent?.clientId === place.clientId && (agent.tenant ?? place.tenant) === place.tenant
}

const isUnknownClientId = (policy: Policy, request: TokenRequest): boolean =>
  isGuid(request.agent ?? request.application) && clientsOf(policy, request).length === 0

/** Whether a rule lists whose token it is. A rule for an application does not grant its agent identities, nor the other way round. */
export const coversClient = (rule: Rule, { application, agent }: TargetClient): boolean =>
  agent === undefined ? rule.applications.has(application) : rule.agents?.has(agent) === true

/** Whether a rule's tenants, scopes, and applications or agent identities include the target. It does not check that `*` excludes the home tenant. */
export function coversTarget(rule: Rule, target: Target): boolean {
  return (
    (rule.tenants === '*' || rule.tenants.has(target.tenant)) &&
    rule.scopes.has(target.scope) &&
    coversClient(rule, target)
  )
}

/** Whether every part that a denial has matches. */
export const denies = (denial: Denial, caller: CallerFacts, target: Target): boolean =>
  barsTarget(denial, target) && (denial.callers?.some(test => test.matches(caller)) ?? true)

/** Whether a denial's tenants, scopes, applications and agent identities include the target, as far as it has them. */
export const barsTarget = ({ tenants, scopes, clientIds, agentIds }: Denial, target: Target): boolean =>
  (tenants?.has(target.tenant) ?? true) &&
  (scopes?.has(target.scope) ?? true) &&
  (clientIds?.has(target.clientId) ?? true) &&
  (agentIds === undefined || (target.agentId !== undefined && agentIds.has(target.agentId)))
