import { Type } from 'typebox'
import { count, open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import {
  accessToken,
  apiKey,
  application,
  assertion,
  documentResponse,
  expiresIn,
  graph,
  graphTokenResponse,
  inFormOrBeside,
  origin,
  tenants,
  tokenText,
  tokenType,
} from './shared.ts'

/** The texts of `POST /{tenant}/oauth2/v2.0/token` and its discovery document (`src/http/token-endpoints/entra.ts`). */
export const words: EndpointWords = {
  operations: {
    issueEntraToken: {
      tag: 'protocols',
      summary: "Get a token with an Azure SDK, in Entra's protocol",
      description:
        "Entra's own protocol, for unmodified Azure SDKs. Send your own token as `client_assertion` or in `Authorization`, " +
        'or an API key as `client_secret` or as the password of HTTP Basic, or use a client certificate; `client_id` chooses ' +
        'the application or the agent identity. If Entra refused the request, the response has the error that Entra returned. Responses with 429 ' +
        'and 5xx have `Retry-After` of 1 or 2 seconds.',
      guarded: true,
      security: inFormOrBeside,
      parameters: { tenant: tenants },
      request: {
        name: 'EntraTokenForm',
        examples: {
          client_credentials: {
            summary: 'As Azure SDKs send it',
            value: { grant_type: 'client_credentials', client_id: application, scope: graph, ...assertion },
          },
          client_secret: {
            summary: 'With an API key',
            value: { grant_type: 'client_credentials', client_id: application, scope: graph, client_secret: apiKey },
          },
        },
      },
      responses: {
        200: graphTokenResponse('EntraToken', {
          token_type: 'Bearer',
          expires_in: 3122,
          ext_expires_in: 3122,
          refresh_in: 2200,
          access_token: tokenText,
        }),
      },
    },
    getOpenIdConfiguration: {
      tag: 'protocols',
      summary: 'The OpenID document of a tenant, for Azure SDKs',
      description: 'The same for every well-formed tenant. Only with `BROKER_PUBLIC_URL`.',
      guarded: false,
      parameters: { tenant: tenants },
      responses: {
        200: documentResponse('OpenIdConfiguration', {
          issuer: `${origin}/contoso/v2.0`,
          authorization_endpoint: `${origin}/contoso/oauth2/v2.0/authorize`,
          token_endpoint: `${origin}/contoso/oauth2/v2.0/token`,
          jwks_uri: 'https://login.microsoftonline.com/common/discovery/v2.0/keys',
          grant_types_supported: ['client_credentials'],
          token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
          response_types_supported: ['code'],
          subject_types_supported: ['pairwise'],
          id_token_signing_alg_values_supported: ['RS256'],
        }),
      },
    },
  },
  schemas: {
    EntraToken: open(
      {
        token_type: tokenType,
        expires_in: expiresIn,
        ext_expires_in: expiresIn,
        refresh_in: Type.Optional(count('Seconds until the broker expects to have a newer token.', 1)),
        access_token: accessToken,
      },
      'A token in the form of Entra.',
    ),
    EntraError: open(
      {
        error: text("The OAuth error: Entra's if Entra refused the request, otherwise the broker's."),
        error_description: text('What was wrong, after the AADSTS number if Entra returned one.'),
        error_codes: Type.Optional(Type.Array(Type.Integer(), { description: 'AADSTS numbers: only those of Entra.' })),
        timestamp: text('When the error occurred, in UTC.'),
        trace_id: text("Entra's, or the broker's request id."),
        correlation_id: text("Entra's, or the broker's request id."),
      },
      'An error in the form of Entra.',
    ),
    OpenIdConfiguration: open(
      {
        issuer: text('The authority for this tenant.'),
        authorization_endpoint: text('This endpoint does not exist; MSAL rejects a document without this field.'),
        token_endpoint: text('The URL of `POST /{tenant}/oauth2/v2.0/token`.'),
        jwks_uri: text("Entra's own keys."),
        grant_types_supported: Type.Array(Type.String()),
        token_endpoint_auth_methods_supported: Type.Array(Type.String()),
        response_types_supported: Type.Array(Type.String()),
        subject_types_supported: Type.Array(Type.String()),
        id_token_signing_alg_values_supported: Type.Array(Type.String()),
      },
      'What Azure SDKs read before they use an authority other than Entra.',
    ),
  },
}
