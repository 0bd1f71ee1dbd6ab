import { Type, type Static } from 'typebox'
import { namePattern, scopePattern, tenantPattern } from '../../broker/lib/identifiers.ts'

/** Seconds; the most that `min_expires_in` may ask for. */
export const longestMinExpiresIn = 1800

/** Body of `POST /tokens`. Unknown members are refused: a misspelt one would otherwise be passed over in silence. */
export const tokenRequest = Type.Object(
  {
    tenant: Type.String({
      maxLength: 63,
      pattern: `^${tenantPattern}$`,
      description: "A tenant id, or a tenant's name in the policy.",
    }),
    scope: Type.String({
      maxLength: 489,
      pattern: `^${scopePattern}$`,
      description: "One resource's `<resource>/.default`; compared and cached byte for byte.",
    }),
    application: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description: 'The name of an application in the policy; "default" if absent.',
      }),
    ),
    min_expires_in: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: longestMinExpiresIn,
        description: 'Seconds; the least remaining life the caller needs.',
      }),
    ),
  },
  { additionalProperties: false },
)

/** What a caller sends to `POST /tokens`. */
export type TokenRequest = Static<typeof tokenRequest>

/** Query of `DELETE /tokens`: at least one filter, or `all` by itself. */
export const purgeQuery = Type.Object(
  {
    tenant: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${tenantPattern}$`,
        description: "A tenant id, or a tenant's name in the policy.",
      }),
    ),
    scope: Type.Optional(
      Type.String({ maxLength: 489, pattern: `^${scopePattern}$`, description: 'As it was asked for.' }),
    ),
    application: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description: 'The name of an application in the policy.',
      }),
    ),
    all: Type.Optional(Type.Literal('true', { description: 'Everything; without any filter.' })),
  },
  { additionalProperties: false },
)

/** Query of `GET /cache/entries`: texts, as a query has them. */
export const entryQuery = Type.Object(
  {
    tenant: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${tenantPattern}$`,
        description: "A tenant id, or a tenant's name in the policy; all tenants if absent.",
      }),
    ),
    limit: Type.Optional(
      Type.String({ pattern: '^(?:[1-9][0-9]{0,2}|1000)$', description: 'Entries a page, 1…1000; 100 if absent.' }),
    ),
    cursor: Type.Optional(
      Type.String({ pattern: '^[0-9]{1,15}$', description: 'The `next_cursor` of the page before.' }),
    ),
  },
  { additionalProperties: false },
)
