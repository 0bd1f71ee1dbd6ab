import { Type } from 'typebox'
import { count, open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import {
  accessToken,
  apiKey,
  assertion,
  documentResponse,
  expiresIn,
  graph,
  graphTokenResponse,
  inFormOrBeside,
  origin,
  tokenText,
  tokenType,
} from './shared.ts'

const upstream = open(
  {
    error: Type.Optional(text("Entra's OAuth error (RFC 6749 §5.2).")),
    codes: Type.Optional(Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order." })),
  },
  'What Entra returned.',
)

/** The texts of `POST /oauth2/token` and its metadata (`src/http/token-endpoints/oauth.ts`). */
export const words: EndpointWords = {
  operations: {
    issueOAuthToken: {
      tag: 'protocols',
      summary: 'Get a token with an OAuth library',
      description:
        'Client credentials (RFC 6749 §4.4) with your own token as `client_assertion` or in `Authorization`, with an API key ' +
        'as `client_secret` or as the password of HTTP Basic, or with your client certificate; or token ' +
        'exchange (RFC 8693) with your token as `subject_token`. More than one credential is refused with ' +
        '400. `tenant` and `application` are parameters of this broker. `resource` or `audience` may stand in place of ' +
        '`scope` (RFC 8707); together they must name the same scope, and the error is `invalid_target` otherwise. ' +
        'If the policy refuses the request, the error is `unauthorized_client`; in a token exchange, `invalid_target`.',
      guarded: true,
      security: inFormOrBeside,
      request: {
        name: 'OAuthTokenForm',
        examples: {
          client_credentials: {
            summary: 'Client credentials',
            value: { grant_type: 'client_credentials', tenant: 'contoso', scope: graph, ...assertion },
          },
          client_secret: {
            summary: 'Client credentials, with an API key',
            value: { grant_type: 'client_credentials', tenant: 'contoso', scope: graph, client_secret: apiKey },
          },
          token_exchange: {
            summary: 'Token exchange',
            value: {
              grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
              tenant: 'contoso',
              scope: graph,
              subject_token: tokenText,
              subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
            },
          },
          token_exchange_resource: {
            summary: 'Token exchange that names the resource',
            value: {
              grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
              tenant: 'contoso',
              resource: 'https://graph.microsoft.com',
              subject_token: tokenText,
              subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
              requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
            },
          },
        },
      },
      responses: {
        200: graphTokenResponse('OAuthToken', {
          access_token: tokenText,
          token_type: 'Bearer',
          expires_in: 3122,
          scope: graph,
        }),
      },
    },
    getOAuthMetadata: {
      tag: 'protocols',
      summary: 'OAuth metadata of the token endpoint',
      description: 'Authorization server metadata (RFC 8414). Only with `BROKER_PUBLIC_URL`.',
      guarded: false,
      responses: {
        200: documentResponse('OAuthMetadata', {
          issuer: origin,
          token_endpoint: `${origin}/oauth2/token`,
          response_types_supported: [],
          grant_types_supported: ['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'],
          token_endpoint_auth_methods_supported: [
            'private_key_jwt',
            'client_secret_post',
            'client_secret_basic',
            'none',
          ],
          token_endpoint_auth_signing_alg_values_supported: ['RS256', 'ES256'],
        }),
      },
      examples: { not_found: ['not_found_public_url'] },
    },
  },
  schemas: {
    OAuthToken: open(
      {
        access_token: accessToken,
        issued_token_type: Type.Optional(text('Of a token exchange: `urn:ietf:params:oauth:token-type:access_token`.')),
        token_type: tokenType,
        expires_in: expiresIn,
        scope: text('The scope that the token is for: as in the request, or what its name stands for.'),
      },
      'A token (RFC 6749 §5.1, RFC 8693 §2.2.1).',
    ),
    OAuthError: open(
      {
        error: text('The error of RFC 6749 §5.2 or RFC 8693 §2.2.2.'),
        error_description: text('What was wrong this time, and how to solve it.'),
        code: text("The broker's own, more specific code."),
        request_id: text('The id of this request in the log and the audit log of the broker. Quote it in reports.'),
        retry_after: Type.Optional(count('Seconds, as in `Retry-After`.', 1)),
        upstream: Type.Optional(upstream),
      },
      'An error of a token endpoint (RFC 6749 §5.2).',
    ),
    OAuthMetadata: open(
      {
        issuer: text('The origin under which clients reach the broker.'),
        token_endpoint: text('The URL of `POST /oauth2/token`.'),
        response_types_supported: Type.Array(Type.String()),
        grant_types_supported: Type.Array(Type.String()),
        token_endpoint_auth_methods_supported: Type.Array(Type.String()),
        token_endpoint_auth_signing_alg_values_supported: Type.Array(Type.String()),
      },
      'Authorization server metadata (RFC 8414 §2).',
    ),
  },
}
