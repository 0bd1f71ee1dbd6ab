import type { TSchema } from 'typebox'
import type { ErrorCode } from '../src/errors.ts'
import { problemExamples, type Example, type ProblemExample } from './problem-examples.ts'
import { cacheEntries, cacheEntry, cacheFailure, cacheFailures, decision, decisions } from './list-responses.ts'
import { cacheStatistics, health, purged } from './operation-responses.ts'
import { liveness, problem, readiness } from './responses.ts'
import { errorResponse } from '../src/http/schemas/problem-responses.ts'
import { problemDetails } from '../src/http/server/problems.ts'

/** What `openapi.yaml` has under `components`, and the type of an operation's words. */

interface Header {
  readonly description: string
  readonly required: boolean
  readonly schema: Readonly<Record<string, unknown>>
}

const header = (description: string, schema: Header['schema'], required = true): Header => ({
  description,
  required,
  schema: { type: 'string', ...schema },
})

/** Response headers by name. A header that differs between operations has a suffix, which `headersOf` removes. */
const headers = {
  'Cache-Control': header('Responses must not be stored.', { const: 'no-store' }),
  'Cache-Control-Docs': header('Revalidate before each use. The content changes only when the broker is updated.', {
    const: 'no-cache',
  }),
  'Cache-Status': header(
    'Where the token came from (RFC 9211). `hit`: from the cache, which serves it for `ttl` more seconds; with ' +
      '`detail=due` a refresh runs in the background, with `detail=refresh-failed` the last one failed. `fwd=miss`: no ' +
      'token was cached; with `collapsed` the request joined an exchange that was already running. `fwd=stale`: the cached ' +
      'token had expired. `fwd=request`: `min_expires_in` required a longer life. `token-broker-shared; hit`: from the ' +
      'second level, which the replicas share.',
    {
      pattern:
        '^token-broker; (hit; ttl=[0-9]+(; detail=(due|refresh-failed))?|' +
        'fwd=(miss(; collapsed|, token-broker-shared; hit)?|stale|request))$',
      examples: [
        'token-broker; hit; ttl=2951',
        'token-broker; hit; ttl=710; detail=due',
        'token-broker; hit; ttl=655; detail=refresh-failed',
        'token-broker; fwd=miss',
        'token-broker; fwd=miss; collapsed',
        'token-broker; fwd=stale',
        'token-broker; fwd=request',
        'token-broker; fwd=miss, token-broker-shared; hit',
      ],
    },
  ),
  'Cache-Control-Metadata': header('May be cached for five minutes.', { const: 'public, max-age=300' }),
  Pragma: header('For caches of HTTP/1.0 (RFC 6749 §5.1).', { const: 'no-cache' }),
  'Retry-After': header('Seconds after which the same request may succeed; also `retry_after` in the body.', {
    pattern: '^[1-9][0-9]*$',
    examples: ['5'],
  }),
  'RateLimit-Policy': header(
    'The limit of the rule: `q` requests or exchanges in `w` seconds (draft-ietf-httpapi-ratelimit-headers). Present ' +
      'only if the rule has a limit.',
    { pattern: '^"(requests|exchanges)";q=[0-9]+;w=[0-9]+$', examples: ['"requests";q=60;w=60'] },
    false,
  ),
  RateLimit: header(
    'What remains of the limit: `r` requests or exchanges, and `t` seconds until more are available.',
    { pattern: '^"(requests|exchanges)";r=[0-9]+;t=[0-9]+$', examples: ['"requests";r=12;t=48'] },
    false,
  ),
  'WWW-Authenticate': header('Which credential to send, and why the one sent was refused (RFC 6750 §3).', {
    pattern: '^Bearer realm="token-broker"(, error="invalid_token", error_description="[^"\\\\]+")?$',
    examples: [
      'Bearer realm="token-broker"',
      'Bearer realm="token-broker", error="invalid_token", error_description="The token has expired."',
    ],
  }),
  'WWW-Authenticate-Protocols': header(
    'Which credential to send. Absent if the error is that of Entra.',
    {
      pattern:
        '^(Bearer realm="token-broker"(, error="invalid_token")?|(Basic|X-IDENTITY-HEADER) realm="token-broker")$',
      examples: ['Bearer realm="token-broker"', 'Basic realm="token-broker"', 'X-IDENTITY-HEADER realm="token-broker"'],
    },
    false,
  ),
  Allow: header('With 405: the methods that the path allows.', { examples: ['POST'] }, false),
  ETag: header('Changes with the content. Send it as `If-None-Match`.', { pattern: '^"[\\w-]{22}"$' }),
  'Content-Security-Policy': header('Allows nothing from other origins.', { pattern: "^default-src 'none'; " }),
} as const satisfies Readonly<Record<string, Header>>

/** The key of a header in `components.headers`. */
const headerComponent = (name: string): string => name.replaceAll('-', '')

/** A key of the headers above. */
export type HeaderName = keyof typeof headers

