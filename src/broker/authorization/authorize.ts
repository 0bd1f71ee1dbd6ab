import { BrokerError } from '../../errors.ts'
import type { Caller } from '../authentication/authenticate.ts'
import { isGuid } from '../lib/identifiers.ts'
import type { CallerFacts } from '../policy/caller-facts.ts'
import type { Ask, Denial, Limit, Permission, Policy, Rule, Target } from '../policy/model.ts'

export type { Ask, IssuerSettings, Permission, Policy } from '../policy/model.ts'

/** Permission for one caller to have one kind of token: made only here, by a rule. */
class PolicyGrant {
  readonly caller: Caller
  /** The rule that grants it; the first in the file, if there are several. */
  readonly rule: string
  /** The application's name in the policy. */
  readonly application: string
  readonly clientId: string
  /** A GUID in lower case. */
  readonly tenant: string
  readonly scope: string
  readonly policyVersion: string
  /** Exchanges and requests that the caller may cause, by the most generous of the rules that grant it. */
  readonly exchangeLimit: Limit | undefined
  readonly requestLimit: Limit | undefined
  /** What a cached token is found by: application, tenant and scope, never the caller. */
  readonly key: string
  /** Makes the type nominal: an object that merely looks like a grant is none. */
  protected readonly granted = true

  constructor(caller: Caller, policyVersion: string, target: Target, rules: readonly [Rule, ...Rule[]]) {
    this.caller = caller
    this.rule = rules[0].name
    this.application = target.application
    this.clientId = target.clientId
    this.policyVersion = policyVersion
    this.exchangeLimit = mostGenerous(rules.map(({ exchangeLimit }) => exchangeLimit))
    this.requestLimit = mostGenerous(rules.map(({ requestLimit }) => requestLimit))
    this.key = `${target.clientId} ${target.tenant} ${target.scope}`
    // Without memory of their own: a part of the key, and the rule's very text.
    const tenantAt = target.clientId.length + 1
    this.tenant = this.key.slice(tenantAt, tenantAt + target.tenant.length)
    this.scope = rules[0].scopes.values().find(scope => scope === target.scope) ?? target.scope
    Object.freeze(this)
  }
}

/** A permission to have a token. Only {@link authorize} makes one. */
export type Grant = PolicyGrant

type Refusal = 'unknown_target' | 'unknown_client_id' | 'denied' | 'no_rule'

/** One sentence for everything that is refused, so that nobody learns which tenants or applications there are. */
const notPermitted = (why: Refusal) =>
  new BrokerError('not_permitted', 'No rule of the policy grants this caller this tenant, scope and application.', {
    reason: why satisfies 'unknown_target' | 'unknown_client_id' | 'denied' | 'no_rule',
    remedy: 'Ask whoever runs the broker for a rule, quoting request_id.',
  })

/** What a policy says to an ask, before anybody acts upon it. */
export type Decision =
  | { readonly verdict: 'granted'; readonly target: Target; readonly rules: readonly [Rule, ...Rule[]] }
  /** Only a rule for `*` would grant it, and whether that speaks of the tenant is not known yet. */
  | { readonly verdict: 'undecided' }
  | { readonly verdict: 'denied'; readonly reason: Refusal }

/**
 * Decides one ask. Denials first; then every rule that names the caller, the tenant, the scope and the application grants
 * it. The order of either does not matter.
 *
 * @param homeTenant the managed identity's own tenant: a rule for `*` does not speak of it
 * @returns the rules that grant it, in the order of the file
 */
export function decide(policy: Policy, caller: CallerFacts, ask: Ask, homeTenant: string | undefined): Decision {
  let refusal: Decision | undefined
  for (const target of targetsOf(policy, ask)) {
    const decision = decideTarget(policy, caller, target, homeTenant)
    if (decision.verdict === 'granted') return decision
    // Of several, the one that may pass by itself.
    if (refusal?.verdict !== 'undecided') refusal = decision
  }
  return (
    refusal ?? { verdict: 'denied', reason: isUnknownClientId(policy, ask) ? 'unknown_client_id' : 'unknown_target' }
  )
}

function decideTarget(policy: Policy, caller: CallerFacts, target: Target, homeTenant: string | undefined): Decision {
  if (policy.index.denials(caller, target).some(denial => denies(denial, caller, target))) {
    return { verdict: 'denied', reason: 'denied' }
  }
  let undecided = false
  const granting = new Set<Rule>()
  for (const rule of policy.index.rules(caller, target)) {
    if (!speaksOf(rule, target) || !rule.callers.some(test => test.matches(caller))) continue
    if (rule.tenants !== '*' || (homeTenant !== undefined && target.tenant !== homeTenant)) granting.add(rule)
    else undecided ||= homeTenant === undefined
  }
  const [first, ...others] = [...granting].toSorted((a, b) => a.order - b.order)
  if (first) return { verdict: 'granted', target, rules: [first, ...others] }
  return undecided ? { verdict: 'undecided' } : { verdict: 'denied', reason: 'no_rule' }
}

/**
 * {@link decide}, as a permission or an error. While the home tenant is unknown, what only a rule for `*` would grant is
 * `identity_unavailable`.
 *
 * @throws BrokerError `not_permitted`, `identity_unavailable`
 */
