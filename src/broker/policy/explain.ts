import type { CallerFacts } from './caller-facts.ts'
import { nearestName, shortestSuggestion } from '../lib/text/did-you-mean.ts'
import { isGuid } from '../lib/identifiers.ts'
import { applicationsOf, decide, denies, coversTarget, scopeOf, type Decision } from './decide.ts'
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
  const denial = policy.denials.find(each => targets.some(target => denies(each, caller, target)))
  return `denied: deny[${denial?.order ?? '?'}] matches it, and denials take precedence over rules`
}

function unknownIn(policy: Policy, { tenant, scope, application }: TokenRequest): string {
  if (applicationsOf(policy, application).length === 0) {
    const what = isGuid(application) ? 'client id' : 'application'
    return `unknown ${what} "${application}": not defined under applications${meant(application, policy.applications)}`
  }
  if (scopeOf(policy, scope) === undefined) {
    return `unknown scope "${scope}": not <resource>/.default and not defined under scopes${meant(scope, policy.scopes)}`
  }
  return `unknown tenant "${tenant}": not a GUID and not defined under tenants${meant(tenant, policy.tenants)}`
}

/** A suggestion for a name that the policy does not define; empty if no defined one is near. */
function meant(name: string, defined: ReadonlyMap<string, string>): string {
  const nearest = nearestName(name, defined.keys(), shortestSuggestion)
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`
}

/** The targets of a request whose applications are known, although its tenant may be unknown. Several can share a client id. */
const targetsIn = (policy: Policy, { tenant, scope, application }: TokenRequest): readonly Target[] =>
  applicationsOf(policy, application).map(each => ({
    ...each,
    tenant: policy.tenants.get(tenant) ?? tenant,
    scope: scopeOf(policy, scope) ?? scope,
  }))

function whyOf(
  policy: Policy,
  rule: Rule,
  caller: CallerFacts,
  request: TokenRequest,
  homeTenant: string | undefined,
): string {
  if (rule.scopes.size === 0) return 'grants permissions only, no tokens'
  const targets = targetsIn(policy, request)
  const ofRule = targets.find(({ application }) => rule.applications.has(application))
  const target = ofRule ?? targets[0] ?? { ...request, clientId: '' }
  const { tenant, scope } = target
  if (rule.tenants !== '*' && !rule.tenants.has(tenant)) return `tenants: "${request.tenant}" is not listed`
  if (rule.tenants === '*' && tenant === homeTenant) return 'tenants: "*" does not include the home tenant'
  if (!rule.scopes.has(scope)) return `scopes: "${scope}" is not listed`
  if (!rule.applications.has(target.application)) return `applications: "${request.application}" is not listed`
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
    ({ tenants, scopes, clientIds, callers }) =>
      !tenants && !scopes && !clientIds && callers?.some(test => test.matches(caller)),
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
