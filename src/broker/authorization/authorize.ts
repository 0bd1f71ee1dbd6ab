import { BrokerError } from '../../errors.ts'
import type { Caller } from '../authentication/authenticate.ts'
import { decide, type DenialReason } from '../policy/decide.ts'
import type { TokenRequest, Limit, Policy, Rule, Target } from '../policy/model.ts'

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
    this.tenant = target.tenant
    this.policyVersion = policyVersion
    this.exchangeLimit = mostGenerous(rules.map(({ exchangeLimit }) => exchangeLimit))
    this.requestLimit = mostGenerous(rules.map(({ requestLimit }) => requestLimit))
    this.key = `${target.clientId} ${target.tenant} ${target.scope}`
    // The rule's own string, so that remembered grants do not keep those of requests.
    this.scope = rules[0].scopes.values().find(scope => scope === target.scope) ?? target.scope
    Object.freeze(this)
  }
}

/** A permission to have a token. Only {@link authorize} makes one. */
export type Grant = PolicyGrant

/** One sentence for everything that is refused, so that nobody learns which tenants or applications there are. */
const notPermitted = (why: DenialReason) =>
  new BrokerError('not_permitted', 'No rule of the policy grants this caller this tenant, scope and application.', {
    reason: why,
    remedy: 'Request a rule from the operator of the broker; quote request_id.',
  })

/**
 * {@link decide}, as a permission or an error. While the home tenant is unknown, what only a rule for `*` would grant is
 * `identity_unavailable`.
 *
 * @throws BrokerError `not_permitted`, `identity_unavailable`
 */
export function authorize(policy: Policy, caller: Caller, ask: TokenRequest, homeTenant: string | undefined): Grant {
  const decision = decide(policy, caller, ask, homeTenant)
  if (decision.verdict === 'granted') return new PolicyGrant(caller, policy.version, decision.target, decision.rules)
  if (decision.verdict === 'denied') throw notPermitted(decision.reason)
  throw new BrokerError('identity_unavailable', 'The broker does not know its own tenant yet, so it cannot decide.')
}

/** The limit that allows most; none where one of the rules has none. The one with the longer period, of two alike. */
function mostGenerous(limits: readonly (Limit | undefined)[]): Limit | undefined {
  return limits.reduce((best, each) => {
    if (best === undefined || each === undefined) return undefined
    const more = each.count / each.seconds - best.count / best.seconds
    return more > 0 || (more === 0 && each.count > best.count) ? each : best
  })
}

/** Decides an ask of a caller under the version of the policy that the caller was authenticated under. */
export type Authorize = (caller: Caller, ask: TokenRequest) => Grant

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
    grants
      .getOrInsertComputed(caller, (): Grants => new Map())
      .getOrInsertComputed(ask.scope, () => new Map())
      .getOrInsertComputed(ask.application, () => new Map())
      .set(ask.tenant === grant.tenant ? grant.tenant : ask.tenant, grant)
    return grant
  }
}

/** The grants of one caller by scope, application and tenant, as they were asked for: three look-ups without a new text. */
type Grants = Map<string, Map<string, Map<string, Grant>>>
