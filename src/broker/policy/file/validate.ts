import type { ConfigurationError } from '../../../errors.ts'
import { callerCheckOf, type CallerCheck } from './entries/callers.ts'
import { comparable, guidsIn, isExchange, isName, isSharedTenant, resourceOf } from '../../lib/identifiers.ts'
import { isLoopback } from '../../lib/origin.ts'
import { validateAgents } from './entries/agents.ts'
import { validateKeys } from './entries/api-keys.ts'
import type { Policy } from '../model.ts'
import { referenceCheckOf, type ReferenceCheck } from './entries/references.ts'
import { deniedScopeCheckOf, grantedScopeCheckOf, validateScopeNames, type ScopeCheck } from './entries/scopes.ts'
import type { DenialText, SchemaError, IssuerText, Path, PolicyText, RuleText } from './schema.ts'

/**
 * All errors of a policy file that has the right shape: names that are not defined, callers that do not distinguish
 * anyone, scopes and audiences with which a caller could impersonate another one. Empty if it is valid.
 */
export function validatePolicy(policy: PolicyText): readonly SchemaError[] {
  const checkReference = referenceCheckOf(policy)
  const checkCaller = callerCheckOf(policy, checkReference)
  const checkDenied = deniedScopeCheckOf(checkReference)
  const checkGranted = grantedScopeCheckOf(policy, checkReference)
  return [
    ...validateNames(policy),
    ...validateScopeNames(policy),
    ...validateIssuers(policy),
    ...validateKeys(policy.apiKeys),
    ...validateAgents(policy, checkReference),
    ...(policy.deny ?? []).flatMap((denial, index) => {
      const at: Path = ['deny', index]
      return [
        ...(denial.callers ?? []).flatMap((caller, nth) =>
          checkCaller(caller, { at: [...at, 'callers', nth], isOfRule: false, grantsTokens: false }),
        ),
        ...validateTargets(checkReference, denial, at),
        ...validateDeniedClients(denial, at),
        ...(denial.scopes ?? []).flatMap((scope, nth) => checkDenied(scope, [...at, 'scopes', nth])),
      ]
    }),
    ...validateRuleNames(policy.rules),
    ...policy.rules.flatMap((rule, index) =>
      validateRule({ checkScope: checkGranted, checkCaller, checkReference }, rule, ['rules', index]),
    ),
  ]
}

function validateNames(policy: PolicyText): readonly SchemaError[] {
  const kinds = ['applications', 'agents', 'tenants', 'scopes', 'issuers', 'apiKeys'] as const
  return kinds.flatMap(kind =>
    Object.keys(policy[kind] ?? {}).flatMap(name => {
      if (!isName(name)) return [{ at: [kind, name], what: 'must not look like a GUID' }]
      if (kind !== 'tenants' || !isSharedTenant(name)) return []
      return [{ at: [kind, name], what: 'is a reserved word of Entra, not one tenant; choose another name' }]
    }),
  )
}

function validateIssuers(policy: PolicyText): readonly SchemaError[] {
  const seen = new Map<string, string>()
  return Object.entries(policy.issuers ?? {}).flatMap(([name, issuer]) => {
    const at: Path = ['issuers', name]
    const errors: SchemaError[] = []
    const twin = seen.get(issuer.issuer)
    if (twin !== undefined) errors.push({ at: [...at, 'issuer'], what: `is already the issuer of "${twin}"` })
    seen.set(issuer.issuer, name)
    return [...errors, ...validateAddresses(issuer, at), ...validateAudiences(issuer, at)]
  })
}

function validateAddresses(issuer: IssuerText, at: Path): readonly SchemaError[] {
  const errors: SchemaError[] = []
  // The keys of a file need no network: such an issuer's name is compared, never called.
  const urls = issuer.jwksFile === undefined ? (['issuer', 'jwksUri'] as const) : (['jwksUri'] as const)
  for (const key of urls) {
    const what = issuer[key] === undefined ? undefined : addressError(issuer[key])
    if (what !== undefined) errors.push({ at: [...at, key], what })
  }
  const ofFetches = [issuer.jwksUri, issuer.caFile, issuer.jwksTokenFile]
  if (issuer.jwksFile !== undefined && ofFetches.some(value => value !== undefined)) {
    errors.push({
      at: [...at, 'jwksFile'],
      what: 'cannot be combined with jwksUri, caFile or jwksTokenFile, because keys in a file are not fetched',
    })
  }
  if (issuer.jwksTokenFile !== undefined && isPlainHttp(issuer.jwksUri ?? issuer.issuer)) {
    errors.push({
      at: [...at, 'jwksTokenFile'],
      what: 'requires keys at an https URL, because a token must not be sent over plain http',
    })
  }
  return errors
}

const isPlainHttp = (address: string): boolean => URL.canParse(address) && new URL(address).protocol === 'http:'

