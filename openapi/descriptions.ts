import { operationsOperations } from './operations.ts'
import { endpointWords } from './endpoint-words.ts'
import { headersOf, type Description } from './components.ts'
import { tokenOperations } from './purge.ts'

/** Everything in `openapi.yaml` that the routes do not contain. Only `openapi/build.ts` loads it. */

/** The text at the top of the document, in Markdown. */
export const introduction = `Issues tenant-scoped access tokens of Microsoft Entra to authenticated callers, as a \
deny-by-default policy grants them.

**Credentials.** Operations with the security scheme \`bearerAuth\` take the caller's own token, a JWT of an issuer that \
the policy names, or an API key, as \`Authorization: Bearer <token>\`. The policy decides what that caller may do. In \
other protocols the credential is where the protocol has it. Operations without a security scheme are open.

**Errors.** Every error is \`application/problem+json\` (RFC 9457) with a stable \`code\` and a \`request_id\`, which the \
log has too. Operations in other protocols return the errors of those protocols. If the same request can succeed later, \
the response has \`Retry-After\`. Besides the errors that an operation lists, any request can get the errors of requests \
that reach no operation: \`invalid_request\` (400, invalid HTTP/1.1 or an invalid path), \`not_found\` (404, an unknown \
path; \`/path/\` is not \`/path\`), \`method_not_allowed\` (405, \`Allow\` has the allowed methods), \
\`request_timeout\` (408, it did not arrive in time) and \`headers_too_large\` (431, over 16 KiB). They are the \
\`default\` response of each operation.

**Changes.** Later versions may add fields to responses, codes to errors and values to \`Cache-Status\`: ignore those \
that you do not know. The broker refuses unknown fields of a body, and unknown parameters of an operation that has \
parameters, because they may be misspelt. The forms and queries of other protocols may have further parameters.

**Listeners.** With \`MANAGEMENT_PORT\`, the probes, the operations and this documentation move from the main listener to \
a listener of their own, where \`/metrics\` needs no credential.`

const docsHeaders = headersOf('Cache-Control-Docs', 'Content-Security-Policy')
const pageHeaders = headersOf('Cache-Control-Docs', 'Content-Security-Policy', 'ETag')
const unchanged = { description: '`If-None-Match` has the current tag.', headers: pageHeaders, content: {} }
const content = (mediaType: string) => ({ [mediaType]: { schema: { type: 'string' } } })

const text = { type: 'string' } as const
const texts = { type: 'array', items: text } as const
const signIn = {
  type: 'object',
  properties: {
    issuer: { ...text, description: 'As in the policy.' },
    client_id: { ...text, description: "The dashboard's client id at the issuer." },
    scope: { ...text, description: 'What the page requests, separated by spaces.' },
    server: {
      type: 'object',
      description: "The issuer's metadata, named as there. Absent while the broker could not read it.",
      properties: {
        issuer: text,
        authorization_endpoint: text,
        token_endpoint: text,
        response_modes_supported: texts,
        id_token_signing_alg_values_supported: texts,
        authorization_response_iss_parameter_supported: { type: 'boolean' },
      },
      required: ['issuer', 'authorization_endpoint', 'token_endpoint'],
      additionalProperties: false,
    },
  },
  additionalProperties: false,
} as const
const entra = 'https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000004'
const signInExamples = {
  entra: {
    summary: 'Entra',
    value: {
      issuer: `${entra}/v2.0`,
      client_id: '8c8b8a89-0000-4000-8000-000000000007',
      scope: 'openid 7b7a7978-0000-4000-8000-000000000005/.default',
      server: {
        issuer: `${entra}/v2.0`,
        authorization_endpoint: `${entra}/oauth2/v2.0/authorize`,
        token_endpoint: `${entra}/oauth2/v2.0/token`,
        response_modes_supported: ['query', 'fragment', 'form_post'],
        id_token_signing_alg_values_supported: ['RS256'],
      },
    },
  },
  none: { summary: 'People can only paste a credential', value: {} },
} as const

const docsOperations: Readonly<Record<string, Description>> = {
  getDescription: {
    tag: 'documentation',
    summary: 'This document as JSON',
    description: "The same as `openapi.yaml` in the sources of the broker's version.",
    guarded: false,
    responses: {
      200: {
        description: 'An OpenAPI 3.1 document.',
        headers: docsHeaders,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              properties: {
                openapi: { type: 'string', pattern: '^3\\.1\\.' },
                info: { type: 'object' },
                paths: { type: 'object' },
              },
              required: ['openapi', 'info', 'paths'],
              additionalProperties: true,
            },
            examples: {
              beginning: {
                summary: 'Shortened',
                value: { openapi: '3.1.0', info: { title: 'Tenant token broker', version: '0.1.0' }, paths: {} },
              },
            },
          },
        },
      },
    },
  },
  getDashboard: {
    tag: 'operations',
    summary: 'The dashboard',
    description:
      'A page that shows what is wrong and what to do. It contains no data. It asks for a credential with the permission ' +
      '`observe`, keeps it in memory only, and reads the other operations with it.',
    guarded: false,
    responses: {
      200: { description: 'The page.', headers: pageHeaders, content: content('text/html') },
      304: unchanged,
    },
  },
  getSignIn: {
    tag: 'operations',
    summary: 'How people sign in to the dashboard',
    description:
      'The issuer with which people sign in (`BROKER_DASHBOARD_CLIENT_ID`), from its public metadata. Empty if they can ' +
      'only paste a credential. It contains nothing secret, and the page reads it before anyone is signed in.',
    guarded: false,
    responses: {
      200: {
        description: 'The issuer, if there is one.',
        headers: headersOf('Cache-Control'),
        content: { 'application/json': { schema: signIn, examples: signInExamples } },
      },
    },
  },
  getDashboardPart: {
    tag: 'operations',
    summary: 'Parts of the dashboard',
    description: 'Scripts, style and icon of `/dashboard`.',
    guarded: false,
    parameters: {
      folder: { view: { summary: 'What is visible', value: 'view' } },
      file: { style: { summary: 'Its style', value: 'style.css' } },
    },
    responses: {
      200: {
        description: 'The part.',
        headers: pageHeaders,
        content: { ...content('text/javascript'), ...content('text/css'), ...content('image/svg+xml') },
      },
      304: unchanged,
    },
  },
  getDocs: {
    tag: 'documentation',
    summary: 'This document as a page',
    description:
      'Swagger UI, served without any outside asset, for reading: it sends no requests and takes no credential.',
    guarded: false,
    responses: { 200: { description: 'The page.', headers: docsHeaders, content: content('text/html') } },
  },
  getDocsAsset: {
    tag: 'documentation',
    summary: 'Parts of the page',
    description: 'Scripts, style and icon of `/docs`.',
    guarded: false,
    parameters: { file: { style: { summary: 'Its style', value: 'swagger-ui.css' } } },
    responses: {
      200: {
        description: 'The part.',
        headers: docsHeaders,
        content: { ...content('text/javascript'), ...content('text/css'), 'image/png': { schema: {} } },
      },
    },
  },
}

/** The texts of every operation, by its `operationId`. */
export const descriptions: Readonly<Record<string, Description>> = {
  ...Object.fromEntries(endpointWords.flatMap(({ operations }) => Object.entries(operations))),
  ...tokenOperations,
  ...operationsOperations,
  ...docsOperations,
}
