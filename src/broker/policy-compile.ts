import { claimMatcher, claimPath, textMatcher, valueAt } from './match.ts'
import { beginningOf, keyInstances } from './policy-keys.ts'
import type { ApiKeySettings, CallerTest, Denial, IssuerSettings, Policy, Rule } from './policy-model.ts'
import type { CallerText, DenialText, PolicyText, RuleText } from './policy-shape.ts'

/** A checked policy text as sets and matchers. */
export function compilePolicy(text: PolicyText, version: string): Policy {
  const tenants = new Map(Object.entries(text.tenants ?? {}).map(([name, id]) => [name, id.toLowerCase()]))
  const tenantIds = (names: readonly string[]) => new Set(names.map(name => tenants.get(name) ?? name.toLowerCase()))
  return Object.freeze({
    version,
    applications: new Map(Object.entries(text.applications).map(([name, id]) => [name, id.toLowerCase()])),
    tenants,
    issuers: Object.freeze(Object.entries(text.issuers ?? {}).map(([name, issuer]) => freezeIssuer(name, issuer))),
    apiKeys: Object.freeze(keyInstances(text.apiKeys).map(compileKey)),
    denials: Object.freeze((text.deny ?? []).map(denial => compileDenial(denial, tenantIds))),
    rules: Object.freeze(text.rules.map(rule => compileRule(rule, tenantIds))),
    warnings: Object.freeze(warningsOf(text)),
  })
}

type TenantIds = (names: readonly string[]) => ReadonlySet<string>

const freezeIssuer = (name: string, issuer: Omit<IssuerSettings, 'name'>): IssuerSettings =>
  Object.freeze({ ...issuer, name, audiences: Object.freeze([...issuer.audiences]) })

const compileKey = ({ name, key: { sha256, expires } }: ReturnType<typeof keyInstances>[number]): ApiKeySettings =>
  Object.freeze({ name, sha256: sha256.toLowerCase(), expires, expiresAt: beginningOf(expires) ?? 0 })

function compileRule(rule: RuleText, tenantIds: TenantIds): Rule {
  return Object.freeze({
    name: rule.name,
    callers: Object.freeze(rule.callers.map(compileCaller)),
    tenants: rule.tenants === '*' ? '*' : tenantIds(rule.tenants ?? []),
    scopes: new Set(rule.scopes),
    applications: new Set(rule.applications ?? ['default']),
    permissions: new Set(rule.permissions ?? []),
  })
}

function compileDenial(denial: DenialText, tenantIds: TenantIds): Denial {
  return Object.freeze({
    ...(denial.callers && { callers: Object.freeze(denial.callers.map(compileCaller)) }),
    ...(denial.tenants && { tenants: tenantIds(denial.tenants) }),
    ...(denial.scopes && { scopes: new Set(denial.scopes) }),
    ...(denial.applications && { applications: new Set(denial.applications) }),
  })
}

/** Issuer, subject and every claim must match; or the API key's name. */
function compileCaller(text: CallerText): CallerTest {
  const { issuer, apiKey } = text
  if (apiKey !== undefined) return caller => caller.kind === 'apiKey' && caller.key === apiKey
  if (issuer === undefined) return () => false
  const subject = text.subject === undefined ? undefined : textMatcher(text.subject)
  const claims = Object.entries(text.claims ?? {}).map(([name, expected]) => ({
    path: claimPath(name) ?? [],
    matches: claimMatcher(expected),
  }))
  return caller =>
    caller.kind === 'jwt' &&
    caller.issuer === issuer &&
    (subject?.(caller.subject) ?? true) &&
    claims.every(({ path, matches }) => matches(valueAt(caller.claims, path)))
}

/** What a valid file may say although this version does not act upon it: told, never passed over in silence. */
function warningsOf(text: PolicyText): readonly string[] {
  const callers = [...text.rules, ...(text.deny ?? [])].flatMap(entry => entry.callers ?? [])
  return [
    ...(callers.some(caller => caller.san !== undefined)
      ? ['callers with "san": this version does not authenticate client certificates, so they match nobody']
      : []),
    ...text.rules.flatMap(rule =>
      rule.exchangeLimit === undefined && rule.requestLimit === undefined
        ? []
        : [`rule "${rule.name}": this version does not enforce exchangeLimit and requestLimit`],
    ),
  ]
}
