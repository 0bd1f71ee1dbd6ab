import { errorTable, type ErrorCode } from '../../errors.ts'
import { problemDetails, type Protocol } from '../server/problems.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The key of the route's words in `openapi/descriptions.ts`. */
    operationId?: string
    /** Whether `openapi.yaml` does not have the route. */
    hide?: boolean
  }
}

/** The errors of every route: a request without `Host`, and a bug. */
export const routeErrors = ['invalid_request', 'internal_error'] as const satisfies readonly ErrorCode[]

/** Further errors of a route that authenticates its callers. */
export const callerErrors = [
  'unauthenticated',
  'invalid_token',
  'rate_limited',
  'issuer_unavailable',
] as const satisfies readonly ErrorCode[]

/** An error response of one status, as OpenAPI has it. The keys of its examples are the codes. */
export interface ErrorResponse {
  readonly description: string
  /** By media type. */
  readonly content: Readonly<
    Record<
      string,
      {
        readonly schema: { readonly $ref: string }
        readonly examples: Readonly<Record<string, { readonly $ref: string }>>
      }
    >
  >
}

/**
 * The `response` of a route's schema: each error that the route can return, by its status in the protocol. For the
 * description only; `openapi/` makes the components that it refers to.
 */
export const errorResponses = (
  protocol: Protocol,
  codes: readonly ErrorCode[],
): Readonly<Record<string, ErrorResponse>> =>
  Object.fromEntries(
    [...Map.groupBy(new Set(codes), protocol.statusOf)].map(([status, group]) => [
      status,
      errorResponse(protocol, group),
    ]),
  )

/** {@link errorResponses} of one status. */
export const errorResponse = (protocol: Protocol, codes: readonly ErrorCode[]): ErrorResponse => ({
  description: codes.map(code => `\`${code}\`: ${errorTable[code].title}.`).join('\n'),
  content: {
    [protocol.mediaType]: {
      schema: { $ref: `#/components/schemas/${protocol.errorSchema}` },
      examples: Object.fromEntries(
        codes.map(code => [code, { $ref: `#/components/examples/${exampleName(protocol, code)}` }]),
      ),
    },
  },
})

/** The name of a code's example under `components`. */
export const exampleName = (protocol: Protocol, code: ErrorCode): string =>
  protocol === problemDetails ? code : `${protocol.errorSchema}_${code}`

/** {@link errorResponses} as problem details. */
export const problems = (...codes: readonly ErrorCode[]): Readonly<Record<string, ErrorResponse>> =>
  errorResponses(problemDetails, codes)
