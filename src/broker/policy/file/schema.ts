import { Type, type Static } from 'typebox'
import { guidPattern, namePattern, scopeOrNamePattern, scopePattern } from '../../lib/identifiers.ts'

/**
 * The schema of the policy file, key by key. `validate.ts` checks what concerns several keys: names that must be defined,
 * rules that must grant something, scopes that must not be granted.
 */

/** A place in the file: `['rules', 2, 'callers', 0]`. */
export type Path = readonly (string | number)[]

/** An error in a file, before its line and column are known. */
export interface SchemaError {
  readonly at: Path
  /** What is wrong and what to write instead. */
  readonly what: string
  /** Whether the key itself, the last part of the path, is wrong, and not its value. Default: false. */
  readonly ofKey?: boolean
}

const closed = { additionalProperties: false } as const
const whole = (pattern: string): string => `^${pattern}$`
/** Descriptions complete "must be …" in errors; titles are for editors. */
const list = <T extends Parameters<typeof Type.Array>[0]>(item: T, what: string, title?: string) =>
  Type.Array(item, { minItems: 1, description: what, ...(title !== undefined && { title }) })

const guid = Type.String({ pattern: whole(guidPattern), description: 'a GUID' })
const name = { additionalProperties: false, propertyNames: { pattern: whole(namePattern) } } as const
const text = Type.String({ minLength: 1, maxLength: 2048, description: 'a text of 1 to 2,048 characters' })
const limit = (title: string) =>
  Type.String({ title, pattern: '^[1-9][0-9]{0,6}/(?:s|m|h)$', description: 'a limit such as 60/m' })

/** Beyond 2^53, and with fractions, several numbers of the file and of tokens would be one number here. */
const wholeNumber = Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })
const claimValue = Type.Union([Type.String({ maxLength: 2048 }), wholeNumber, Type.Boolean()], {
  description: 'a text, a boolean, or a whole number smaller than 2^53; write an id in quotes',
})

const caller = Type.Object(
  {
    issuer: Type.Optional(text),
    subject: Type.Optional(text),
    claims: Type.Optional(
      Type.Record(Type.String(), claimValue, {
        minProperties: 1,
        description: 'a mapping of claims to the values that they must have, with at least one',
      }),
    ),
    delegated: Type.Optional(Type.Unsafe<true>({ const: true, description: 'true, or absent' })),
    san: Type.Optional(text),
    apiKey: Type.Optional(text),
  },
  { ...closed, description: 'a caller: { issuer, subject and/or claims, delegated }, { san } or { apiKey }' },
)

const issuer = Type.Object(
  {
    issuer: Type.String({
      minLength: 1,
      maxLength: 1024,
      description: 'the exact iss of the tokens, of 1 to 1,024 characters',
    }),
    audiences: list(text, 'a list of audiences, of which a token must have one'),
    jwksUri: Type.Optional(text),
    jwksFile: Type.Optional(text),
    caFile: Type.Optional(text),
    jwksTokenFile: Type.Optional(text),
  },
  closed,
)

const agentIdentity = Type.Object(
  { application: text, id: guid, tenant: Type.Optional(text) },
  { ...closed, description: 'an agent identity: { application, id, tenant }' },
)

const callers = list(caller, 'a list of callers')
const names = list(text, 'a list of names')
const scope = '<resource>/.default'
const scopes = list(
  Type.String({ pattern: whole(scopeOrNamePattern), description: `${scope}, or a name under scopes` }),
  `a list of ${scope}, and of names under scopes`,
)

const rule = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200, description: 'a name of 1 to 200 characters' }),
    callers,
    tenants: Type.Optional(
      Type.Union([Type.Literal('*'), names], { description: 'a list of tenants, or the plain word "*"' }),
    ),
    scopes: Type.Optional(scopes),
    applications: Type.Optional(names),
    agents: Type.Optional(names),
    exchangeLimit: Type.Optional(limit('Exchanges with Entra that each caller may cause, per replica.')),
    requestLimit: Type.Optional(limit('Requests that each caller may make, per replica.')),
    permissions: Type.Optional(
      list(
        Type.Union([Type.Literal('observe'), Type.Literal('purge')], { description: 'observe or purge' }),
        'a list of observe and purge',
      ),
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
    agents: Type.Optional(names),
  },
  {
    ...closed,
    minProperties: 1,
    description: 'a mapping with at least one of callers, tenants, scopes, applications, agents',
  },
)

const key = {
  sha256: Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'a SHA-256 in hex' }),
  expires: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$', description: 'a date such as 2027-01-31' }),
}

/** The policy file, as TypeBox (JSON Schema 2020-12). */
export const policyFileSchema = Type.Object(
  {
    applications: Type.Record(Type.String(), guid, {
      title: 'Application registrations: name → client id. A request without an application uses "default".',
      minProperties: 1,
      description: 'a mapping of names to client ids, with at least one',
      ...name,
    }),
    agents: Type.Optional(
      Type.Record(Type.String(), agentIdentity, {
        title:
          'Agent identities of Entra: name → its blueprint, by a name under applications, its client id, and its tenant.',
        ...name,
      }),
    ),
    tenants: Type.Optional(Type.Record(Type.String(), guid, { title: 'Tenants: name → tenant id.', ...name })),
    scopes: Type.Optional(
      Type.Record(Type.String(), Type.String({ pattern: whole(scopePattern), description: scope }), {
        title: 'Scopes: name → <resource>/.default.',
        ...name,
      }),
    ),
    issuers: Type.Optional(
      Type.Record(Type.String(), issuer, { title: 'Issuers whose tokens authenticate callers, by name.', ...name }),
    ),
    apiKeys: Type.Optional(
      Type.Record(Type.String(), Type.Object({ ...key, next: Type.Optional(Type.Object(key, closed)) }, closed), name),
    ),
    tenantLimit: Type.Optional(
      limit('Exchanges with Entra for each application and tenant, by all callers together, per replica.'),
    ),
    deny: Type.Optional(
      list(denial, 'a list of denials', 'Denials: requests that are refused whatever the rules say.'),
    ),
    rules: list(rule, 'a list of rules', 'Rules: what is granted to which callers. Everything else is refused.'),
  },
  { ...closed, description: 'a mapping with applications and rules' },
)

/** The content of a policy file that fits the schema. `validatePolicy` may still find errors in it. */
export type PolicyText = Static<typeof policyFileSchema>
/** One rule of the file. */
export type RuleText = Static<typeof rule>
/** One entry of `deny`. */
export type DenialText = Static<typeof denial>
/** One caller of a rule or a denial. */
export type CallerText = Static<typeof caller>
/** One entry of `issuers`. */
export type IssuerText = Static<typeof issuer>

/**
 * The content of `policy.schema.json`, for editors. It cannot express everything that `token-broker policy check`
 * reports.
 */
export const policySchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Policy of the tenant token broker',
  ...policyFileSchema,
}