export function authorize(policy: Policy, caller: Caller, ask: Ask, homeTenant: string | undefined): Grant {
  const decision = decide(policy, caller, ask, homeTenant)
  if (decision.verdict === 'granted') return new PolicyGrant(caller, policy.version, decision.target, decision.rules)
  if (decision.verdict === 'denied') throw notPermitted(decision.reason)
  throw new BrokerError('identity_unavailable', 'The broker does not know its own tenant yet, so it cannot decide.')
}

/** What an ask can mean: nothing, one application by its name, or each that has the client id. */
function targetsOf(policy: Policy, { application, tenant: named, scope }: Ask): readonly Target[] {
  const tenant = isGuid(named) ? named : policy.tenants.get(named)
  if (tenant === undefined) return []
  return applicationsOf(policy, application).map(each => ({ ...each, tenant, scope }))
}

/** The applications that a name or a client id in lower case stands for; a client id can be that of several. */
export function applicationsOf(
  { applications }: Policy,
  wanted: string,
): readonly Pick<Target, 'application' | 'clientId'>[] {
  if (isGuid(wanted)) {
    return [...applications]
      .filter(([, clientId]) => clientId === wanted)
      .map(([application, clientId]) => ({ application, clientId }))
  }
  const clientId = applications.get(wanted)
  return clientId === undefined ? [] : [{ application: wanted, clientId }]
}

const isUnknownClientId = (policy: Policy, { application }: Ask): boolean =>
  isGuid(application) && applicationsOf(policy, application).length === 0

/** Whether a rule's tenants, scopes and applications hold the target; that `*` leaves out the home tenant is not looked at. */
export function speaksOf(rule: Rule, target: Target): boolean {
  return (
    (rule.tenants === '*' || rule.tenants.has(target.tenant)) &&
    rule.scopes.has(target.scope) &&
    rule.applications.has(target.application)
  )
}

/** Whether every part of a denial that is there matches. */
export function denies(denial: Denial, caller: CallerFacts, target: Target): boolean {
  return (
    (denial.tenants?.has(target.tenant) ?? true) &&
    (denial.scopes?.has(target.scope) ?? true) &&
    (denial.applications?.has(target.application) ?? true) &&
    (denial.callers?.some(test => test.matches(caller)) ?? true)
  )
}

/** The limit that allows most; none where one of the rules has none. The one with the longer period, of two alike. */
function mostGenerous(limits: readonly (Limit | undefined)[]): Limit | undefined {
  return limits.reduce((best, each) => {
    if (best === undefined || each === undefined) return undefined
    const more = each.count / each.seconds - best.count / best.seconds
    return more > 0 || (more === 0 && each.count > best.count) ? each : best
  })
}

/**
 * Decides whether a caller has a permission. Denials that name nobody but callers count; those that speak of tenants,
 * scopes or applications are about tokens.
 *
 * @throws BrokerError `not_permitted`
 */
export function authorizeOperation(policy: Policy, caller: Caller, permission: Permission): void {
  const isDenied = policy.denials.some(
    ({ callers, tenants, scopes, applications }) =>
      !tenants && !scopes && !applications && callers?.some(test => test.matches(caller)),
  )
  const isGranted = policy.rules.some(
    rule => rule.permissions.has(permission) && rule.callers.some(test => test.matches(caller)),
  )
  if (isGranted && !isDenied) return
  throw new BrokerError('not_permitted', `No rule of the policy grants this caller the permission "${permission}".`, {
    reason: isDenied ? 'denied' : 'no_rule',
    remedy: `Ask whoever runs the broker for a rule with "permissions: [${permission}]", quoting request_id.`,
  })
}

/** Decides an ask of a caller under the version of the policy that the caller was authenticated under. */
export type Authorize = (caller: Caller, ask: Ask) => Grant

const maxRememberedGrants = 100_000

/**
 * {@link authorize} with the grants of each caller remembered. Refusals are not: whoever asks for what nobody granted
 * pushes nothing out. A grant does not depend on anything that changes while the caller stays: a new policy makes new
 * callers. Forgets all when full.
 *
 * @param decided decides what is not remembered
 */
export function createAuthorize(homeTenant: () => string | undefined, decided = authorize): Authorize {
  let grants = new WeakMap<Caller, Grants>()
  let count = 0
  return (caller, ask) => {
    const known = grants.get(caller)?.get(ask.scope)?.get(ask.application)?.get(ask.tenant)
    if (known) return known
    const home = homeTenant()
    const grant = decided(caller.policy, caller, ask, home)
    // A rule for "*" may yet turn out to speak of it, and be the more generous one.
    if (home === undefined && caller.policy.rules.some(({ tenants }) => tenants === '*')) return grant
    if (++count > maxRememberedGrants) {
      grants = new WeakMap()
      count = 1
    }
    const byScope = entryOf<Caller, Grants>(grants, caller, () => new Map())
    const byApplication = entryOf(byScope, ask.scope, () => new Map())
    const byTenant = entryOf(byApplication, ask.application, () => new Map())
    byTenant.set(ask.tenant === grant.tenant ? grant.tenant : ask.tenant, grant)
    return grant
  }
}

/** The grants of one caller by scope, application and tenant, as they were asked for: three look-ups without a new text. */
type Grants = Map<string, Map<string, Map<string, Grant>>>

function entryOf<K extends WeakKey | string, V>(
  map: { get: (key: K) => V | undefined; set: (key: K, value: V) => unknown },
  key: K,
  make: () => V,
): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
