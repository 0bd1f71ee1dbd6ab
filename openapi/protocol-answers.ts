import { Type } from 'typebox'
import { count, open, text } from './answers.ts'

/** Bodies of the answers in protocols of others, for `openapi.yaml` only, as `schemas-answers.ts` has the broker's own. */

const accessToken = text("Entra's access token for the tenant, as Entra issued it. A secret.")
const bearer = Type.Literal('Bearer', { description: 'How the token is used (RFC 6750).' })
const expiresIn = count('Seconds until the token expires.')
const upstream = open(
  {
    error: Type.Optional(text("Entra's OAuth error (RFC 6749 §5.2).")),
    codes: Type.Optional(Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order." })),
  },
  'What Entra said.',
)

/** By their names under `components`. */
export const dialectSchemas = {
  OAuthToken: open(
    {
      access_token: accessToken,
      issued_token_type: Type.Optional(text('Of a token exchange: `urn:ietf:params:oauth:token-type:access_token`.')),
      token_type: bearer,
      expires_in: expiresIn,
      scope: text('As asked for.'),
    },
    'A token (RFC 6749 §5.1, RFC 8693 §2.2.1).',
  ),
  OAuthError: open(
    {
      error: text('The error of RFC 6749 §5.2 or RFC 8693 §2.2.2.'),
      error_description: text('What was wrong this time, and what can be done about it.'),
      code: text("The broker's own, finer word."),
      request_id: text('What the log and the audit trail of the broker have of this request, too. Quote it.'),
      retry_after: Type.Optional(count('Seconds, as in `Retry-After`.', 1)),
      upstream: Type.Optional(upstream),
    },
    'An error of a token endpoint (RFC 6749 §5.2).',
  ),
  EntraToken: open(
    {
      token_type: bearer,
      expires_in: expiresIn,
      ext_expires_in: expiresIn,
      refresh_in: Type.Optional(count('Seconds until the broker expects to have a newer token.', 1)),
      access_token: accessToken,
    },
    'A token as Entra answers it.',
  ),
  EntraError: open(
    {
      error: text('The OAuth error: that of Entra where Entra refused, else that of the broker.'),
      error_description: text('What was wrong, after the AADSTS number where Entra gave one.'),
      error_codes: Type.Optional(Type.Array(Type.Integer(), { description: 'AADSTS numbers: only those of Entra.' })),
      timestamp: text('When, in UTC.'),
      trace_id: text("Entra's, or the broker's request id."),
      correlation_id: text("Entra's, or the broker's request id."),
    },
    'An error as Entra answers it.',
  ),
  IdentityToken: open(
    {
      access_token: accessToken,
      expires_on: text('When the token expires, in seconds since 1970, as text.'),
      resource: text('As asked for.'),
      token_type: bearer,
      client_id: text("The application's client id."),
    },
    'A token as App Service and Container Apps answer it.',
  ),
  IdentityError: open(
    {
      statusCode: count('The HTTP status.'),
      message: text('What was wrong, with the request id.'),
      correlationId: text('The request id.'),
      error: text("The broker's own code."),
      error_description: text('As `message`.'),
    },
    'An error in the members that Azure SDKs read.',
  ),
  OAuthMetadata: open(
    {
      issuer: text('The origin under which clients reach the broker.'),
      token_endpoint: text('`POST /oauth2/token` there.'),
      response_types_supported: Type.Array(Type.String()),
      grant_types_supported: Type.Array(Type.String()),
      token_endpoint_auth_methods_supported: Type.Array(Type.String()),
      token_endpoint_auth_signing_alg_values_supported: Type.Array(Type.String()),
    },
    'Authorization server metadata (RFC 8414 §2).',
  ),
  OpenIdConfiguration: open(
    {
      issuer: text('The authority for this tenant.'),
      authorization_endpoint: text('There is none: MSAL takes no document without it.'),
      token_endpoint: text('`POST /{tenant}/oauth2/v2.0/token` there.'),
      jwks_uri: text("Entra's own keys."),
      grant_types_supported: Type.Array(Type.String()),
      token_endpoint_auth_methods_supported: Type.Array(Type.String()),
      response_types_supported: Type.Array(Type.String()),
      subject_types_supported: Type.Array(Type.String()),
      id_token_signing_alg_values_supported: Type.Array(Type.String()),
    },
    'What Azure SDKs read before they use an authority that is not Entra.',
  ),
} as const
