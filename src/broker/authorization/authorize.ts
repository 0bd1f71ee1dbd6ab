import { BrokerError } from '../../errors.ts'
import type { Caller } from '../authentication/authenticate.ts'
import { tokenNotPermitted } from './not-permitted.ts'
import { decide } from '../policy/decide.ts'
import type { TokenRequest, Limit, Policy, Rule, Target } from '../policy/model.ts'

/** The permission of one caller to get one kind of token. Only this file creates one, from a rule. */
class PolicyGrant {
  readonly caller: Caller
  /** The name of the rule that grants it. If several rules do, the first in the file. */
  readonly rule: string
  /** The application's name in the policy. */
  readonly application: string
  readonly clientId: string
  /**
   * The name and the client id of the agent identity whose token it is; `undefined` for a token of the application itself.
   * The application of an agent identity is its blueprint.
   */
  readonly agent: string | undefined
  readonly agentId: string | undefined
  /** A GUID in lower case. */
  readonly tenant: string
  readonly scope: string
  readonly policyVersion: string
  /** The limits of the most generous rules that grant it; `undefined` if there is no limit. */
  readonly exchangeLimit: Limit | undefined
  readonly requestLimit: Limit | undefined
  /** The key of a cached token: client id, agent identity if there is one, tenant and scope, but not the caller. */
  readonly key: string
  /** Makes the type nominal: an object with the same fields is not a grant. */
  protected readonly granted = true

  constructor(caller: Caller, policyVersion: string, target: Target, rules: readonly [Rule, ...Rule[]]) {
    this.caller = caller
    this.rule = rules[0].name
    this.application = target.application
    this.clientId = target.clientId
    this.agent = target.agent
    this.agentId = target.agentId
    this.tenant = target.tenant
    this.policyVersion = policyVersion
    this.exchangeLimit = mostGenerous(rules.map(({ exchangeLimit }) => exchangeLimit))
    this.requestLimit = mostGenerous(rules.map(({ requestLimit }) => requestLimit))
    // Neither id has a slash, so no key with an agent identity is one without.
    const client = target.agentId === undefined ? target.clientId : `${target.clientId}/${target.agentId}`
    this.key = `${client} ${target.tenant} ${target.scope}`
    // The rule's own string, so that cached grants do not keep the strings of requests in memory.
    this.scope = rules[0].scopes.values().find(scope => scope === target.scope) ?? target.scope
    Object.freeze(this)
  }
}

/** The permission to get a token. Only {@link authorize} creates one. */
export type Grant = PolicyGrant

/**
 * Turns the decision of the policy into a grant or an error. While the home tenant is unknown, a request that only a rule
 * for `*` would grant is refused with `identity_unavailable`.
 *
 * @param homeTenant the tenant of the broker's own identity, once known
 * @throws BrokerError `not_permitted`, `identity_unavailable`
 */
export function authorize(
  policy: Policy,
  caller: Caller,
  request: TokenRequest,
  homeTenant: string | undefined,
): Grant {
  const decision = decide(policy, caller, request, homeTenant)
  if (decision.verdict === 'granted') return new PolicyGrant(caller, policy.version, decision.target, decision.rules)
  if (decision.verdict === 'denied') throw tokenNotPermitted(caller, request, decision.reason)
  throw new BrokerError('identity_unavailable', 'The broker does not know its own tenant yet, so it cannot decide.')
}

/** The limit with the highest rate, and of two equal rates the one with the longer period. None if a rule has no limit. */
function mostGenerous(limits: readonly (Limit | undefined)[]): Limit | undefined {
  return limits.reduce((best, each) => {
    if (best === undefined || each === undefined) return undefined
    const more = each.count / each.seconds - best.count / best.seconds
    return more > 0 || (more === 0 && each.count > best.count) ? each : best
  })
}

/**
 * Decides a request by the policy under which the caller was authenticated.
 * Throws `not_permitted` or `identity_unavailable`.
 */
export type Authorize = (caller: Caller, request: TokenRequest) => Grant

const maxCachedGrants = 100_000

/**
 * {@link authorize} with a cache of the grants of each caller. Refusals are not cached, so that forbidden requests evict
 * nothing. A cached grant stays true as long as its caller exists, because a new policy leads to new callers. The cache is
 * cleared when it is full.
 *
 * @param decideGrant decides requests that are not cached
 */
export function createAuthorize(homeTenant: () => string | undefined, decideGrant = authorize): Authorize {
  let cache = new WeakMap<Caller, Grants>()
  let count = 0
  return (caller, request) => {
    const client = request.agent === undefined ? request.application : `agent ${request.agent}`
    const cached = cache.get(caller)?.get(request.scope)?.get(client)?.get(request.tenant)
    if (cached) return cached
    const home = homeTenant()
    const grant = decideGrant(caller.policy, caller, request, home)
    // Once the home tenant is known, a rule for "*" may grant the same request with a more generous limit.
    if (home === undefined && caller.policy.rules.some(({ tenants }) => tenants === '*')) return grant
    if (++count > maxCachedGrants) {
      cache = new WeakMap()
      count = 1
    }
    cache
      .getOrInsertComputed(caller, (): Grants => new Map())
      .getOrInsertComputed(request.scope, () => new Map())
      .getOrInsertComputed(client, () => new Map())
      .set(request.tenant === grant.tenant ? grant.tenant : request.tenant, grant)
    return grant
  }
}

/** The grants of one caller by the requested scope, application or agent identity, and tenant. Nested maps need no concatenated key. */
type Grants = Map<string, Map<string, Map<string, Grant>>>
