import type { ConfigurationError } from '../../errors.ts'
import { claimPath, patternError } from './patterns.ts'
import { guidsIn, isGuid, isName, isSharedTenant, resourceOf } from '../lib/identifiers.ts'
import { isLoopback } from '../lib/origin.ts'
import { validateKeys } from './api-key-entries.ts'
import type { Policy } from './model.ts'
import type { CallerText, SchemaError, IssuerText, Path, PolicyText, RuleText } from './schema.ts'

/** Claims that every token of an issuer shares or that say nothing about who holds it. */
const commonClaims = new Set(['iss', 'aud', 'tid', 'ver', 'exp', 'iat', 'nbf', 'jti'])
/** The audience of client assertions by its URIs, in each cloud, and as a client id. */
const exchangeAudience = 'api://azureadtokenexchange'
const exchangeClientId = 'fb60f99c-7a34-4190-8149-302f77469936'

const isExchange = (audience: string): boolean => {
  const text = comparable(audience)
  return text.startsWith(exchangeAudience) || guidsIn(text).includes(exchangeClientId)
}

/** What cannot be meant, or must not be, in a policy file. All of it. */
export function validatePolicy(policy: PolicyText): readonly SchemaError[] {
  return [
    ...validateNames(policy),
    ...validateIssuers(policy),
    ...validateKeys(policy.apiKeys),
    ...(policy.deny ?? []).flatMap((denial, index) => {
      const at: Path = ['deny', index]
      return [
        ...(denial.callers ?? []).flatMap((caller, nth) =>
          validateCaller(policy, caller, [...at, 'callers', nth], false),
        ),
        ...validateTargets(policy, denial.tenants ?? [], denial.applications ?? [], at),
        ...(denial.scopes ?? []).flatMap((scope, nth) => validateWildcard(scope, [...at, 'scopes', nth])),
      ]
    }),
    ...validateRuleNames(policy.rules),
    ...policy.rules.flatMap((rule, index) => validateRule(policy, rule, ['rules', index])),
  ]
}

function validateNames(policy: PolicyText): readonly SchemaError[] {
  const kinds = ['applications', 'tenants', 'issuers', 'apiKeys'] as const
  return kinds.flatMap(kind =>
    Object.keys(policy[kind] ?? {}).flatMap(name => {
      if (!isName(name)) return [{ at: [kind, name], what: 'looks like a GUID, which a name must not' }]
      if (kind !== 'tenants' || !isSharedTenant(name)) return []
      return [{ at: [kind, name], what: 'is what Entra calls a group of tenants: choose another name' }]
    }),
  )
}

function validateIssuers(policy: PolicyText): readonly SchemaError[] {
  const seen = new Map<string, string>()
  return Object.entries(policy.issuers ?? {}).flatMap(([name, issuer]) => {
    const at: Path = ['issuers', name]
    const faults: SchemaError[] = []
    const twin = seen.get(issuer.issuer)
    if (twin !== undefined) faults.push({ at: [...at, 'issuer'], what: `is the issuer that "${twin}" already names` })
    seen.set(issuer.issuer, name)
    return [...faults, ...validateAddresses(issuer, at), ...validateAudiences(issuer, at)]
  })
}

function validateAddresses(issuer: IssuerText, at: Path): readonly SchemaError[] {
  const faults: SchemaError[] = []
  // The keys of a file need no network: such an issuer's name is compared, never called.
  const urls = issuer.jwksFile === undefined ? (['issuer', 'jwksUri'] as const) : (['jwksUri'] as const)
  for (const key of urls) {
    const what = issuer[key] === undefined ? undefined : addressError(issuer[key])
    if (what !== undefined) faults.push({ at: [...at, key], what })
  }
  if (issuer.jwksFile !== undefined && (issuer.jwksUri !== undefined || issuer.caFile !== undefined)) {
    faults.push({ at: [...at, 'jwksFile'], what: 'excludes jwksUri and caFile: a file is not fetched' })
  }
  return faults
}

/** Why keys must not be fetched from a URL, or `undefined` when they may. */
export function addressError(text: string): string | undefined {
  if (!URL.canParse(text)) return 'must be a URL'
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return 'must not hold a user name or a password'
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))) return undefined
  return "must be https: keys read over plain http could be anybody's (http is accepted on loopback only)"
}

function validateAudiences(issuer: IssuerText, at: Path): readonly SchemaError[] {
  return issuer.audiences.flatMap((audience, index) =>
    isExchange(audience)
      ? [
          {
            at: [...at, 'audiences', index],
            what: 'is the audience of client assertions: callers would hand the broker their own',
          },
        ]
      : [],
  )
}

function validateRuleNames(rules: readonly RuleText[]): readonly SchemaError[] {
  const seen = new Set<string>()
  return rules.flatMap(({ name }, index) => {
    const isTwin = seen.has(name)
    seen.add(name)
    const what = 'is the name of an earlier rule: the audit log could not tell them apart'
    return isTwin ? [{ at: ['rules', index, 'name'], what }] : []
  })
}

function validateRule(policy: PolicyText, rule: RuleText, at: Path): readonly SchemaError[] {
  const faults: SchemaError[] = []
  const grantsTokens = rule.tenants !== undefined || rule.scopes !== undefined || rule.applications !== undefined
  if (!grantsTokens && rule.permissions === undefined) {
    faults.push({ at, what: 'grants nothing: it needs tenants and scopes, or permissions' })
  }
  for (const needed of ['tenants', 'scopes'] as const) {
    if (grantsTokens && rule[needed] === undefined) faults.push({ at: [...at, needed], what: 'is required' })
  }
  const tenants = typeof rule.tenants === 'object' ? rule.tenants : []
  return [
    ...faults,
    ...rule.callers.flatMap((caller, nth) => validateCaller(policy, caller, [...at, 'callers', nth], true)),
    ...validateTargets(policy, tenants, rule.applications ?? (grantsTokens ? ['default'] : []), at),
    ...(rule.scopes ?? []).flatMap((scope, nth) => validateScope(policy, scope, [...at, 'scopes', nth])),
  ]
}

