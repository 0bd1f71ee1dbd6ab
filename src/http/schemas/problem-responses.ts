import { errorTable, type ErrorCode } from '../../errors.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** By which `descriptions.ts` finds the words for a route. */
    operationId?: string
  }
}

/** What any route can answer: a request without `Host`, and a bug. */
export const routeErrors = ['invalid_request', 'internal_error'] as const satisfies readonly ErrorCode[]

/** What a route can answer besides, because it asks who calls. */
export const callerErrors = [
  'unauthenticated',
  'invalid_token',
  'rate_limited',
  'issuer_unavailable',
] as const satisfies readonly ErrorCode[]

/** A response of one status, as OpenAPI has it: the codes stand in the names of its examples. */
export interface ProblemResponse {
  readonly description: string
  readonly content: {
    readonly 'application/problem+json': {
      readonly schema: { readonly $ref: string }
      readonly examples: Readonly<Record<string, { readonly $ref: string }>>
    }
  }
}

/**
 * The `response` members of a route's schema: every error that it can answer, by status. For the description only: what
 * the references lead to is made where `openapi.yaml` is.
 */
export const problems = (...codes: readonly ErrorCode[]): Readonly<Record<string, ProblemResponse>> =>
  Object.fromEntries(
    [...Map.groupBy(new Set(codes), code => errorTable[code].status)].map(([status, group]) => [
      status,
      problemResponse(group),
    ]),
  )

/** {@link problems} of one status. */
export const problemResponse = (codes: readonly ErrorCode[]): ProblemResponse => ({
  description: codes.map(code => `\`${code}\`: ${errorTable[code].title}.`).join('\n'),
  content: {
    'application/problem+json': {
      schema: { $ref: '#/components/schemas/Problem' },
      examples: Object.fromEntries(codes.map(code => [code, { $ref: `#/components/examples/${code}` }])),
    },
  },
})
