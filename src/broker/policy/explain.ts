import type { CallerFacts } from './caller-facts.ts'
import { isGuid } from '../lib/identifiers.ts'
import { applicationsOf, decide, denies, coversTarget, type Decision } from './decide.ts'
import type { TokenRequest, Permission, Policy } from './model.ts'
import type { Rule, Target } from './model.ts'

/** Why a policy decides as it does: for people, and as slow as it is thorough. */
export interface Explanation {
  readonly granted: boolean
  /** The verdict and its reason in one sentence. */
  readonly summary: string
  /** What each rule comes to: that it grants, or the first thing that does not match. */
  readonly rules: readonly { readonly name: string; readonly why: string }[]
}

/**
 * Explains the decision that {@link decide} makes.
 * @param homeTenant as for {@link decide}; unknown: no tenant of the ask is taken for it
 */
export function explain(
  policy: Policy,
  caller: CallerFacts,
  ask: TokenRequest,
  homeTenant: string | undefined,
): Explanation {
  const decision = decide(policy, caller, ask, homeTenant ?? '')
  return {
    granted: decision.verdict === 'granted',
    summary: summaryOf(policy, caller, ask, decision),
    rules: policy.rules.map(rule => ({ name: rule.name, why: whyOf(policy, rule, caller, ask, homeTenant) })),
  }
}

function summaryOf(policy: Policy, caller: CallerFacts, ask: TokenRequest, decision: Decision): string {
  if (decision.verdict === 'granted') {
    const [first, ...others] = decision.rules
    const more = others.length === 0 ? '' : ` (and by ${others.map(({ name }) => `"${name}"`).join(', ')})`
    return `granted by the rule "${first.name}"${more}`
  }
  if (decision.verdict === 'undecided') return 'undecided while the home tenant is not known'
  if (decision.reason === 'no_rule') return 'denied: no rule grants it'
  if (decision.reason === 'unknown_target' || decision.reason === 'unknown_client_id')
    return `denied: ${unknownIn(policy, ask)}`
  const targets = targetsIn(policy, ask)
  const denial = policy.denials.find(each => targets.some(target => denies(each, caller, target)))
  return `denied: deny[${denial?.order ?? '?'}] names it, whatever the rules say`
}

const unknownIn = (policy: Policy, { tenant, application }: TokenRequest): string =>
  applicationsOf(policy, application).length > 0
    ? `no tenant is named "${tenant}", and it is no id`
    : `no application ${isGuid(application) ? 'has the client id' : 'is named'} "${application}"`

/** The ask's targets as far as the policy knows them: several where applications share a client id. */
const targetsIn = (policy: Policy, { tenant, scope, application }: TokenRequest): readonly Target[] =>
  applicationsOf(policy, application).map(each => ({ ...each, tenant: policy.tenants.get(tenant) ?? tenant, scope }))

function whyOf(
  policy: Policy,
  rule: Rule,
  caller: CallerFacts,
  ask: TokenRequest,
  homeTenant: string | undefined,
): string {
  if (rule.scopes.size === 0) return 'grants permissions only, no tokens'
  const targets = targetsIn(policy, ask)
  const ofRule = targets.find(({ application }) => rule.applications.has(application))
  const target = ofRule ?? targets[0] ?? { ...ask, clientId: '' }
  const { tenant, scope } = target
  if (rule.tenants !== '*' && !rule.tenants.has(tenant)) return `tenants: "${ask.tenant}" is none of them`
  if (rule.tenants === '*' && tenant === homeTenant) return 'tenants: "*" does not speak of the home tenant'
  if (!rule.scopes.has(scope)) return `scopes: "${scope}" is none of them`
  if (!rule.applications.has(target.application)) return `applications: "${ask.application}" is none of them`
  return callersOf(rule, caller) ?? (coversTarget(rule, target) ? 'grants it' : 'does not speak of it')
}

/** Why none of a rule's callers is this one; `undefined` when one is. */
function callersOf({ callers }: Rule, caller: CallerFacts): string | undefined {
  const mismatches = callers.map(test => test.mismatch(caller))
  if (mismatches.includes(undefined)) return undefined
  return mismatches.map((mismatch, nth) => `callers[${nth}]: ${mismatch}`).join('; ')
}

/** The same for a permission of the operations endpoints. */
export function explainPermission(policy: Policy, caller: CallerFacts, permission: Permission): Explanation {
  const denial = policy.denials.find(
    ({ tenants, scopes, applications, callers }) =>
      !tenants && !scopes && !applications && callers?.some(test => test.matches(caller)),
  )
  const rules = policy.rules.map(rule => ({
    name: rule.name,
    why: rule.permissions.has(permission)
      ? (callersOf(rule, caller) ?? 'grants it')
      : `permissions: "${permission}" is none of them`,
  }))
  const granting = rules.find(({ why }) => why === 'grants it')
  if (denial) return { granted: false, summary: `denied: deny[${denial.order}] names the caller`, rules }
  if (!granting) return { granted: false, summary: 'denied: no rule grants it', rules }
  return { granted: true, summary: `granted by the rule "${granting.name}"`, rules }
}