function validateCaller(policy: PolicyText, caller: CallerText, at: Path, mustTell: boolean): readonly SchemaError[] {
  const kinds = [caller.issuer, caller.san, caller.apiKey].filter(kind => kind !== undefined)
  if (kinds.length !== 1) return [{ at, what: 'needs exactly one of issuer, san and apiKey' }]
  const faults: SchemaError[] = []
  if (caller.issuer === undefined && (caller.subject !== undefined || caller.claims !== undefined)) {
    faults.push({ at, what: 'subject and claims are for callers of an issuer' })
  }
  if (caller.issuer !== undefined && !Object.hasOwn(policy.issuers ?? {}, caller.issuer)) {
    faults.push({ at: [...at, 'issuer'], what: `names no issuer: "${caller.issuer}" is not under issuers` })
  }
  if (caller.apiKey !== undefined && !Object.hasOwn(policy.apiKeys ?? {}, caller.apiKey)) {
    faults.push({ at: [...at, 'apiKey'], what: `names no key: "${caller.apiKey}" is not under apiKeys` })
  }
  for (const key of ['subject', 'san'] as const) {
    const what = caller[key] === undefined ? undefined : patternError(caller[key])
    if (what !== undefined) faults.push({ at: [...at, key], what })
  }
  faults.push(...validateClaims(caller, at))
  if (mustTell && caller.issuer !== undefined && !distinguishesCallers(caller)) {
    const common = [...commonClaims].join(', ')
    faults.push({ at, what: `would match every token of the issuer: name a subject or a claim other than ${common}` })
  }
  return faults
}

function validateClaims(caller: CallerText, at: Path): readonly SchemaError[] {
  return Object.entries(caller.claims ?? {}).flatMap(([name, expected]) => {
    const here: Path = [...at, 'claims', name]
    if (!claimPath(name)) return [{ at: here, what: 'is neither a claim nor a JSON pointer (RFC 6901)' }]
    const what = typeof expected === 'string' ? patternError(expected) : undefined
    return what === undefined ? [] : [{ at: here, what }]
  })
}

const distinguishesCallers = (caller: CallerText): boolean =>
  caller.subject !== undefined ||
  Object.keys(caller.claims ?? {}).some(name => !commonClaims.has(claimPath(name)?.[0] ?? 'iss'))

function validateTargets(
  policy: PolicyText,
  tenants: readonly string[],
  applications: readonly string[],
  at: Path,
): readonly SchemaError[] {
  return [
    ...tenants.flatMap((tenant, nth) => {
      if (isGuid(tenant) || Object.hasOwn(policy.tenants ?? {}, tenant)) return []
      const what =
        tenant === '*'
          ? '"*" stands by itself, not in a list: tenants: "*"'
          : `names no tenant: "${tenant}" is neither a GUID nor under tenants`
      return [{ at: [...at, 'tenants', nth], what }]
    }),
    ...applications.flatMap((application, nth) =>
      Object.hasOwn(policy.applications, application)
        ? []
        : [
            {
              at: [...at, 'applications', nth],
              what: `names no application: "${application}" is not under applications`,
            },
          ],
    ),
  ]
}

const validateWildcard = (scope: string, at: Path): readonly SchemaError[] =>
  scope.includes('*') ? [{ at, what: 'must name one resource: scopes have no wildcards' }] : []

/** A caller that could get a token for the broker itself, or a new client assertion, would grant itself everything. */
function validateScope(policy: PolicyText, scope: string, at: Path): readonly SchemaError[] {
  if (scope.includes('*')) return validateWildcard(scope, at)
  const resource = comparable(resourceOf(scope))
  if (isExchange(resource)) {
    return [{ at, what: 'is the audience of client assertions: its holder could pose as the application' }]
  }
  const guids = new Set(guidsIn(resource))
  const own = Object.values(policy.issuers ?? {})
    .flatMap(issuer => issuer.audiences)
    .find(audience => comparable(audience) === resource || guidsIn(audience).some(guid => guids.has(guid)))
  if (own === undefined) return []
  return [{ at, what: `is for the audience "${own}" of this broker's own callers: its holder could pose as one` }]
}

const comparable = (text: string): string => text.toLowerCase().replace(/\/+$/, '')

/**
 * What a policy must not say beside the audience that this broker's own client assertions carry, where that is none of
 * the well-known ones: see {@link validatePolicy} for why.
 */
export function validateExchangeAudience(policy: Policy, audience: string): readonly ConfigurationError[] {
  const guids = new Set(guidsIn(audience))
  const isSame = (text: string) =>
    comparable(text) === comparable(audience) || guidsIn(text).some(guid => guids.has(guid))
  return [
    ...policy.issuers
      .filter(({ audiences }) => audiences.some(isSame))
      .map(({ name }) => ({ where: `issuers.${name}.audiences`, what: 'must not hold BROKER_IDENTITY_AUDIENCE' })),
    ...policy.rules
      .filter(({ scopes }) => [...scopes].some(scope => isSame(resourceOf(scope))))
      .map(({ name }) => ({ where: `rule "${name}"`, what: 'must not grant the scope of BROKER_IDENTITY_AUDIENCE' })),
  ]
}
