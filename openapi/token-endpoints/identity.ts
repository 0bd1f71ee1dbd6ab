import { count, open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import { accessToken, application, graphTokenResponse, tenants, tokenText, tokenType } from './shared.ts'

/** The texts of `GET /identity/{tenant}/token` (`src/http/token-endpoints/identity.ts`). */
export const words: EndpointWords = {
  operations: {
    getIdentityToken: {
      tag: 'protocols',
      summary: 'Get a token with an Azure SDK, in the protocol of managed identities',
      description:
        'The identity protocol of App Service and Container Apps. Set `IDENTITY_ENDPOINT` to this URL and `IDENTITY_HEADER` ' +
        'to your credential; a client certificate does not replace it. `client_id` chooses an application or an agent identity by its client id; ' +
        'without it, the default application is used.\n\n' +
        'Clients of the protocol of 2017-09-01 (`MSI_ENDPOINT`, `MSI_SECRET`) send the credential in `secret`, and `clientid`. ' +
        'Their response has a date in `expires_on`. The path with a slash at its end is the same.',
      guarded: true,
      security: [{ identityHeader: [] }, { identitySecret: [] }],
      parameters: {
        tenant: tenants,
        resource: { graph: { summary: 'Microsoft Graph', value: 'https://graph.microsoft.com' } },
        client_id: { default: { summary: 'One application', value: application } },
        agent: { name: { summary: 'An agent identity, by its name in the policy', value: 'helper' } },
        clientid: { default: { summary: 'The same, in the protocol of 2017-09-01', value: application } },
        'api-version': { current: { summary: 'As SDKs send it', value: '2019-08-01' } },
      },
      responses: {
        200: graphTokenResponse('IdentityToken', {
          access_token: tokenText,
          expires_on: '1795384800',
          expires_in: '3122',
          resource: 'https://graph.microsoft.com',
          token_type: 'Bearer',
          client_id: application,
        }),
      },
    },
  },
  schemas: {
    IdentityToken: open(
      {
        access_token: accessToken,
        expires_on: text('When the token expires: seconds since 1970, as text; in the protocol of 2017-09-01 a date.', [
          '1795384800',
          '11/23/2026 6:00:00 AM +00:00',
        ]),
        expires_in: text('Seconds until the token expires, as text.'),
        resource: text('As in the request.'),
        token_type: tokenType,
        client_id: text('The client id of the application or the agent identity.'),
      },
      'A token in the form of App Service and Container Apps.',
    ),
    IdentityError: open(
      {
        statusCode: count('The HTTP status.'),
        message: text('What was wrong, with the request id.'),
        correlationId: text('The request id.'),
        error: text("The broker's own code."),
        error_description: text('As `message`.'),
      },
      'An error in the fields that Azure SDKs read.',
    ),
  },
}
