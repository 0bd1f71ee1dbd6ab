import type { CallerFacts } from '../../src/broker/policy/caller-facts.ts'
import type { TokenRequest } from '../../src/broker/policy/model.ts'

/** A policy as written in the file. */
export interface PlainPolicy {
  readonly applications: Readonly<Record<string, string>>
  readonly tenants?: Readonly<Record<string, string>>
  readonly scopes?: Readonly<Record<string, string>>
  readonly agents?: Readonly<Record<string, PlainAgent>>
  readonly deny?: readonly PlainEntry[]
  readonly rules: readonly (PlainEntry & { readonly name: string })[]
}

/** An agent identity, as written in the file. */
export interface PlainAgent {
  readonly application: string
  readonly id: string
  readonly tenant?: string
}

/** A rule or a denial, as written in the file. */
export interface PlainEntry {
  readonly callers?: readonly PlainCaller[]
  readonly tenants?: readonly string[] | '*'
  readonly scopes?: readonly string[]
  readonly applications?: readonly string[]
  readonly agents?: readonly string[]
}

/** A caller of a rule, as written in the file. */
export interface PlainCaller {
  readonly issuer?: string
  readonly subject?: string
  readonly claims?: Readonly<Record<string, string | number | boolean>>
  readonly san?: string
  readonly apiKey?: string
}

/**
 * Applies the rules of the documentation directly to the file. Has no index and no compiled patterns, and shares no
 * code with the broker. Returns the names of all rules that grant a request, or why none can: `denied`, `undecided`,
 * `unknown`, or `elsewhere` for an agent identity of another tenant.
 */
export function naively(
  policy: PlainPolicy,
  caller: CallerFacts,
  request: TokenRequest,
  home: string | undefined,
): readonly string[] | 'denied' | 'undecided' | 'unknown' | 'elsewhere' {
  const idOf = (tenant: string): string | undefined =>
    /^[0-9a-f-]{36}$/i.test(tenant) ? tenant.toLowerCase() : policy.tenants?.[tenant]?.toLowerCase()
  const scopeOf = (text: string): string | undefined => (text.includes('/') ? text : policy.scopes?.[text])
  const tenant = idOf(request.tenant)
  const scope = scopeOf(request.scope)
  const agent = request.agent === undefined ? undefined : policy.agents?.[request.agent]
  const isKnown =
    request.agent === undefined ? policy.applications[request.application] !== undefined : agent !== undefined
  if (tenant === undefined || scope === undefined || !isKnown) return 'unknown'

  const isFor = ({ applications, agents }: PlainEntry, whole: boolean): boolean => {
    if (!whole) {
      const ofApplication = applications?.includes(agent?.application ?? request.application) ?? true
      return ofApplication && (agents?.some(each => each === request.agent) ?? true)
    }
    if (request.agent !== undefined) return agents?.includes(request.agent) ?? false
    return applications?.includes(request.application) ?? (agents === undefined && request.application === 'default')
  }
  const appliesTo = (entry: PlainEntry, whole: boolean): boolean => {
    const { tenants, scopes, callers } = entry
    const otherwise = !whole
    const inTenants = tenants === '*' || (tenants?.some(each => idOf(each) === tenant) ?? otherwise)
    return (
      inTenants &&
      isFor(entry, whole) &&
      (scopes?.some(each => scopeOf(each) === scope) ?? otherwise) &&
      (callers?.some(each => isCaller(each, caller, !whole)) ?? otherwise)
    )
  }
  if (policy.deny?.some(denial => appliesTo(denial, false))) return 'denied'
  const named = policy.rules.filter(rule => appliesTo(rule, true))
  const granting = named.filter(rule => rule.tenants !== '*' || (home !== undefined && tenant !== home))
  const isElsewhere = agent?.tenant !== undefined && idOf(agent.tenant) !== tenant
  if (isElsewhere && (granting.length > 0 || (home === undefined && named.length > 0))) return 'elsewhere'
  if (granting.length > 0) return granting.map(rule => rule.name)
  return home === undefined && named.length > 0 ? 'undecided' : []
}

/** @param isDenied whether a denial lists the caller: then numbers, booleans and texts of one value are the same */
function isCaller(plain: PlainCaller, caller: CallerFacts, isDenied: boolean): boolean {
  if (plain.apiKey !== undefined) return caller.kind === 'apiKey' && caller.key === plain.apiKey
  if (plain.san !== undefined) {
    if (caller.kind !== 'certificate') return false
    const { san } = plain
    return san.includes(':')
      ? caller.uris.some(uri => glob(san, uri, /^[A-Za-z0-9._~-]$/))
      : caller.dnsNames.some(name => glob(san.toLowerCase(), name, /^[A-Za-z0-9_~-]$/))
  }
  if (caller.kind !== 'jwt' || caller.issuer !== plain.issuer) return false
  if (plain.subject !== undefined && !glob(plain.subject, caller.subject, /^[A-Za-z0-9._~-]$/)) return false
  return Object.entries(plain.claims ?? {}).every(([name, expected]) => {
    const value = name.startsWith('/') ? pointed(caller.claims, name) : own(caller.claims, name)
    return [value].flat().some(each => {
      const isPlain = typeof each === 'string' || typeof each === 'number' || typeof each === 'boolean'
      if (isDenied && isPlain && typeof each !== typeof expected) {
        return glob(`${expected}`, `${each}`, /^[A-Za-z0-9._~-]$/) || `${each}` === `0${expected}`
      }
      if (typeof expected !== 'string') return each === expected
      return typeof each === 'string' && glob(expected, each, /^[A-Za-z0-9._~-]$/)
    })
  })
}

const own = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined

function pointed(claims: unknown, pointer: string): unknown {
  let value = claims
  for (const part of pointer.slice(1).split('/')) value = own(value, part.replace(/~1/g, '/').replace(/~0/g, '~'))
  return value
}

/** Matches a pattern in which `*` stands for one or more characters of a class. */
function glob(pattern: string, text: string, one: RegExp): boolean {
  const at = pattern.indexOf('*')
  if (at === -1) return pattern === text
  const [before, after] = [pattern.slice(0, at), pattern.slice(at + 1)]
  if (text.length <= before.length + after.length) return false
  const between = text.slice(before.length, text.length - after.length)
  return text.startsWith(before) && text.endsWith(after) && between.split('').every(character => one.test(character))
}
