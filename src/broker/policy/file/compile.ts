import type { Rate } from '../../lib/token-bucket.ts'
import { compileCaller, compileDeniedCaller } from '../caller-matcher.ts'
import { compileAgents, warningsOfAgents } from './entries/agents.ts'
import { beginningOf, keyInstances } from './entries/api-keys.ts'
import { NamedClaims } from './named-claims.ts'
import { EntryIndex } from '../entry-index.ts'
import type { AgentIdentity, ApiKeySettings, Denial, IssuerSettings, Limit, Policy, Rule } from '../model.ts'
import { partsOf, type PolicyPart, type RestText } from './policy-parts.ts'
import type { DenialText, Path, PolicyText, RuleText } from './schema.ts'
import { NamedScopes } from './entries/scopes.ts'

/**
 * Compiles a valid policy text into sets and matchers. It does not validate: an invalid text gives a wrong policy.
 *
 * @param version SHA-256 of the file's bytes, in hex
 */
export function compilePolicy(text: PolicyText, version: string): Policy {
  const compiler = new PolicyCompiler()
  for (const part of partsOf(text)) compiler.add(part)
  return compiler.finish(version)
}

/**
 * Compiles a policy part by part, so that a large one does not block the event loop. Parts must be those of
 * {@link partsOf}, in that order.
 */
export class PolicyCompiler {
  readonly #tenants = new Map<string, string>()
  readonly #rules: Rule[] = []
  #index = new EntryIndex()
  #applications: ReadonlyMap<string, string> = new Map()
  #agents: ReadonlyMap<string, AgentIdentity> = new Map()
  /** The names of issuers and API keys that rules refer to. */
  /** The issuers whose delegated tokens rules list. */
  readonly #delegated = new Set<string>()
  readonly #used = { issuers: new Set<string | undefined>(), apiKeys: new Set<string | undefined>() }
  #rest: RestText = { applications: {} }
  #claims = new NamedClaims([])
  #scopes = new NamedScopes()

