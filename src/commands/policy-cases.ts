import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseDocument } from 'yaml'
import { describeClaims, describeKey, describeNames } from '../broker/caller-text.ts'
import type { CallerFacts } from '../broker/caller-facts.ts'
import { explain, explainPermission, type Explanation } from '../broker/explain.ts'
import { guidPattern, isGuid, scopePattern, tenantPattern } from '../broker/names.ts'
import type { Policy } from '../broker/policy.ts'
import { FaultsError, messageOf } from '../errors.ts'

const closed = { additionalProperties: false } as const
const text = Type.String({ minLength: 1 })

const caller = Type.Union([
  Type.Object(
    { issuer: text, subject: text, claims: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
    closed,
  ),
  Type.Object({ apiKey: text }, closed),
  Type.Object({ san: Type.Union([text, Type.Array(text, { minItems: 1 })]) }, closed),
])
const expectation = {
  name: Type.Optional(text),
  caller,
  expect: Type.Union([Type.Literal('granted'), Type.Literal('denied')]),
  rule: Type.Optional(text),
}
const oneCase = Type.Union([
  Type.Object(
    {
      ...expectation,
      tenant: Type.String({ pattern: `^${tenantPattern}$` }),
      scope: Type.String({ pattern: `^${scopePattern}$` }),
      application: Type.Optional(text),
    },
    closed,
  ),
  Type.Object({ ...expectation, permission: Type.Union([Type.Literal('observe'), Type.Literal('purge')]) }, closed),
])
const casesShape = Type.Object(
  {
    homeTenant: Type.Optional(Type.String({ pattern: `^${guidPattern}$` })),
    cases: Type.Array(oneCase, { minItems: 1 }),
  },
  closed,
)
const shape = Compile(casesShape)

/** A table of asks and what is expected of them. */
export type Cases = Static<typeof casesShape>
type Case = Cases['cases'][number]

/** How one case came out. */
export interface Outcome {
  readonly name: string
  /** What came out otherwise; `undefined` when all is as expected. */
  readonly wrong: string | undefined
}

/**
 * The cases in a YAML file.
 * @throws FaultsError
 */
export function parseCases(file: string, content: string): Cases {
  const document = parseDocument(content, { uniqueKeys: true })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken) throw new FaultsError('The cases are not valid YAML', [{ where: file, what: broken.message }])
  const value: unknown = document.toJS({ maxAliasCount: 100 })
  if (shape.Check(value)) return value
  const places = shape
    .Errors(value)
    .map(({ instancePath, message }) => ({ where: instancePath || file, what: message }))
  throw new FaultsError('The cases are faulty', firstOfEach(places))
}

/** A case that fits none of two shapes is told of twice and more: its first fault is enough. */
function firstOfEach<T extends { readonly where: string }>(faults: readonly T[]): readonly T[] {
  const caseOf = ({ where }: T): string => /^\/cases\/\d+/.exec(where)?.[0] ?? where
  return faults.filter((fault, nth) => faults.findIndex(other => caseOf(other) === caseOf(fault)) === nth)
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
  const { tenant, scope, application = 'default' } = each
  const ask = { tenant: isGuid(tenant) ? tenant.toLowerCase() : tenant, scope, application, minExpiresIn: 0 }
  return explain(policy, facts, ask, homeTenant)
}

function factsOf(policy: Policy, who: Case['caller'], now: number): CallerFacts {
  if ('apiKey' in who) return describeKey(policy, who.apiKey, now).facts
  if ('san' in who) return describeNames([who.san].flat()).facts
  const issuer = policy.issuers.find(({ name }) => name === who.issuer)
  if (!issuer) throw new Error(`the policy has no issuer "${who.issuer}"`)
  return describeClaims(policy, { ...who.claims, iss: issuer.issuer, sub: who.subject }, now).facts
}

function wrongWith({ expect, rule }: Case, { granted, summary, rules }: Explanation): string | undefined {
  if (granted !== (expect === 'granted')) return `expected ${expect}, but it is ${summary}`
  if (rule === undefined) return undefined
  const why = rules.find(({ name }) => name === rule)?.why
  if (why === undefined) return `the policy has no rule "${rule}"`
  return !granted || why === 'grants it' ? undefined : `expected the rule "${rule}", but it is ${summary}`
}
