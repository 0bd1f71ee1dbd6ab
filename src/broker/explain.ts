import type { CallerFacts } from './caller-facts.ts'
import { decide, denies, speaksOf, type Ask, type Decision, type Permission, type Policy } from './policy.ts'
import type { Rule, Target } from './policy-model.ts'

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
export function explain(policy: Policy, caller: CallerFacts, ask: Ask, homeTenant: string | undefined): Explanation {
  const decision = decide(policy, caller, ask, homeTenant ?? '')
  return {
    granted: decision.verdict === 'granted',
    summary: summaryOf(policy, caller, ask, decision),
    rules: policy.rules.map(rule => ({ name: rule.name, why: whyOf(policy, rule, caller, ask, homeTenant) })),
  }
}

function summaryOf(policy: Policy, caller: CallerFacts, ask: Ask, decision: Decision): string {
  if (decision.verdict === 'granted') {
    const [first, ...others] = decision.rules
    const more = others.length === 0 ? '' : ` (and by ${others.map(({ name }) => `"${name}"`).join(', ')})`
    return `granted by the rule "${first.name}"${more}`
  }
  if (decision.verdict === 'undecided') return 'undecided while the home tenant is not known'
  if (decision.reason === 'no_rule') return 'denied: no rule grants it'
  if (decision.reason === 'unknown_target') return `denied: ${unknownIn(policy, ask)}`
  const target = targetIn(policy, ask)
  const denial = policy.denials.find(each => target && denies(each, caller, target))
  return `denied: deny[${denial?.order ?? '?'}] names it, whatever the rules say`
}

const unknownIn = (policy: Policy, { tenant, application }: Ask): string =>
  policy.applications.has(application)
    ? `no tenant is named "${tenant}", and it is no id`
    : `no application is named "${application}"`

/** The ask's target as far as the policy knows it. */
function targetIn(policy: Policy, { tenant, scope, application }: Ask): Target | undefined {
  const clientId = policy.applications.get(application)
  return clientId === undefined
    ? undefined
    : { application, clientId, tenant: policy.tenants.get(tenant) ?? tenant, scope }
}

function whyOf(policy: Policy, rule: Rule, caller: CallerFacts, ask: Ask, homeTenant: string | undefined): string {
  if (rule.scopes.size === 0) return 'grants permissions only, no tokens'
  const target = targetIn(policy, ask) ?? { ...ask, clientId: '' }
  const { tenant, scope, application } = target
  if (rule.tenants !== '*' && !rule.tenants.has(tenant)) return `tenants: "${ask.tenant}" is none of them`
  if (rule.tenants === '*' && tenant === homeTenant) return 'tenants: "*" does not speak of the home tenant'
  if (!rule.scopes.has(scope)) return `scopes: "${scope}" is none of them`
  if (!rule.applications.has(application)) return `applications: "${application}" is none of them`
  return callersOf(rule, caller) ?? (speaksOf(rule, target) ? 'grants it' : 'does not speak of it')
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
