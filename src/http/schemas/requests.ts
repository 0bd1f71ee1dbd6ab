import { Type, type Static } from 'typebox'
import { namePattern, scopeOrNamePattern, tenantPattern } from '../../broker/lib/identifiers.ts'
import { agent, scope, tenant } from './parameters.ts'

/** Seconds; the largest `min_expires_in`. */
export const longestMinExpiresIn = 1800

/** Body of `POST /tokens`. Unknown fields are refused: a misspelt one would otherwise be ignored without notice. */
export const tokenRequest = Type.Object(
  {
    tenant,
    scope,
    application: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description: 'The name of an application in the policy, or its client id in lower case; "default" if absent.',
      }),
    ),
    agent,
    min_expires_in: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: longestMinExpiresIn,
        description: 'Seconds; the least remaining life that the caller needs.',
      }),
    ),
  },
  { additionalProperties: false },
)

/** What a caller sends to `POST /tokens`. */
export type TokenRequestBody = Static<typeof tokenRequest>

/** Query of `DELETE /tokens`: at least one filter, or `all` alone. */
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
      Type.String({
        maxLength: 489,
        pattern: `^${scopeOrNamePattern}$`,
        description: "The scope, or a scope's name in the policy.",
      }),
    ),
    application: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description: 'The name of an application in the policy, or its client id in lower case.',
      }),
    ),
    agent: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description: 'The name of an agent identity in the policy, or its client id in lower case.',
      }),
    ),
    all: Type.Optional(Type.Literal('true', { description: 'Everything; without any filter.' })),
  },
  { additionalProperties: false },
)

/** What the queries of all lists have. Every value is a text, as in any query. */
const listQuery = {
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
    Type.String({ pattern: '^[0-9]{1,15}$', description: 'The `next_cursor` of the previous page.' }),
  ),
}

/** Query of `GET /cache/entries`. */
export const entryQuery = Type.Object(
  {
    tenant: listQuery.tenant,
    agent: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: `^${namePattern}$`,
        description:
          'The name of an agent identity in the policy, or its client id in lower case; all tokens if absent.',
      }),
    ),
    state: Type.Optional(
      Type.Enum(['fresh', 'due', 'expired', 'at_risk'], {
        description: 'The state of the entries; `at_risk`: those that are `at_risk`. All if absent.',
      }),
    ),
    sort: Type.Optional(
      Type.Enum(['fetched', 'expires_on'], {
        description: '`fetched`, the default: as they were fetched; `expires_on`: what ends first comes first.',
      }),
    ),
    limit: listQuery.limit,
    cursor: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,15}(?:\\.[0-9]{1,15})?$',
        description: 'The `next_cursor` of the previous page, with the same `sort`.',
      }),
    ),
  },
  { additionalProperties: false },
)

/** Query of `GET /decisions`. */
export const decisionQuery = Type.Object(
  {
    tenant: listQuery.tenant,
    outcome: Type.Optional(
      Type.Enum(['denied', 'failed'], {
        description: '`denied` by the policy, or permitted and `failed`; both if absent.',
      }),
    ),
    limit: listQuery.limit,
    cursor: listQuery.cursor,
  },
  { additionalProperties: false },
)

/** Query of `GET /cache/failures`. */
export const failureQuery = Type.Object(listQuery, { additionalProperties: false })
