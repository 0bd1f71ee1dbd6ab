import type { ReasonOf } from '../../errors.ts'
import { isGuid, isScopeName } from '../lib/identifiers.ts'
import type { CallerFacts } from './caller-facts.ts'
import type { TokenRequest, Denial, Policy, Rule, Target } from './model.ts'

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
 * application grants it. The order of rules and of denials does not matter.
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
  if (first) return { verdict: 'granted', target, rules: [first, ...others] }
  return undecided ? { verdict: 'undecided' } : { verdict: 'denied', reason: 'no_rule' }
}

/** The targets of a request: none if it is unknown, one application by its name, or each that has the client id. */
function targetsOf(policy: Policy, { application, tenant: named, scope: wanted }: TokenRequest): readonly Target[] {
  const tenant = isGuid(named) ? named : policy.tenants.get(named)
  const scope = scopeOf(policy, wanted)
  if (tenant === undefined || scope === undefined) return []
  return applicationsOf(policy, application).map(each => ({ ...each, tenant, scope }))
}

/** The scope of a request, which may be a name; `undefined` if the policy does not have that name. */
export const scopeOf = ({ scopes }: Policy, wanted: string): string | undefined =>
  isScopeName(wanted) ? scopes.get(wanted) : wanted

/**
 * The applications that have a name, or a client id in lower case. Several can have the same client id; empty if none
 * has it.
 */
export function applicationsOf(
  { applications, index }: Policy,
  wanted: string,
): readonly Pick<Target, 'application' | 'clientId'>[] {
  if (isGuid(wanted)) return index.applications(wanted).map(application => ({ application, clientId: wanted }))
  const clientId = applications.get(wanted)
  return clientId === undefined ? [] : [{ application: wanted, clientId }]
}

const isUnknownClientId = (policy: Policy, { application }: TokenRequest): boolean =>
  isGuid(application) && applicationsOf(policy, application).length === 0

/** Whether a rule's tenants, scopes and applications include the target. It does not check that `*` excludes the home tenant. */
export function coversTarget(rule: Rule, target: Target): boolean {
  return (
    (rule.tenants === '*' || rule.tenants.has(target.tenant)) &&
    rule.scopes.has(target.scope) &&
    rule.applications.has(target.application)
  )
}

/** Whether every part that a denial has matches. */
export const denies = (denial: Denial, caller: CallerFacts, target: Target): boolean =>
  barsTarget(denial, target) && (denial.callers?.some(test => test.matches(caller)) ?? true)

/** Whether a denial's tenants, scopes and applications include the target, as far as it has them. */
const barsTarget = ({ tenants, scopes, clientIds }: Denial, target: Target): boolean =>
  (tenants?.has(target.tenant) ?? true) &&
  (scopes?.has(target.scope) ?? true) &&
  (clientIds?.has(target.clientId) ?? true)
