import { Type, type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseDocument } from 'yaml'
import { describeClaims, describeKey, describeNames } from '../broker/authentication/describe-caller.ts'
import type { CallerFacts } from '../broker/policy/caller-facts.ts'
import { explain, explainPermission, type Explanation } from '../broker/policy/explain.ts'
import { guidPattern, isGuid, scopeOrNamePattern, tenantPattern } from '../broker/lib/identifiers.ts'
import { membersOf } from '../broker/lib/json-members.ts'
import type { SchemaError } from '../broker/policy/file/schema.ts'
import type { Policy } from '../broker/policy/model.ts'
import { pathText, schemaErrors } from '../broker/policy/file/schema-errors.ts'
import { InvalidConfigurationError, messageOf } from '../errors.ts'

const closed = { additionalProperties: false } as const
const text = Type.String({ minLength: 1 })

const callerSchema = Type.Union(
  [
    Type.Object(
      { issuer: text, subject: text, claims: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
      closed,
    ),
    Type.Object({ apiKey: text }, closed),
    Type.Object({ san: Type.Union([text, Type.Array(text, { minItems: 1 })]) }, closed),
  ],
  { description: '{ issuer, subject }, with or without claims, { apiKey } or { san }' },
)
const expectation = {
  name: Type.Optional(text),
  caller: callerSchema,
  expect: Type.Union([Type.Literal('granted'), Type.Literal('denied')], { description: 'granted or denied' }),
  rule: Type.Optional(text),
}
const tokenCase = Type.Object(
  {
    ...expectation,
    tenant: Type.String({ pattern: `^${tenantPattern}$`, description: 'an id or a name' }),
    scope: Type.String({ pattern: `^${scopeOrNamePattern}$`, description: '<resource>/.default, or a name' }),
    application: Type.Optional(text),
    agent: Type.Optional(text),
  },
  { ...closed, description: '{ caller, tenant, scope, expect } or { caller, permission, expect }' },
)
const permissionCase = Type.Object(
  {
    ...expectation,
    permission: Type.Union([Type.Literal('observe'), Type.Literal('purge')], { description: 'observe or purge' }),
  },
  closed,
)
const casesOf = <T extends TSchema>(item: T) =>
  Type.Object(
    {
      homeTenant: Type.Optional(Type.String({ pattern: `^${guidPattern}$`, description: 'a GUID' })),
      cases: Type.Array(item, { minItems: 1, description: 'a list of cases' }),
    },
    { ...closed, description: 'a mapping with cases' },
  )
const casesSchema = casesOf(Type.Union([tokenCase, permissionCase]))
const casesCheck = Compile(casesSchema)
/** Errors are reported case by case with this, since a union cannot say which of its branches was meant. */
const outline = casesOf(Type.Unknown())
const outlineCheck = Compile(outline)
const [tokenCheck, permissionCheck] = [Compile(tokenCase), Compile(permissionCase)]

/** A table of requests with the expected decisions. */
export type Cases = Static<typeof casesSchema>
type Case = Cases['cases'][number]

/** The result of one case. */
export interface Outcome {
  readonly name: string
  /** How the decision differs from the expected one; `undefined` if it does not. */
  readonly wrong: string | undefined
}

/**
 * Parses the cases of a YAML file.
 * @throws InvalidConfigurationError with all errors
 */
export function parseCases(file: string, content: string): Cases {
  const document = parseDocument(content, { uniqueKeys: true })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken)
    throw new InvalidConfigurationError('The cases are not valid YAML', [{ where: file, what: broken.message }])
  const value: unknown = document.toJS({ maxAliasCount: 100 })
  if (casesCheck.Check(value)) return value
  const errors = errorsOf(value).map(({ at, what }) => ({ where: at.length === 0 ? file : pathText(at), what }))
  throw new InvalidConfigurationError('The cases are invalid', errors)
}

function errorsOf(value: unknown): readonly SchemaError[] {
  const { cases } = membersOf(value)
  const ofCases = (Array.isArray(cases) ? cases : []).flatMap((each: unknown, nth) => {
    const [schema, check] =
      membersOf(each)['permission'] === undefined ? [tokenCase, tokenCheck] : [permissionCase, permissionCheck]
    return schemaErrors(schema, check.Errors(each), each).map(error => ({ ...error, at: ['cases', nth, ...error.at] }))
  })
  return [...schemaErrors(outline, outlineCheck.Errors(value), value), ...ofCases]
}

/**
 * Decides every case.
 * @param now milliseconds since 1970
 */
export function runCases(policy: Policy, { cases, homeTenant }: Cases, now: number): readonly Outcome[] {
  return cases.map((each, nth) => {
    const name = each.name ?? `case ${nth + 1}`
    try {
      return { name, wrong: wrongWith(each, decideCase(policy, each, homeTenant?.toLowerCase(), now)) }
    } catch (thrown) {
      return { name, wrong: messageOf(thrown) }
    }
  })
}

function decideCase(policy: Policy, each: Case, homeTenant: string | undefined, now: number): Explanation {
  const facts = factsOf(policy, each.caller, now)
  if ('permission' in each) return explainPermission(policy, facts, each.permission)
  const { tenant, scope, application, agent } = each
  if (application !== undefined && agent !== undefined) throw new Error('has an application and an agent: keep one')
  const id = isGuid(tenant) ? tenant.toLowerCase() : tenant
  const client = { application: application ?? 'default', ...(agent !== undefined && { agent }) }
  return explain(policy, facts, { tenant: id, scope, ...client, minExpiresIn: 0 }, homeTenant)
}

function factsOf(policy: Policy, caller: Case['caller'], now: number): CallerFacts {
  if ('apiKey' in caller) return describeKey(policy, caller.apiKey, now).facts
  if ('san' in caller) return describeNames([caller.san].flat()).facts
  const issuer = policy.issuers.find(({ name }) => name === caller.issuer)
  if (!issuer) throw new Error(`the policy has no issuer "${caller.issuer}"`)
  return describeClaims(policy, { ...caller.claims, iss: issuer.issuer, sub: caller.subject }, now).facts
}

function wrongWith({ expect, rule }: Case, { granted, summary, rules }: Explanation): string | undefined {
  if (granted !== (expect === 'granted')) return `expected ${expect}, but it is ${summary}`
  if (rule === undefined) return undefined
  const why = rules.find(({ name }) => name === rule)?.why
  if (why === undefined) return `the policy has no rule "${rule}"`
  return !granted || why === 'grants it' ? undefined : `expected the rule "${rule}", but it is ${summary}`
}