  /** Compiles the next part. */
  add({ tenants = [], rest, rules = [] }: PolicyPart): void {
    for (const [name, id] of tenants) this.#tenants.set(name, id.toLowerCase())
    if (rest) {
      this.#rest = rest
      this.#claims = new NamedClaims(Object.keys(rest.issuers ?? {}))
      this.#scopes = new NamedScopes(rest.scopes)
      this.#applications = new Map(Object.entries(rest.applications).map(([name, id]) => [name, id.toLowerCase()]))
      this.#agents = compileAgents(rest.agents, { applications: this.#applications, tenants: this.#tenants })
      this.#index = new EntryIndex(this.#applications, this.#agents)
      for (const { callers = [] } of rest.deny ?? []) callers.forEach(this.#claims.add)
    }
    for (const text of rules) {
      const rule = compileRule(text, this.#rules.length, this.#sets)
      this.#rules.push(rule)
      this.#index.addRule(rule)
      for (const caller of text.callers) {
        this.#used.issuers.add(caller.issuer)
        this.#used.apiKeys.add(caller.apiKey)
        if (caller.delegated && caller.issuer !== undefined) this.#delegated.add(caller.issuer)
        this.#claims.add(caller)
      }
    }
  }

  /** The policy of all parts. Call it once, after the last part. */
  finish(version: string): Policy {
    const { deny = [], issuers = {}, apiKeys, tenantLimit } = this.#rest
    const applications = this.#applications
    const clientIds = (names: readonly string[]) => new Set(names.map(name => applications.get(name) ?? name))
    const agentIds = (names: readonly string[]) => new Set(names.map(name => this.#agents.get(name)?.id ?? name))
    const sets = { ...this.#sets, clientIds, agentIds }
    const denials = deny.map((denial, order) => compileDenial(denial, order, sets))
    for (const denial of denials) this.#index.addDenial(denial)
    return Object.freeze({
      version,
      applications,
      agents: this.#agents,
      tenants: this.#tenants,
      scopes: this.#scopes.byName,
      issuers: Object.freeze(Object.entries(issuers).map(([name, issuer]) => freezeIssuer(name, issuer))),
      apiKeys: Object.freeze(keyInstances(apiKeys).map(compileKey)),
      ...(tenantLimit !== undefined && { tenantLimit: rateOf(tenantLimit) }),
      denials: Object.freeze(denials),
      rules: Object.freeze(this.#rules),
      namedClaims: this.#claims.byIssuer,
      delegatedIssuers: this.#delegated,
      index: this.#index,
      warnings: Object.freeze(this.#warnings()),
      hints: Object.freeze(this.#scopes.hints()),
    })
  }

  /** Warnings about entries that grant nothing: issuers and API keys of no rule, and agent identities of another tenant. */
  #warnings(): readonly string[] {
    const unused = (['issuers', 'apiKeys'] as const).flatMap(kind =>
      Object.keys(this.#rest[kind] ?? {})
        .filter(name => !this.#used[kind].has(name))
        .map(name => `${kind}.${name}: no rule refers to it, so its callers are granted nothing`),
    )
    return [...unused, ...warningsOfAgents(this.#rules, this.#agents)]
  }

  readonly #sets: Sets = {
    tenants: names => new Set(names.map(name => this.#tenants.get(name) ?? name.toLowerCase())),
    scopes: (names, at) => this.#scopes.compile(names, at),
  }
}

/** Make sets of the ids that the names in a list stand for. */
interface Sets {
  readonly tenants: Ids
  readonly scopes: (names: readonly string[] | undefined, at: Path) => ReadonlySet<string>
}

type Ids = (names: readonly string[]) => ReadonlySet<string>

const freezeIssuer = (name: string, issuer: Omit<IssuerSettings, 'name'>): IssuerSettings =>
  Object.freeze({ ...issuer, name, audiences: Object.freeze([...issuer.audiences]) })

const compileKey = ({ name, key: { sha256, expires } }: ReturnType<typeof keyInstances>[number]): ApiKeySettings =>
  Object.freeze({ name, sha256: sha256.toLowerCase(), expires, expiresAt: beginningOf(expires) ?? 0 })

function compileRule(rule: RuleText, order: number, sets: Sets): Rule {
  const { name, exchangeLimit, requestLimit, applications, agents } = rule
  return Object.freeze({
    name,
    order,
    callers: Object.freeze(rule.callers.map(compileCaller)),
    tenants: rule.tenants === '*' ? '*' : sets.tenants(rule.tenants ?? []),
    scopes: sets.scopes(rule.scopes, ['rules', order]),
    // A rule for agent identities does not grant their blueprint, nor the default application.
    applications: new Set(applications ?? (agents ? [] : ['default'])),
    ...(agents && { agents: new Set(agents) }),
    permissions: new Set(rule.permissions ?? []),
    ...(exchangeLimit !== undefined && { exchangeLimit: limitOf(exchangeLimit, name) }),
    ...(requestLimit !== undefined && { requestLimit: limitOf(requestLimit, name) }),
  })
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** Reads a limit such as `60/m`. */
function rateOf(text: string): Rate {
  const [count, unit = ''] = text.split('/')
  return Object.freeze({ count: Number(count), seconds: secondsOf[unit] ?? 1 })
}

const limitOf = (text: string, rule: string): Limit => Object.freeze({ ...rateOf(text), rule })

/** The sets of denials, which apply to ids: another name of the same id does not evade them. */
interface DenialSets extends Sets {
  readonly clientIds: Ids
  readonly agentIds: Ids
}

function compileDenial(denial: DenialText, order: number, sets: DenialSets): Denial {
  return Object.freeze({
    order,
    ...(denial.callers && { callers: Object.freeze(denial.callers.map(compileDeniedCaller)) }),
    ...(denial.tenants && { tenants: sets.tenants(denial.tenants) }),
    ...(denial.scopes && { scopes: sets.scopes(denial.scopes, ['deny', order]) }),
    ...(denial.applications && { clientIds: sets.clientIds(denial.applications) }),
    ...(denial.agents && { agentIds: sets.agentIds(denial.agents) }),
  })
}
