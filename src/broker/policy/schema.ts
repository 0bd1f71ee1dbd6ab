import { Type, type Static } from 'typebox'
import { guidPattern, namePattern, scopePattern } from '../lib/identifiers.ts'

/**
 * The shape of the policy file: what can be said key by key. What two places must agree on (names that exist, rules that
 * grant something, scopes that must not be granted) is checked in policy-check.ts.
 */

/** A place in the file: `['rules', 2, 'callers', 0]`. */
export type Path = readonly (string | number)[]

/** A fault before it has a line number. */
export interface SchemaError {
  readonly at: Path
  readonly what: string
  /** Whether it is the last part of the path, the key itself, that should not be there. */
  readonly ofKey?: boolean
}

const closed = { additionalProperties: false } as const
const whole = (pattern: string): string => `^${pattern}$`
/** Descriptions complete "must be …" in faults; titles are for editors. */
const list = <T extends Parameters<typeof Type.Array>[0]>(item: T, what: string, title?: string) =>
  Type.Array(item, { minItems: 1, description: what, ...(title !== undefined && { title }) })

const guid = Type.String({ pattern: whole(guidPattern), description: 'a GUID' })
const name = { additionalProperties: false, propertyNames: { pattern: whole(namePattern) } } as const
const text = Type.String({ minLength: 1, maxLength: 2048, description: 'a text' })
const limit = (title: string) =>
  Type.String({ title, pattern: '^[1-9][0-9]{0,6}/(?:s|m|h)$', description: 'a limit such as 60/m' })

const claimValue = Type.Union([Type.String({ maxLength: 2048 }), Type.Number(), Type.Boolean()], {
  description: 'a text, a number or a boolean',
})

const caller = Type.Object(
  {
    issuer: Type.Optional(text),
    subject: Type.Optional(text),
    claims: Type.Optional(
      Type.Record(Type.String(), claimValue, {
        minProperties: 1,
        description: 'at least one claim with the value it must have',
      }),
    ),
    san: Type.Optional(text),
    apiKey: Type.Optional(text),
  },
  { ...closed, description: 'a caller: { issuer, subject and/or claims }, { san } or { apiKey }' },
)

const issuer = Type.Object(
  {
    issuer: Type.String({ minLength: 1, maxLength: 1024, description: 'an https URL' }),
    audiences: list(text, 'the audiences of which a token must carry one'),
    jwksUri: Type.Optional(text),
    jwksFile: Type.Optional(text),
    caFile: Type.Optional(text),
  },
  closed,
)

const callers = list(caller, 'a list of callers')
const names = list(text, 'a list of names')
const scopes = list(
  Type.String({ pattern: whole(scopePattern), description: '<resource>/.default' }),
  'a list of <resource>/.default',
)

const rule = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200, description: "the rule's name" }),
    callers,
    tenants: Type.Optional(
      Type.Union([Type.Literal('*'), names], { description: 'a list of tenants, or the plain word "*"' }),
    ),
    scopes: Type.Optional(scopes),
    applications: Type.Optional(names),
    exchangeLimit: Type.Optional(limit('Exchanges with Entra that each caller may cause, per replica.')),
    requestLimit: Type.Optional(limit('Requests that each caller may make, per replica.')),
    permissions: Type.Optional(
      list(Type.Union([Type.Literal('observe'), Type.Literal('purge')], { description: 'observe or purge' }), 'a list'),
    ),
  },
  closed,
)

const denial = Type.Object(
  {
    callers: Type.Optional(callers),
    tenants: Type.Optional(names),
    scopes: Type.Optional(scopes),
    applications: Type.Optional(names),
  },
  { ...closed, minProperties: 1, description: 'at least one of callers, tenants, scopes, applications' },
)

const key = {
  sha256: Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'a SHA-256 in hex' }),
  expires: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$', description: 'a date such as 2027-01-31' }),
}

/** The policy file, as TypeBox (JSON Schema 2020-12). */
export const policyFileSchema = Type.Object(
  {
    applications: Type.Record(Type.String(), guid, {
      title: 'Application registrations: name → client id. Requests that name none mean "default".',
      minProperties: 1,
      description: 'names and client ids, at least one',
      ...name,
    }),
    tenants: Type.Optional(Type.Record(Type.String(), guid, { title: 'Tenants: name → tenant id.', ...name })),
    issuers: Type.Optional(
      Type.Record(Type.String(), issuer, { title: 'Whose tokens authenticate callers, by name.', ...name }),
    ),
    apiKeys: Type.Optional(
      Type.Record(Type.String(), Type.Object({ ...key, next: Type.Optional(Type.Object(key, closed)) }, closed), name),
    ),
    deny: Type.Optional(list(denial, 'a list of denials', 'What is refused, whatever the rules say.')),
    rules: list(rule, 'a list of rules', 'What is granted, and to whom: what no rule names is refused.'),
  },
  { ...closed, description: 'a mapping with applications and rules' },
)

/** The policy file as it is written, of the right shape. It may still be wrong in meaning. */
export type PolicyText = Static<typeof policyFileSchema>
/** One rule of the file. */
export type RuleText = Static<typeof rule>
/** One entry of `deny`. */
export type DenialText = Static<typeof denial>
/** One caller that a rule or a denial names. */
export type CallerText = Static<typeof caller>
/** One entry of `issuers`. */
export type IssuerText = Static<typeof issuer>

/** The same for editors, as `policy.schema.json` holds it. What it cannot say, `token-broker policy check` does. */
export const policySchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Policy of the tenant token broker',
  ...policyFileSchema,
}
