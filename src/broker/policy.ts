import { BrokerError } from '../errors.ts'
import type { Caller } from './authenticate.ts'
import { isGuid } from './names.ts'

/** What a caller asks for: well-formed, but neither known nor permitted yet. */
export interface Ask {
  /** A tenant id in lower case, or a tenant's name in the policy. */
  readonly tenant: string
  /** `<resource>/.default`, byte for byte as the caller wrote it. */
  readonly scope: string
  /** The name of an application in the policy, or a client id in lower case: an application that has it. */
  readonly application: string
  /** Seconds; the least remaining life the caller needs. 0 when it does not care. */
  readonly minExpiresIn: number
}

/** Where an issuer's tokens are checked, as the policy says. */
export interface IssuerSettings {
  readonly name: string
  readonly issuer: string
  readonly audiences: readonly string[]
  /** Path of a JWK Set; else {@link jwksUri}; else the issuer's discovery document leads to it. */
  readonly jwksFile?: string
  readonly jwksUri?: string
  /** Path of the PEM certificates to trust for the issuer's own servers instead of the system's. */
  readonly caFile?: string
}

/** What the operations endpoints ask for: to see the broker's state, to make it forget tokens. */
export type Permission = 'observe' | 'purge'

/** Whether a caller is one that a rule or a denial speaks of. */
export type CallerTest = (caller: Caller) => boolean

/** What a rule grants to the callers it names. */
export interface Rule {
  readonly name: string
  readonly callers: readonly CallerTest[]
  /** Tenant ids, or every tenant but the home tenant. */
  readonly tenants: ReadonlySet<string> | '*'
  readonly scopes: ReadonlySet<string>
  /** Application names. */
  readonly applications: ReadonlySet<string>
  readonly permissions: ReadonlySet<Permission>
}

/** What is refused before any rule is asked. A part that is absent matches everything. */
export interface Denial {
  readonly callers?: readonly CallerTest[]
  readonly tenants?: ReadonlySet<string>
  readonly scopes?: ReadonlySet<string>
  readonly applications?: ReadonlySet<string>
}

/** A policy file, checked and compiled. Frozen: a new version is a new value. */
export interface Policy {
  /** SHA-256 of the file's bytes, in hex. */
  readonly version: string
  /** Name → client id. */
  readonly applications: ReadonlyMap<string, string>
  /** Name → tenant id. */
  readonly tenants: ReadonlyMap<string, string>
  readonly issuers: readonly IssuerSettings[]
  readonly denials: readonly Denial[]
  readonly rules: readonly Rule[]
  /** What the file says that this version of the broker does not act upon. */
  readonly warnings: readonly string[]
}

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
  const targets = targetsOf(policy, ask)
  let refusal: BrokerError | undefined
  for (const target of targets) {
    const decision = decide(policy, caller, target, homeTenant)
    if (decision instanceof PolicyGrant) return decision
    // Of several, the one that may pass by itself.
    if (refusal?.code !== 'identity_unavailable') refusal = decision
  }
  throw refusal ?? notPermitted(isGuid(ask.application) ? unknownClientId(policy, ask) : 'unknown_target')
}

const unknownClientId = ({ applications }: Policy, { application }: Ask): string =>
  [...applications.values()].includes(application) ? 'unknown_target' : 'unknown_client_id'

function decide(policy: Policy, caller: Caller, target: Target, homeTenant: string | undefined): Grant | BrokerError {
  if (policy.denials.some(denial => denies(denial, caller, target))) return notPermitted('denied')

  let undecided = false
  for (const rule of policy.rules) {
    if (!speaksOf(rule, target) || !rule.callers.some(test => test(caller))) continue
    if (rule.tenants !== '*' || (homeTenant !== undefined && target.tenant !== homeTenant)) {
      return new PolicyGrant(caller, rule.name, policy.version, target)
    }
    undecided ||= homeTenant === undefined
  }
  return undecided
    ? new BrokerError('identity_unavailable', 'The broker does not know its own tenant yet, so it cannot decide.')
    : notPermitted('no_rule')
}

/** What an ask can mean: nothing, one application by its name, or each that has the client id. */
function targetsOf(policy: Policy, { application: wanted, tenant: named, scope }: Ask): readonly Target[] {
  const tenant = isGuid(named) ? named : policy.tenants.get(named)
  if (tenant === undefined) return []
  if (isGuid(wanted)) {
    return [...policy.applications]
      .filter(([, clientId]) => clientId === wanted)
      .map(([application, clientId]) => ({ application, clientId, tenant, scope }))
  }
  const clientId = policy.applications.get(wanted)
  return clientId === undefined ? [] : [{ application: wanted, clientId, tenant, scope }]
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

/** Decides an ask of a caller under one version of the policy. */
export type Authorize = (caller: Caller, ask: Ask) => Grant

const maxRememberedGrants = 100_000

/**
 * {@link authorize} for one policy, with the grants of each caller remembered. Refusals are not: whoever asks for what nobody granted pushes nothing out.
 * A grant does not depend on anything that changes while the policy and the caller stay. Forgets all when full.
 */
export function createAuthorize(policy: Policy, homeTenant: () => string | undefined): Authorize {
  let grants = new WeakMap<Caller, Grants>()
  let count = 0
  return (caller, ask) => {
    let known = grants.get(caller)
    const same = known?.byAsk.get(ask)
    if (same) return same

    const words = `${ask.application} ${ask.tenant} ${ask.scope}`
    let grant = known?.byWords.get(words)
    if (!grant) {
      grant = authorize(policy, caller, ask, homeTenant())
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
