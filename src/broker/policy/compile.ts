import { compileCaller } from './caller-matcher.ts'
import { beginningOf, keyInstances } from './api-key-entries.ts'
import { namedClaims } from './named-claims.ts'
import type { ApiKeySettings, Denial, IssuerSettings, Limit, Policy, PolicyIndex, Rule } from './model.ts'
import type { DenialText, PolicyText, RuleText } from './schema.ts'

/**
 * Compiles a valid policy text into sets and matchers. It does not validate: an invalid text gives a wrong policy.
 *
 * @param version SHA-256 of the file's bytes, in hex
 */
export function compilePolicy(text: PolicyText, version: string): Policy {
  const tenants = new Map(Object.entries(text.tenants ?? {}).map(([name, id]) => [name, id.toLowerCase()]))
  const tenantIds = (names: readonly string[]) => new Set(names.map(name => tenants.get(name) ?? name.toLowerCase()))
  const denials = Object.freeze((text.deny ?? []).map((denial, order) => compileDenial(denial, order, tenantIds)))
  const rules = Object.freeze(text.rules.map((rule, order) => compileRule(rule, order, tenantIds)))
  return Object.freeze({
    version,
    applications: new Map(Object.entries(text.applications).map(([name, id]) => [name, id.toLowerCase()])),
    tenants,
    issuers: Object.freeze(Object.entries(text.issuers ?? {}).map(([name, issuer]) => freezeIssuer(name, issuer))),
    apiKeys: Object.freeze(keyInstances(text.apiKeys).map(compileKey)),
    denials,
    rules,
    namedClaims: namedClaims(text),
    index: indexPolicy(rules, denials),
    warnings: Object.freeze(warningsOf(text)),
  })
}

type TenantIds = (names: readonly string[]) => ReadonlySet<string>

const freezeIssuer = (name: string, issuer: Omit<IssuerSettings, 'name'>): IssuerSettings =>
  Object.freeze({ ...issuer, name, audiences: Object.freeze([...issuer.audiences]) })

const compileKey = ({ name, key: { sha256, expires } }: ReturnType<typeof keyInstances>[number]): ApiKeySettings =>
  Object.freeze({ name, sha256: sha256.toLowerCase(), expires, expiresAt: beginningOf(expires) ?? 0 })

function compileRule(rule: RuleText, order: number, tenantIds: TenantIds): Rule {
  const { name, exchangeLimit, requestLimit } = rule
  return Object.freeze({
    name,
    order,
    callers: Object.freeze(rule.callers.map(compileCaller)),
    tenants: rule.tenants === '*' ? '*' : tenantIds(rule.tenants ?? []),
    scopes: new Set(rule.scopes),
    applications: new Set(rule.applications ?? ['default']),
    permissions: new Set(rule.permissions ?? []),
    ...(exchangeLimit !== undefined && { exchangeLimit: limitOf(exchangeLimit, name) }),
    ...(requestLimit !== undefined && { requestLimit: limitOf(requestLimit, name) }),
  })
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** Reads a limit such as `60/m`. */
function limitOf(text: string, rule: string): Limit {
  const [count, unit = ''] = text.split('/')
  return Object.freeze({ count: Number(count), seconds: secondsOf[unit] ?? 1, rule })
}

function compileDenial(denial: DenialText, order: number, tenantIds: TenantIds): Denial {
  return Object.freeze({
    order,
    ...(denial.callers && { callers: Object.freeze(denial.callers.map(compileCaller)) }),
    ...(denial.tenants && { tenants: tenantIds(denial.tenants) }),
    ...(denial.scopes && { scopes: new Set(denial.scopes) }),
    ...(denial.applications && { applications: new Set(denial.applications) }),
  })
}

/** Warnings about issuers and API keys whose callers are authenticated, while no rule grants them anything. */
function warningsOf(text: PolicyText): readonly string[] {
  const callers = text.rules.flatMap(rule => rule.callers)
  const unused = (kind: 'issuers' | 'apiKeys', key: 'issuer' | 'apiKey') =>
    Object.keys(text[kind] ?? {})
      .filter(name => !callers.some(caller => caller[key] === name))
      .map(name => `${kind}.${name}: no rule refers to it, so its callers are granted nothing`)
  return [...unused('issuers', 'issuer'), ...unused('apiKeys', 'apiKey')]
}

/**
 * Indexes rules and denials by tenant, since long policies have many tenants. A decision tries only the entries that list
 * its tenant and those for every tenant, so its time grows with their number.
 */
export function indexPolicy(rules: readonly Rule[], denials: readonly Denial[]): PolicyIndex {
  return { rules: byTenant(rules), denials: byTenant(denials) }
}

/** A rule without tenants has an empty set, so it is in no list. A denial without tenants applies to every tenant. */
function byTenant<T extends Rule | Denial>(entries: readonly T[]): (tenant: string) => readonly T[] {
  const everywhere: T[] = []
  const lists = new Map<string, T[]>()
  for (const entry of entries) {
    if (entry.tenants === undefined || entry.tenants === '*') everywhere.push(entry)
    else for (const tenant of entry.tenants) lists.getOrInsertComputed(tenant, () => []).push(entry)
  }
  return tenant => {
    const named = lists.get(tenant)
    return named ? named.concat(everywhere) : everywhere
  }
}