/** Why keys must not be fetched from a URL, as `must …`; `undefined` if they may. */
export function addressError(text: string): string | undefined {
  if (!URL.canParse(text)) return 'must be a URL'
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return 'must not contain a user name or a password'
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))) return undefined
  return 'must be https, because keys fetched over plain http could be forged (http is accepted on loopback only)'
}

function validateAudiences(issuer: IssuerText, at: Path): readonly SchemaError[] {
  const what =
    'must not be the audience of client assertions, because callers would send the broker their own assertions'
  return issuer.audiences.flatMap((audience, index) =>
    isExchange(audience) ? [{ at: [...at, 'audiences', index], what }] : [],
  )
}

function validateRuleNames(rules: readonly RuleText[]): readonly SchemaError[] {
  const seen = new Set<string>()
  return rules.flatMap(({ name }, index) => {
    const isTwin = seen.has(name)
    seen.add(name)
    const what = 'is already the name of an earlier rule; must be unique, because the audit log refers to rules by name'
    return isTwin ? [{ at: ['rules', index, 'name'], what }] : []
  })
}

interface RuleChecks {
  readonly checkScope: ScopeCheck
  readonly checkCaller: CallerCheck
  readonly checkReference: ReferenceCheck
}

function validateRule(
  { checkScope, checkCaller, checkReference }: RuleChecks,
  rule: RuleText,
  at: Path,
): readonly SchemaError[] {
  const errors: SchemaError[] = []
  const { tenants, scopes, applications, agents } = rule
  const grantsTokens = [tenants, scopes, applications, agents].some(part => part !== undefined)
  if (!grantsTokens && rule.permissions === undefined) {
    errors.push({ at, what: 'grants nothing; must have tenants and scopes, or permissions' })
  }
  for (const needed of ['tenants', 'scopes'] as const) {
    if (grantsTokens && rule[needed] === undefined) errors.push({ at: [...at, needed], what: 'is required' })
  }
  const isForDefault = grantsTokens && applications === undefined && agents === undefined
  return [
    ...errors,
    ...rule.callers.flatMap((caller, nth) =>
      checkCaller(caller, { at: [...at, 'callers', nth], isOfRule: true, grantsTokens }),
    ),
    ...validateTargets(checkReference, { ...rule, ...(isForDefault && { applications: ['default'] }) }, at),
    ...(rule.scopes ?? []).flatMap((scope, nth) => checkScope(scope, [...at, 'scopes', nth])),
  ]
}

function validateTargets(
  checkReference: ReferenceCheck,
  { tenants = [], applications = [], agents = [] }: Pick<RuleText, 'tenants' | 'applications' | 'agents'>,
  at: Path,
): readonly SchemaError[] {
  return [
    ...(typeof tenants === 'string' ? [] : tenants).flatMap((tenant, nth) => {
      const what = tenant === '*' ? wildcardTenant(at) : checkReference('tenants', tenant)
      return what === undefined ? [] : [{ at: [...at, 'tenants', nth], what }]
    }),
    ...applications.flatMap((application, nth) => {
      const what = checkReference('applications', application)
      return what === undefined ? [] : [{ at: [...at, 'applications', nth], what }]
    }),
    ...agents.flatMap((agent, nth) => {
      const what = checkReference('agents', agent)
      return what === undefined ? [] : [{ at: [...at, 'agents', nth], what }]
    }),
  ]
}

/**
 * An application and an agent identity in one denial: each part must match, but in a rule both would be granted. An entry
 * that was meant as "both of these" would deny less, or nothing.
 */
const validateDeniedClients = ({ applications, agents }: DenialText, at: Path): readonly SchemaError[] =>
  applications === undefined || agents === undefined
    ? []
    : [{ at: [...at, 'agents'], what: 'must not stand beside applications in a denial; write one denial for each' }]

const wildcardTenant = (at: Path): string =>
  at[0] === 'deny'
    ? 'must not be "*": a denial without tenants applies to every tenant'
    : 'must not be "*" in a list: for every tenant, write tenants: "*"'

/**
 * The errors of a policy that follow from the audience of this broker's own client assertions, if that is not one of the
 * well-known ones: {@link validatePolicy} reports those. Empty if there are none.
 */
export function validateExchangeAudience(policy: Policy, audience: string): readonly ConfigurationError[] {
  const guids = new Set(guidsIn(audience))
  const isSame = (text: string) =>
    comparable(text) === comparable(audience) || guidsIn(text).some(guid => guids.has(guid))
  return [
    ...policy.issuers
      .filter(({ audiences }) => audiences.some(isSame))
      .map(({ name }) => ({ where: `issuers.${name}.audiences`, what: 'must not contain BROKER_IDENTITY_AUDIENCE' })),
    ...policy.rules
      .filter(({ scopes }) => [...scopes].some(scope => isSame(resourceOf(scope))))
      .map(({ name }) => ({ where: `rule "${name}"`, what: 'must not grant the scope of BROKER_IDENTITY_AUDIENCE' })),
  ]
}
