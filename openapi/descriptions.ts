import { operationsOperations } from './operations.ts'
import { dialectOperations } from './protocols.ts'
import { headersOf, type Description } from './components.ts'
import { tokenOperations } from './tokens.ts'

/**
 * Everything that `openapi.yaml` says and routes do not say by themselves. Only `openapi/build.ts` loads it, so it costs
 * the start of the broker nothing.
 */

export { components, headersOf, tags, type Description } from './components.ts'

/** The text at the top of the document, in Markdown. */
export const introduction = `Hands tenant-scoped access tokens of Microsoft Entra to authenticated callers, as a \
deny-by-default policy grants them.

**Credentials.** Operations with the security scheme \`bearerAuth\` take the caller's own token, a JWT of an issuer that \
the policy names, or an API key, as \`Authorization: Bearer <token>\`; what that caller may have or see is the policy's to \
say. Where a protocol of others has a place of its own for the credential, it is there. Operations without a security \
scheme are open.

**Errors.** Every error is \`application/problem+json\` (RFC 9457), except where an operation speaks a protocol of \
others, whose errors are that protocol's, with a stable \`code\` and a \`request_id\`, by which \
the log has it. What can succeed by itself carries \`Retry-After\`. Besides the errors that an operation lists, any \
request can meet those that are answered before an operation sees it: \`invalid_request\` (400, no valid HTTP/1.1, or no \
valid path), \`not_found\` (404, no such path; \`/path/\` is not \`/path\`), \`method_not_allowed\` (405, \`Allow\` has \
the methods that are), \`request_timeout\` (408, it did not arrive in time) and \`headers_too_large\` (431, over 16 KiB). \
They are the \`default\` response of each operation.

**Changes.** Later versions may add members to answers, codes to errors and values of \`Cache-Status\`: pass over what \
you do not know. Unknown members of a body are refused, and so are unknown parameters where an operation has parameters: \
they may be misspelt known ones.

**Listeners.** With \`MANAGEMENT_PORT\` the probes, the operations and this documentation are answered by a listener of \
their own instead of the main one, and there \`/metrics\` needs no credential.`

const docsHeaders = headersOf('Cache-Control-Docs', 'Content-Security-Policy')
const content = (mediaType: string) => ({ [mediaType]: { schema: { type: 'string' } } })

const docsOperations: Readonly<Record<string, Description>> = {
  getDescription: {
    tag: 'documentation',
    summary: 'This document as JSON',
    description: "The same as `openapi.yaml` in the sources of the broker's version.",
    guarded: false,
    answers: {
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
  getDocs: {
    tag: 'documentation',
    summary: 'This document as a page',
    description:
      'Swagger UI, served without any outside asset, for reading: it sends no requests and takes no credential.',
    guarded: false,
    answers: { 200: { description: 'The page.', headers: docsHeaders, content: content('text/html') } },
  },
  getDocsAsset: {
    tag: 'documentation',
    summary: 'Parts of the page',
    description: 'Scripts, style and icon of `/docs`.',
    guarded: false,
    parameters: { file: { style: { summary: 'Its style', value: 'swagger-ui.css' } } },
    answers: {
      200: {
        description: 'The part.',
        headers: docsHeaders,
        content: { ...content('text/javascript'), ...content('text/css'), 'image/png': { schema: {} } },
      },
    },
  },
}

/** The words for every operation, by its `operationId`. */
export const descriptions: Readonly<Record<string, Description>> = {
  ...tokenOperations,
  ...dialectOperations,
  ...operationsOperations,
  ...docsOperations,
}
