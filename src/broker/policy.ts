import { BrokerError } from '../errors.ts'
import type { Caller } from './authenticate.ts'
import { isGuid } from './names.ts'
import type { Ask, Denial, Permission, Policy, Rule } from './policy-model.ts'

export type { Ask, IssuerSettings, Permission, Policy } from './policy-model.ts'

/** Permission for one caller to have one kind of token: made only here, by a rule. */
class PolicyGrant {
  readonly caller: Caller
  /** The rule that grants it. */
  readonly rule: string
  /** The application's name in the policy. */
  readonly application: string
  readonly clientId: string
  /** A GUID in lower case. */
  readonly tenant: string
  readonly scope: string
  readonly policyVersion: string
  /** What a cached token is found by: application, tenant and scope, never the caller. */
  readonly key: string
  /** Makes the type nominal: an object that merely looks like a grant is none. */
  protected readonly granted = true

  constructor(caller: Caller, rule: string, policyVersion: string, target: Target) {
    this.caller = caller
    this.rule = rule
    this.application = target.application
    this.clientId = target.clientId
    this.tenant = target.tenant
    this.scope = target.scope
    this.policyVersion = policyVersion
    this.key = `${target.clientId} ${target.tenant} ${target.scope}`
    Object.freeze(this)
  }
}

/** A permission to have a token. Only {@link authorize} makes one. */
export type Grant = PolicyGrant

/** An ask whose tenant and application the policy knows. */
interface Target {
  readonly application: string
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
}

/** One sentence for everything that is refused, so that nobody learns which tenants or applications there are. */
const notPermitted = (reason: string) =>
  new BrokerError('not_permitted', 'No rule of the policy grants this caller this tenant, scope and application.', {
    reason,
    remedy: 'Ask whoever runs the broker for a rule, quoting request_id.',
  })

/**
 * Decides one ask. Denials first; then the first rule that names the caller, the tenant, the scope and the application.
 *
 * @param homeTenant the managed identity's own tenant: a rule for `*` does not speak of it. While it is unknown, what
 *   only such a rule would grant is `identity_unavailable`
 * @throws BrokerError `not_permitted`, `identity_unavailable`
 */
export function authorize(policy: Policy, caller: Caller, ask: Ask, homeTenant: string | undefined): Grant {
  const target = targetOf(policy, ask)
  if (!target) throw notPermitted('unknown_target')
  if (policy.denials.some(denial => denies(denial, caller, target))) throw notPermitted('denied')

  let undecided = false
  for (const rule of policy.rules) {
    if (!speaksOf(rule, target) || !rule.callers.some(test => test(caller))) continue
    if (rule.tenants !== '*' || (homeTenant !== undefined && target.tenant !== homeTenant)) {
      return new PolicyGrant(caller, rule.name, policy.version, target)
    }
    undecided ||= homeTenant === undefined
  }
  if (undecided) {
    throw new BrokerError('identity_unavailable', 'The broker does not know its own tenant yet, so it cannot decide.')
  }
  throw notPermitted('no_rule')
}

function targetOf(policy: Policy, ask: Ask): Target | undefined {
  const clientId = policy.applications.get(ask.application)
  const tenant = isGuid(ask.tenant) ? ask.tenant : policy.tenants.get(ask.tenant)
  if (clientId === undefined || tenant === undefined) return undefined
  return { application: ask.application, clientId, tenant, scope: ask.scope }
}

function speaksOf(rule: Rule, target: Target): boolean {
  return (
    (rule.tenants === '*' || rule.tenants.has(target.tenant)) &&
    rule.scopes.has(target.scope) &&
    rule.applications.has(target.application)
  )
}

function denies(denial: Denial, caller: Caller, target: Target): boolean {
  return (
    (denial.tenants?.has(target.tenant) ?? true) &&
    (denial.scopes?.has(target.scope) ?? true) &&
    (denial.applications?.has(target.application) ?? true) &&
    (denial.callers?.some(test => test(caller)) ?? true)
  )
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
      !tenants && !scopes && !applications && callers?.some(test => test(caller)),
  )
  const isGranted = policy.rules.some(
    rule => rule.permissions.has(permission) && rule.callers.some(test => test(caller)),
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
 */
export function createAuthorize(homeTenant: () => string | undefined): Authorize {
  let grants = new WeakMap<Caller, Grants>()
  let count = 0
  return (caller, ask) => {
    let known = grants.get(caller)
    const same = known?.byAsk.get(ask)
    if (same) return same

    const words = `${ask.application} ${ask.tenant} ${ask.scope}`
    let grant = known?.byWords.get(words)
    if (!grant) {
      grant = authorize(caller.policy, caller, ask, homeTenant())
      if (++count > maxRememberedGrants) {
        grants = new WeakMap()
        count = 1
        known = undefined
      }
    }
    if (!known) grants.set(caller, (known = { byAsk: new WeakMap(), byWords: new Map() }))
    known.byAsk.set(ask, grant)
    known.byWords.set(words, grant)
    return grant
  }
}

/** The grants of one caller: by the very object of an ask that was remembered where it was read, and by its words. */
interface Grants {
  readonly byAsk: WeakMap<Ask, Grant>
  readonly byWords: Map<string, Grant>
}
