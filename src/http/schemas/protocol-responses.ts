import { Type } from 'typebox'
import { guidPattern, scopePattern, tenantPattern } from '../../broker/lib/identifiers.ts'
import { errorTable, type ErrorCode } from '../../errors.ts'
import { callerErrors, routeErrors } from './problem-responses.ts'

/**
 * What the endpoints of other protocols read and answer, for the description only: each of them reads its requests by
 * itself, and passes over what it does not know.
 */

/** Every error that an endpoint can answer that hands out tokens in a protocol of others. */
export const dialectErrors: readonly ErrorCode[] = [
  ...routeErrors,
  ...callerErrors,
  'invalid_tenant',
  'invalid_scope',
  'not_permitted',
  'consent_required',
  'upstream_rejected',
  'federation_misconfigured',
  'upstream_invalid',
  'upstream_unavailable',
  'identity_unavailable',
  'overloaded',
]

/** Those of a body. */
export const formErrors: readonly ErrorCode[] = ['too_large', 'unsupported_media_type']

/** How errors are told: the name of their schema in `openapi.yaml`. */
export type DialectName = 'OAuthError' | 'EntraError' | 'IdentityError'

/** A response of one status in a protocol of others: the codes stand in the names of its examples. */
export interface DialectResponse {
  readonly description: string
  readonly content: {
    readonly 'application/json': {
      readonly schema: { readonly $ref: string }
      readonly examples: Readonly<Record<string, { readonly $ref: string }>>
    }
  }
}

/** The name of the example of a code in a protocol. */
export const dialectExample = (name: DialectName, code: ErrorCode): string => `${name}_${code}`

/** The `response` members of a route's schema: every error that it can answer, by the status of that protocol. */
export const dialectResponses = (
  name: DialectName,
  statusOf: (code: ErrorCode) => number,
  codes: readonly ErrorCode[],
): Readonly<Record<string, DialectResponse>> =>
  Object.fromEntries(
    [...Map.groupBy(new Set(codes), statusOf)].map(([status, group]) => [
      status,
      {
        description: group.map(code => `\`${code}\`: ${errorTable[code].title}.`).join('\n'),
        content: {
          'application/json': {
            schema: { $ref: `#/components/schemas/${name}` },
            examples: Object.fromEntries(
              group.map(code => [code, { $ref: `#/components/examples/${dialectExample(name, code)}` }]),
            ),
          },
        },
      },
    ]),
  )

export const formMediaType = 'application/x-www-form-urlencoded'

const text = (description: string) => Type.Optional(Type.String({ description }))
const tenant = Type.String({
  maxLength: 63,
  pattern: `^${tenantPattern}$`,
  description: "A tenant id, or a tenant's name in the policy.",
})
const scope = Type.String({
  maxLength: 489,
  pattern: `^${scopePattern}$`,
  description: "One resource's `<resource>/.default`; compared and cached byte for byte.",
})
const clientId = Type.String({ pattern: `^${guidPattern}$`, description: "An application's client id." })
const assertion = {
  client_assertion: text("The caller's own token, where it is not in `Authorization`."),
  client_assertion_type: text('`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.'),
}

/** Parameters in the path. */
export const tenantPath = Type.Object({ tenant })

/** Body of `POST /oauth2/token`. */
export const oauthForm = Type.Object(
  {
    grant_type: Type.String({
      description: '`client_credentials`, or `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693).',
    }),
    tenant,
    scope,
    application: text('The name of an application in the policy, or its client id; "default" if absent.'),
    ...assertion,
    subject_token: text("In a token exchange: the caller's own token."),
    subject_token_type: text('In a token exchange: `urn:ietf:params:oauth:token-type:jwt`, or `…:access_token`.'),
    requested_token_type: text('In a token exchange: `urn:ietf:params:oauth:token-type:access_token`, or absent.'),
  },
  { additionalProperties: true },
)

/** Body of `POST /{tenant}/oauth2/v2.0/token`. */
export const entraForm = Type.Object(
  {
    grant_type: Type.Literal('client_credentials'),
    client_id: clientId,
    scope,
    ...assertion,
    claims: text('As Azure SDKs send it of themselves; a claims challenge is refused.'),
  },
  { additionalProperties: true },
)

/** Query of `GET /identity/{tenant}/token`. */
export const identityQuery = Type.Object(
  {
    resource: Type.String({ description: 'The resource, or its scope: `/.default` is added where it is missing.' }),
    client_id: Type.Optional(clientId),
    'api-version': text('Passed over.'),
  },
  { additionalProperties: true },
)
