import type { CallerFacts } from './caller-facts.ts'
import { nearestName, shortestSuggestion } from '../lib/text/did-you-mean.ts'
import { isGuid } from '../lib/identifiers.ts'
import { clientsOf, coversClient, coversTarget, decide, denies, isElsewhere, scopeOf, type Decision } from './decide.ts'
import type { TokenRequest, Permission, Policy } from './model.ts'
import type { Rule, Target } from './model.ts'

/** Why a policy decides as it does, as text for people. Slow, since it tries every rule; not for the data path. */
export interface Explanation {
  readonly granted: boolean
  /** The verdict and its reason in one sentence. */
  readonly summary: string
  /** For each rule, in the order of the file: `grants it`, or the first condition that does not match. */
  readonly rules: readonly { readonly name: string; readonly why: string }[]
}

/**
 * Explains the decision that {@link decide} makes.
 *
 * @param homeTenant as for {@link decide}, but if it is `undefined`, no tenant counts as the home tenant
 */
export function explain(
  policy: Policy,
  caller: CallerFacts,
  request: TokenRequest,
  homeTenant: string | undefined,
): Explanation {
  const decision = decide(policy, caller, request, homeTenant ?? '')
  return {
    granted: decision.verdict === 'granted',
    summary: summaryOf(policy, caller, request, decision),
    rules: policy.rules.map(rule => ({ name: rule.name, why: whyOf(policy, rule, caller, request, homeTenant) })),
  }
}

function summaryOf(policy: Policy, caller: CallerFacts, request: TokenRequest, decision: Decision): string {
  if (decision.verdict === 'granted') {
    const [first, ...others] = decision.rules
    const more = others.length === 0 ? '' : ` (and by ${others.map(({ name }) => `"${name}"`).join(', ')})`
    return `granted by the rule "${first.name}"${more}`
  }
  if (decision.verdict === 'undecided') return 'undecided while the home tenant is not known'
  if (decision.reason === 'no_rule') return 'denied: no rule grants it'
  if (decision.reason === 'unknown_target' || decision.reason === 'unknown_client_id')
    return `denied: ${unknownIn(policy, request)}`
  const targets = targetsIn(policy, request)
  if (decision.reason === 'other_tenant') return `denied: ${elsewhere(policy, targets[0])}`
  const denial = policy.denials.find(each => targets.some(target => denies(each, caller, target)))
  return `denied: deny[${denial?.order ?? '?'}] matches it, and denials take precedence over rules`
}

function unknownIn(policy: Policy, request: TokenRequest): string {
  const { tenant, scope, application, agent } = request
  if (clientsOf(policy, request).length === 0) {
    if (agent !== undefined) {
      return `unknown agent identity "${agent}": not defined under agents${meant(agent, policy.agents)}`
    }
    const what = isGuid(application) ? 'client id' : 'application'
    return `unknown ${what} "${application}": not defined under applications${meant(application, policy.applications)}`
  }
  if (scopeOf(policy, scope) === undefined) {
    return `unknown scope "${scope}": not <resource>/.default and not defined under scopes${meant(scope, policy.scopes)}`
  }
  return `unknown tenant "${tenant}": not a GUID and not defined under tenants${meant(tenant, policy.tenants)}`
}

/** A suggestion for a name that the policy does not define; empty if no defined one is near. */
function meant(name: string, defined: ReadonlyMap<string, unknown>): string {
  const nearest = nearestName(name, defined.keys(), shortestSuggestion)
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`
}

/** The targets of a request whose clients are known, although its tenant may be unknown. Several applications can share a client id. */
const targetsIn = (policy: Policy, request: TokenRequest): readonly Target[] =>
  clientsOf(policy, request).map(each => ({
    ...each,
    tenant: policy.tenants.get(request.tenant) ?? request.tenant,
    scope: scopeOf(policy, request.scope) ?? request.scope,
  }))

/** Why an agent identity gets no token in the requested tenant. */
function elsewhere({ tenants }: Policy, { agent, agentTenant }: Partial<Target> = {}): string {
  const name = tenants.entries().find(([, id]) => id === agentTenant)?.[0] ?? agentTenant
  return `"${agent}" is of the tenant "${name}" only, as the policy says under agents`
}

function whyOf(
  policy: Policy,
  rule: Rule,
  caller: CallerFacts,
  request: TokenRequest,
  homeTenant: string | undefined,
): string {
  if (rule.scopes.size === 0) return 'grants permissions only, no tokens'
  const targets = targetsIn(policy, request)
  const ofRule = targets.find(each => coversClient(rule, each))
  const target: Target = ofRule ?? targets[0] ?? { ...request, clientId: '' }
  const { tenant, scope } = target
  if (rule.tenants !== '*' && !rule.tenants.has(tenant)) return `tenants: "${request.tenant}" is not listed`
  if (rule.tenants === '*' && tenant === homeTenant) return 'tenants: "*" does not include the home tenant'
  if (!rule.scopes.has(scope)) return `scopes: "${scope}" is not listed`
  if (!coversClient(rule, target)) {
    return target.agent === undefined
      ? `applications: "${request.application}" is not listed`
      : `agents: "${target.agent}" is not listed`
  }
  if (isElsewhere(target)) return `agents: ${elsewhere(policy, target)}`
  return callersMismatch(rule, caller) ?? (coversTarget(rule, target) ? 'grants it' : 'does not apply to it')
}

/** Why none of a rule's callers matches; `undefined` if one does. */
function callersMismatch({ callers }: Rule, caller: CallerFacts): string | undefined {
  const mismatches = callers.map(test => test.mismatch(caller))
  if (mismatches.includes(undefined)) return undefined
  return mismatches.map((mismatch, nth) => `callers[${nth}]: ${mismatch}`).join('; ')
}

/** Explains whether a caller has a permission of the operations endpoints. Only denials with nothing but callers count. */
export function explainPermission(policy: Policy, caller: CallerFacts, permission: Permission): Explanation {
  const denial = policy.denials.find(
    ({ tenants, scopes, clientIds, agentIds, callers }) =>
      !tenants && !scopes && !clientIds && !agentIds && callers?.some(test => test.matches(caller)),
  )
  const rules = policy.rules.map(rule => ({
    name: rule.name,
    why: rule.permissions.has(permission)
      ? (callersMismatch(rule, caller) ?? 'grants it')
      : `permissions: "${permission}" is not listed`,
  }))
  const granting = rules.find(({ why }) => why === 'grants it')
  if (denial) return { granted: false, summary: `denied: deny[${denial.order}] matches the caller`, rules }
  if (!granting) return { granted: false, summary: 'denied: no rule grants it', rules }
  return { granted: true, summary: `granted by the rule "${granting.name}"`, rules }
}
