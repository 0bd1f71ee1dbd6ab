import { headersOf, json, type Answer, type Description } from './components.ts'

/** The words for the operations of `oauth.ts`, `entra-token.ts` and `identity.ts`. */

const graph = 'https://graph.microsoft.com/.default'
const contoso = '1a2b3c4d-0000-4000-8000-000000000002'
const application = '6f3c0b1e-0000-4000-8000-000000000001'
const tokenText = 'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ0aWQiOiIuLi4ifQ.c2lnbmF0dXJl'
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const origin = 'https://broker.example'

/** The last: a credential in the form, which OpenAPI has no scheme for. */
const inFormOrBeside = [{ bearerAuth: [] }, { clientCertificate: [] }, {}]
const tenants = {
  name: { summary: 'By its name in the policy', value: 'contoso' },
  id: { summary: 'By its id', value: contoso },
}

const tokenAnswer = (schema: string, value: object): Answer => ({
  description: 'The token.',
  headers: headersOf('Cache-Status', 'Cache-Control', 'Pragma', 'RateLimit-Policy', 'RateLimit'),
  content: json(schema, { token: { summary: 'For Microsoft Graph', value } }),
})

const documentAnswer = (schema: string, value: object): Answer => ({
  description: 'The document.',
  headers: headersOf('Cache-Control-Metadata'),
  content: json(schema, { document: { summary: 'With BROKER_PUBLIC_URL=https://broker.example', value } }),
})

const assertion = { client_assertion_type: jwtBearer, client_assertion: tokenText }

export const dialectOperations: Readonly<Record<string, Description>> = {
  issueOAuthToken: {
    tag: 'protocols',
    summary: 'Get a token as an OAuth library does',
    description:
      'Client credentials (RFC 6749 §4.4) with your own token as `client_assertion` or in `Authorization`, or with your ' +
      'client certificate; or token exchange (RFC 8693) with your token as `subject_token`. Two of them are 400. `tenant` ' +
      'and `application` are parameters of this broker. A refusal of the policy is `unauthorized_client`; in a token ' +
      'exchange, `invalid_target`.',
    guarded: true,
    security: inFormOrBeside,
    request: {
      name: 'OAuthTokenForm',
      examples: {
        client_credentials: {
          summary: 'Client credentials',
          value: { grant_type: 'client_credentials', tenant: 'contoso', scope: graph, ...assertion },
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
      },
    },
    answers: {
      200: tokenAnswer('OAuthToken', { access_token: tokenText, token_type: 'Bearer', expires_in: 3122, scope: graph }),
    },
  },
  issueEntraToken: {
    tag: 'protocols',
    summary: 'Get a token as an Azure SDK does of Entra',
    description:
      "Entra's own protocol, for unmodified Azure SDKs: your own token is the `client_assertion` (`Authorization`, or a " +
      'client certificate, in its place will do), and `client_id` chooses the application. Where Entra refused, the answer ' +
      'is as Entra gave it. 429 and 5xx carry `Retry-After` of 1 or 2.',
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
    answers: {
      200: tokenAnswer('EntraToken', {
        token_type: 'Bearer',
        expires_in: 3122,
        ext_expires_in: 3122,
        refresh_in: 2200,
        access_token: tokenText,
      }),
    },
  },
  getIdentityToken: {
    tag: 'protocols',
    summary: 'Get a token as an Azure SDK does of a managed identity',
    description:
      'The identity protocol of App Service and Container Apps: set `IDENTITY_ENDPOINT` to this URL and `IDENTITY_HEADER` ' +
      'to your credential; a client certificate does not stand in for it. `client_id` chooses an application by its client ' +
      'id; without it, the default one.',
    guarded: true,
    security: [{ identityHeader: [] }],
    parameters: {
      tenant: tenants,
      resource: { graph: { summary: 'Microsoft Graph', value: 'https://graph.microsoft.com' } },
      client_id: { default: { summary: 'One application', value: application } },
      'api-version': { current: { summary: 'As SDKs send it', value: '2019-08-01' } },
    },
    answers: {
      200: tokenAnswer('IdentityToken', {
        access_token: tokenText,
        expires_on: '1795384800',
        resource: 'https://graph.microsoft.com',
        token_type: 'Bearer',
        client_id: application,
      }),
    },
  },
  getOAuthMetadata: {
    tag: 'protocols',
    summary: 'Where the token endpoint is',
    description: 'Authorization server metadata (RFC 8414). Only with `BROKER_PUBLIC_URL`.',
    guarded: false,
    answers: {
      200: documentAnswer('OAuthMetadata', {
        issuer: origin,
        token_endpoint: `${origin}/oauth2/token`,
        response_types_supported: [],
        grant_types_supported: ['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'],
        token_endpoint_auth_methods_supported: ['private_key_jwt', 'none'],
        token_endpoint_auth_signing_alg_values_supported: ['RS256', 'ES256'],
      }),
    },
    examples: { not_found: ['not_found_public_url'] },
  },
  getOpenIdConfiguration: {
    tag: 'protocols',
    summary: 'The document that Azure SDKs read of an authority',
    description: 'The same for every well-formed tenant. Only with `BROKER_PUBLIC_URL`.',
    guarded: false,
    parameters: { tenant: tenants },
    answers: {
      200: documentAnswer('OpenIdConfiguration', {
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
}