/** The `headers` of a response, by reference. */
export const headersOf = (...names: readonly HeaderName[]) =>
  Object.fromEntries(
    names.map(name => [
      name.replace(/-(?:Docs|Metadata|Protocols)$/, ''),
      { $ref: `#/components/headers/${headerComponent(name)}` },
    ]),
  )

/** The errors of requests that reach no route. */
const unrouted: readonly ErrorCode[] = [
  'invalid_request',
  'not_found',
  'method_not_allowed',
  'request_timeout',
  'headers_too_large',
]

const operationSchemas: Readonly<Record<string, TSchema>> = {
  Purged: purged,
  Liveness: liveness,
  Readiness: readiness,
  Health: health,
  CacheStatistics: cacheStatistics,
  CacheEntries: cacheEntries,
  CacheEntry: cacheEntry,
  CacheFailures: cacheFailures,
  CacheFailure: cacheFailure,
  Decisions: decisions,
  Decision: decision,
}

/**
 * Everything under `components` that does not come from routes.
 *
 * @param schemas those of the token endpoints
 * @param examples those of errors in protocols other than problem details
 */
export const componentsOf = (
  schemas: Readonly<Record<string, TSchema>>,
  examples: Readonly<Record<string, Example>>,
) => ({
  securitySchemes: {
    bearerAuth: {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
      description:
        "The caller's own token: a JWT of one of the policy's issuers for one of that issuer's audiences, or an API key " +
        '(RFC 6750 §2.1). A JWT that is bound to a client certificate (RFC 8705) needs that certificate too.',
    },
    clientSecretBasic: {
      type: 'http',
      scheme: 'basic',
      description:
        'The client id and an API key of the policy, both form-encoded (RFC 6749 §2.3.1). With an empty password it only ' +
        'names the client, and is no credential.',
    },
    clientCertificate: {
      type: 'mutualTLS',
      description:
        'A client certificate of an authority in `TLS_CLIENT_CA_FILE`. It identifies the caller only if the request has no ' +
        '`Authorization` header, or one with HTTP Basic and an empty password where that is accepted.',
    },
    identityHeader: {
      type: 'apiKey',
      in: 'header',
      name: 'X-IDENTITY-HEADER',
      description: "An API key of the policy, or the caller's own token: the value of `IDENTITY_HEADER`.",
    },
    identitySecret: {
      type: 'apiKey',
      in: 'header',
      name: 'secret',
      description: 'The same in the protocol of 2017-09-01: the value of `MSI_SECRET`.',
    },
  },
  schemas: { Problem: problem, ...schemas, ...operationSchemas },
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [headerComponent(name), value])),
  responses: {
    Unrouted: {
      ...errorResponse(problemDetails, unrouted),
      description: 'Any other error, such as the errors of requests that reach no operation.',
      headers: headersOf('Cache-Control', 'Allow'),
    },
  },
  examples: { ...problemExamples, ...examples },
})

/** Groups of operations. */
export const tags = [
  {
    name: 'tokens',
    description: 'Access tokens of Microsoft Entra, for callers that the policy permits.',
  },
  {
    name: 'protocols',
    description: 'The same tokens in the protocols of OAuth libraries and Azure SDKs.',
  },
  { name: 'probes', description: 'For orchestrators and load balancers. Open; they return only a status.' },
  {
    name: 'operations',
    description:
      'The state of the broker, for callers with the permission `observe`. No operation sends a request to an upstream.',
  },
  { name: 'documentation', description: 'This description. Open; it contains no data of the broker.' },
] as const

/** A body, by media type. */
export type Content = Readonly<
  Record<
    string,
    {
      readonly schema: Readonly<Record<string, unknown>>
      readonly examples?: Readonly<Record<string, Example>>
    }
  >
>

/** A successful response, or a 503 of `/readyz`. */
export interface Response {
  readonly description: string
  readonly headers: ReturnType<typeof headersOf>
  readonly content: Content
}

/** The texts and examples of one operation: everything that its route does not contain. */
export interface Description {
  readonly tag: (typeof tags)[number]['name']
  readonly summary: string
  readonly description: string
  /** Whether it needs a credential. */
  readonly guarded: boolean
  /** Where the credential is, if not as `bearerAuth` or a client certificate. */
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  /** If the route has a body: the name of its schema, and examples. */
  readonly request?: { readonly name: string; readonly examples: Readonly<Record<string, Example>> }
  /** Examples of parameters, by their names. */
  readonly parameters?: Readonly<Record<string, Readonly<Record<string, Example>>>>
  /** Responses other than errors, by status. */
  readonly responses: Readonly<Record<number, Response>>
  /** Examples of an error that are more specific to this operation than the code's own. */
  readonly examples?: Readonly<Partial<Record<ErrorCode, readonly ProblemExample[]>>>
}

/** JSON of a schema under `components`, with one example or several. */
export const json = (schema: string, examples: Readonly<Record<string, Example>>): Content => ({
  'application/json': { schema: { $ref: `#/components/schemas/${schema}` }, examples },
})
