import { Type } from 'typebox'
import { count, open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import {
  accessToken,
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

/** The words for `POST /{tenant}/oauth2/v2.0/token` and its discovery document (`src/http/token-endpoints/entra.ts`). */
export const words: EndpointWords = {
  operations: {
    issueEntraToken: {
      tag: 'protocols',
      summary: 'Get a token as an Azure SDK does from Entra',
      description:
        "Entra's own protocol, for unmodified Azure SDKs: your own token is the `client_assertion` (or use `Authorization` " +
        'or a client certificate instead), and `client_id` chooses the application. If Entra refused the request, the ' +
        'response has the error that Entra gave. 429 and 5xx carry `Retry-After` of 1 or 2.',
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
      summary: 'The document of an authority, for Azure SDKs',
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
          token_endpoint_auth_methods_supported: ['private_key_jwt'],
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
        error: text('The OAuth error: that of Entra where Entra refused, else that of the broker.'),
        error_description: text('What was wrong, after the AADSTS number where Entra gave one.'),
        error_codes: Type.Optional(Type.Array(Type.Integer(), { description: 'AADSTS numbers: only those of Entra.' })),
        timestamp: text('When, in UTC.'),
        trace_id: text("Entra's, or the broker's request id."),
        correlation_id: text("Entra's, or the broker's request id."),
      },
      'An error in the form of Entra.',
    ),
    OpenIdConfiguration: open(
      {
        issuer: text('The authority for this tenant.'),
        authorization_endpoint: text('There is none: MSAL rejects a document without it.'),
        token_endpoint: text('`POST /{tenant}/oauth2/v2.0/token` there.'),
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
