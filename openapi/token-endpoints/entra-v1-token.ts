import { open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import {
  accessToken,
  apiKey,
  application,
  assertion,
  graphTokenResponse,
  inFormOrBeside,
  tenants,
  tokenText,
  tokenType,
} from './shared.ts'

const resource = 'https://graph.microsoft.com'

/** The texts of `POST /{tenant}/oauth2/token` (`src/http/token-endpoints/entra-v1.ts`). */
export const words: EndpointWords = {
  operations: {
    issueEntraV1Token: {
      tag: 'protocols',
      summary: "Get a token with ADAL or Hadoop, in Entra's v1 protocol",
      description:
        'As `POST /{tenant}/oauth2/v2.0/token`, for clients that name a `resource` instead of a scope: the scope is that text ' +
        'with `/.default` appended, byte for byte. Numbers in the response are texts.',
      guarded: true,
      security: inFormOrBeside,
      parameters: { tenant: tenants },
      request: {
        name: 'EntraV1TokenForm',
        examples: {
          client_credentials: {
            summary: 'With your own token',
            value: { grant_type: 'client_credentials', client_id: application, resource, ...assertion },
          },
          client_secret: {
            summary: 'With an API key',
            value: { grant_type: 'client_credentials', client_id: application, resource, client_secret: apiKey },
          },
        },
      },
      responses: {
        200: graphTokenResponse('EntraV1Token', {
          token_type: 'Bearer',
          expires_in: '3122',
          ext_expires_in: '3122',
          expires_on: '1795384800',
          not_before: '1795381678',
          resource,
          access_token: tokenText,
        }),
      },
    },
  },
  schemas: {
    EntraV1Token: open(
      {
        token_type: tokenType,
        expires_in: text('Seconds until the token expires, as text.'),
        ext_expires_in: text('The same.'),
        expires_on: text('When the token expires, in seconds since 1970, as text.'),
        not_before: text('When the response was sent, in seconds since 1970, as text. The token may be older.'),
        resource: text('As in the request.'),
        access_token: accessToken,
      },
      "A token in the form of Entra's v1 endpoint.",
    ),
  },
}
