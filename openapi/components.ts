import type { TSchema } from 'typebox'
import type { ErrorCode } from '../src/errors.ts'
import { problemExamples, type Example, type ProblemExample } from './problem-examples.ts'
import { dialectExamples } from './protocol-error-examples.ts'
import { dialectSchemas } from './protocol-answers.ts'
import { cacheEntries, cacheEntry, cacheStatistics, health, purged } from './operation-answers.ts'
import { liveness, problem, readiness, token } from './answers.ts'
import { problemResponse } from '../src/http/schemas/problem-responses.ts'

/** What `openapi.yaml` has under `components`, and the form of what is said about one operation. */

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

/** Headers of answers, by their names; those of one name that differ have a name of their own here. */
const headers = {
  'Cache-Control': header('Answers are not to be stored.', { const: 'no-store' }),
  'Cache-Control-Docs': header('The same until the broker is updated: ask whether it has changed.', {
    const: 'no-cache',
  }),
  'Cache-Status': header(
    'Where the token came from (RFC 9211). `hit`: held, for `ttl` more seconds; with `detail=due` a refresh runs in the ' +
      'background, with `detail=refresh-failed` the last one failed. `fwd=miss`: none was held; `collapsed`: an exchange ' +
      'that ran already was joined. `fwd=stale`: the one held had expired. `fwd=request`: `min_expires_in` asked for a ' +
      'longer life.',
    {
      pattern:
        '^token-broker; (hit; ttl=[0-9]+(; detail=(due|refresh-failed))?|fwd=(miss(; collapsed)?|stale|request))$',
      examples: [
        'token-broker; hit; ttl=2951',
        'token-broker; hit; ttl=710; detail=due',
        'token-broker; hit; ttl=655; detail=refresh-failed',
        'token-broker; fwd=miss',
        'token-broker; fwd=miss; collapsed',
        'token-broker; fwd=stale',
        'token-broker; fwd=request',
      ],
    },
  ),
  'Cache-Control-Metadata': header('The same for five minutes.', { const: 'public, max-age=300' }),
  Pragma: header('For caches of HTTP/1.0 (RFC 6749 §5.1).', { const: 'no-cache' }),
  'Retry-After': header('Seconds after which the same request may succeed; also `retry_after` in the body.', {
    pattern: '^[1-9][0-9]*$',
    examples: ['5'],
  }),
  'RateLimit-Policy': header(
    'What the rule limits: `q` requests or exchanges in `w` seconds (draft-ietf-httpapi-ratelimit-headers). Only where ' +
      'something limits them.',
    { pattern: '^"(requests|exchanges)";q=[0-9]+;w=[0-9]+$', examples: ['"requests";q=60;w=60'] },
    false,
  ),
  RateLimit: header(
    'What is left of it: `r`, and `t` seconds until there is more.',
    { pattern: '^"(requests|exchanges)";r=[0-9]+;t=[0-9]+$', examples: ['"requests";r=12;t=48'] },
    false,
  ),
  'WWW-Authenticate': header('What to send, and after a credential that was not accepted, why (RFC 6750 §3).', {
    pattern: '^Bearer realm="token-broker"(, error="invalid_token", error_description="[^"\\\\]+")?$',
    examples: [
      'Bearer realm="token-broker"',
      'Bearer realm="token-broker", error="invalid_token", error_description="The token has expired."',
    ],
  }),
  'WWW-Authenticate-Protocols': header(
    'What to send. Absent where the answer is that of Entra.',
    {
      pattern: '^(Bearer realm="token-broker"(, error="invalid_token")?|X-IDENTITY-HEADER realm="token-broker")$',
      examples: ['Bearer realm="token-broker"', 'X-IDENTITY-HEADER realm="token-broker"'],
    },
    false,
  ),
  Allow: header('With 405: the methods that the path answers.', { examples: ['POST'] }, false),
  'Content-Security-Policy': header('Nothing from elsewhere.', { pattern: "^default-src 'none'; " }),
} as const satisfies Readonly<Record<string, Header>>

