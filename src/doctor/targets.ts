import { barsTarget, clientOf } from '../broker/policy/decide.ts'
import type { Denial, Policy, Rule, Target, TargetClient } from '../broker/policy/model.ts'
import type { ExchangeTarget } from '../broker/events.ts'

/** A token that the doctor requests: one for each application or agent identity, and tenant. */
export interface ProbedTarget extends ExchangeTarget {
  /** The application's name in the policy. */
  readonly application: string
  /** The agent identity's name in the policy. */
  readonly agent?: string
  /** The tenant's name in the policy; its id if it has none. */
  readonly tenantName: string
  /** Whether a rule grants it to a caller. Only the tenant of `--tenant` is probed without one. */
  readonly isGranted: boolean
}

/** What is probed, and what is not. */
export interface Plan {
  readonly targets: readonly ProbedTarget[]
  /** Targets beyond the limit. */
  readonly left: number
  /** The names of tenants for which no rule grants a token. */
  readonly ungranted: readonly string[]
}

/** Requests for tokens at most, of which an agent identity needs two: enough to see what is wrong, and no burden for Entra. */
export const maxExchanges = 20

/** Named tenants of which targets are looked for, in the order of the policy: each is compared with every rule. */
export const maxTenants = 100

/** The scope of a probe if no rule grants any. */
const graph = 'https://graph.microsoft.com/.default'

/**
 * Chooses what to probe: for each application or agent identity, and named tenant, the first scope that a rule grants. Each application comes
 * first with one tenant, then with the others. An agent identity whose tenant the policy names is probed there only.
 *
 * @param homeTenant a rule for `*` does not grant it
 * @param tenant the id of the only tenant to probe
 */
export function planTargets(policy: Policy, homeTenant: string | undefined, tenant: string | undefined): Plan {
  const names = new Map(policy.tenants.entries().map(([name, id]) => [id, name]))
  const named = tenant === undefined ? tenantsOf(policy) : [tenant]
  const ids = named.slice(0, maxTenants)
  const granted = ids.map(id => targetsIn(policy, id, names.get(id) ?? id, homeTenant))
  const isAny = tenant !== undefined && granted.every(list => list.length === 0)
  const all = isAny ? anyTargets(policy, tenant, names.get(tenant) ?? tenant) : granted.flat()
  const firsts = new Set(new Map(all.toReversed().map(target => [target.clientId, target])).values())
  const ordered = [...all.filter(target => firsts.has(target)), ...all.filter(target => !firsts.has(target))]
  const targets = affordable(ordered)
  return {
    targets,
    left: ordered.length - targets.length + named.length - ids.length,
    ungranted: isAny ? [] : ids.filter((_, at) => granted[at]?.length === 0).map(id => names.get(id) ?? id),
  }
}

/** The named tenants, and those of agent identities. */
const tenantsOf = ({ tenants, agents }: Policy): readonly string[] => [
  ...new Set([...tenants.values(), ...[...agents.values()].flatMap(agent => agent.tenant ?? [])]),
]

/** As many of them as {@link maxExchanges} allows, from the first on. */
function affordable(targets: readonly ProbedTarget[]): readonly ProbedTarget[] {
  let left = maxExchanges
  const first = targets.findIndex(({ agentId }) => (left -= agentId === undefined ? 1 : 2) < 0)
  return first === -1 ? targets : targets.slice(0, first)
}

function targetsIn(
  policy: Policy,
  tenant: string,
  tenantName: string,
  home: string | undefined,
): readonly ProbedTarget[] {
  const byClient = new Map<string, ProbedTarget>()
  for (const rule of policy.rules.filter(each => covers(each, tenant, home))) {
    for (const client of clientsOf(policy, rule)) {
      if (client.agentTenant !== undefined && client.agentTenant !== tenant) continue
      const scope = [...rule.scopes].find(each => !isDenied(policy.denials, { ...client, tenant, scope: each }))
      const id = client.agentId ?? client.clientId
      if (scope === undefined || byClient.has(id)) continue
      byClient.set(id, { ...client, tenant, tenantName, scope, isGranted: true })
    }
  }
  return [...byClient.values()]
}

/** The applications of a rule, and then its agent identities. */
const clientsOf = ({ applications, agents }: Policy, rule: Rule): readonly TargetClient[] => [
  ...[...rule.applications].flatMap(application => {
    const clientId = applications.get(application)
    return clientId === undefined ? [] : [{ application, clientId }]
  }),
  ...[...(rule.agents ?? [])].flatMap(agent => {
    const found = agents.get(agent)
    return found ? [clientOf(agent, found)] : []
  }),
]

const covers = ({ tenants }: Rule, tenant: string, home: string | undefined): boolean =>
  tenants === '*' ? tenant !== home : tenants.has(tenant)

/** Whether no caller can have it, because a denial has no callers. */
const isDenied = (denials: readonly Denial[], target: Target): boolean =>
  denials.some(denial => denial.callers === undefined && barsTarget(denial, target))

/**
 * Every application in a tenant that the policy does not grant: an operator asks before the tenant is added. Blueprints of agent
 * identities get no tokens themselves.
 */
function anyTargets(policy: Policy, tenant: string, tenantName: string): readonly ProbedTarget[] {
  const scope = policy.rules.flatMap(({ scopes }) => [...scopes])[0] ?? graph
  const applications = new Map(policy.applications.entries().map(([application, clientId]) => [clientId, application]))
  for (const { clientId } of policy.agents.values()) applications.delete(clientId)
  return [...applications].map(([clientId, application]) => ({
    application,
    clientId,
    tenant,
    tenantName,
    scope,
    isGranted: false,
  }))
}

/** Whose token it is, as the lines name it. */
export const clientName = ({ application, agent = application }: ProbedTarget): string => agent