/** Where a header stands in `components.headers`, which must not be confused with its name. */
const headerComponent = (name: string): string => name.replaceAll('-', '')

export type HeaderName = keyof typeof headers

/** Header members of a response, by reference. */
export const headersOf = (...names: readonly HeaderName[]) =>
  Object.fromEntries(
    names.map(name => [
      name.replace(/-(?:Docs|Metadata|Protocols)$/, ''),
      { $ref: `#/components/headers/${headerComponent(name)}` },
    ]),
  )

/** What is answered when a request reaches no route: {@link problemResponse} with `Allow`. */
const unrouted: readonly ErrorCode[] = [
  'invalid_request',
  'not_found',
  'method_not_allowed',
  'request_timeout',
  'headers_too_large',
]

const schemas: Readonly<Record<string, TSchema>> = {
  Problem: problem,
  ...dialectSchemas,
  Token: token,
  Purged: purged,
  Liveness: liveness,
  Readiness: readiness,
  Health: health,
  CacheStatistics: cacheStatistics,
  CacheEntries: cacheEntries,
  CacheEntry: cacheEntry,
}

export const components = {
  securitySchemes: {
    bearerAuth: {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
      description:
        "The caller's own token: a JWT of one of the policy's issuers, for one of that issuer's audiences, or an API key " +
        '(RFC 6750 §2.1). A JWT that is bound to a client certificate (RFC 8705) needs that certificate, too.',
    },
    clientCertificate: {
      type: 'mutualTLS',
      description:
        'A client certificate of an authority that the broker knows, where it does; only without an `Authorization` header.',
    },
    identityHeader: {
      type: 'apiKey',
      in: 'header',
      name: 'X-IDENTITY-HEADER',
      description: "An API key of the policy, or the caller's own token: what `IDENTITY_HEADER` is set to.",
    },
  },
  schemas,
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [headerComponent(name), value])),
  responses: {
    Unrouted: {
      ...problemResponse(unrouted),
      description: 'Any other error, among them what is answered before an operation sees the request.',
      headers: headersOf('Cache-Control', 'Allow'),
    },
  },
  examples: { ...problemExamples, ...dialectExamples },
}

export const tags = [
  {
    name: 'tokens',
    description: 'Access tokens of Microsoft Entra, for callers whom the policy permits to have them.',
  },
  {
    name: 'protocols',
    description: 'The same tokens in protocols of others, for clients that speak those: OAuth libraries, Azure SDKs.',
  },
  { name: 'probes', description: 'For orchestrators and load balancers: open, nothing but the verdict.' },
  {
    name: 'operations',
    description: 'The state of the broker, for callers with the permission `observe`. None asks an upstream.',
  },
  { name: 'documentation', description: 'This description: open, without data of the broker.' },
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

/** An answer that is no problem. */
export interface Answer {
  readonly description: string
  readonly headers: ReturnType<typeof headersOf>
  readonly content: Content
}

/** What is said about one operation, beside what its route says by itself. */
export interface Description {
  readonly tag: (typeof tags)[number]['name']
  readonly summary: string
  readonly description: string
  /** Whether it needs a credential. */
  readonly guarded: boolean
  /** How the credential comes, where not as `bearerAuth` alone. */
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  /** Where the route has a body: the name of its schema, and examples. */
  readonly request?: { readonly name: string; readonly examples: Readonly<Record<string, Example>> }
  /** Examples of parameters, by their names. */
  readonly parameters?: Readonly<Record<string, Readonly<Record<string, Example>>>>
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>
  /** Examples of a code that say more here than the code's own. */
  readonly examples?: Readonly<Partial<Record<ErrorCode, readonly ProblemExample[]>>>
}

/** JSON of a schema under `components`, with one example or several. */
export const json = (schema: string, examples: Readonly<Record<string, Example>>): Content => ({
  'application/json': { schema: { $ref: `#/components/schemas/${schema}` }, examples },
})
