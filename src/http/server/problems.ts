import type { FastifyRequest } from 'fastify'
import { membersOf } from '../../broker/lib/json-members.ts'
import { asBrokerError, BrokerError, errorTable, type ErrorCode, type LimitFacts } from '../../errors.ts'

/** One answer to a request that failed: RFC 9457 problem details, or what else an endpoint's clients read. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body: string
}

/** How an endpoint tells its clients of an error. */
export type AnswerError = (error: BrokerError, request: FastifyRequest) => Problem

/** Errors as problem details: what is answered wherever an endpoint does not say otherwise. */
export const answerProblem: AnswerError = (error, request) => problemOf(error, request.id)

/** An error as `application/problem+json`. */
export function problemOf(error: BrokerError, requestId: string): Problem {
  const { status, title } = errorTable[error.code]
  const { retryAfter, message: detail, code } = error
  const { remedy, upstream, availableExpiresIn } = error.parts
  const body = {
    type: `urn:token-broker:error:${code}`,
    title,
    status,
    detail,
    code,
    request_id: requestId,
    retry_after: retryAfter,
    available_expires_in: availableExpiresIn,
    remedy,
    upstream: upstream && {
      error: upstream.error,
      codes: upstream.codes,
      trace_id: upstream.traceId,
      correlation_id: upstream.correlationId,
    },
  }
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(status === 401 && { 'www-authenticate': challenge(code, detail) }),
    },
    body: JSON.stringify(body),
  }
}

/**
 * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): what is limited and what is left of it.
 * The rule is not named.
 */
export const limitHeaders = ({ what, count, seconds, remaining, resetIn }: LimitFacts) => ({
  'ratelimit-policy': `"${what}";q=${count};w=${seconds}`,
  ratelimit: `"${what}";r=${remaining};t=${resetIn}`,
})

/** `WWW-Authenticate` (RFC 6750 §3): without an error code where no credential came. */
const challenge = (code: ErrorCode, detail: string): string =>
  code === 'unauthenticated'
    ? 'Bearer realm="token-broker"'
    : `Bearer realm="token-broker", error="invalid_token", error_description="${detail.replace(/["\\]/g, "'")}"`

/** Fastify's own codes → ours. Others are judged by their status. */
const fastifyErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'Send "Content-Type: application/json".'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['too_large', 'The body may have 16 KiB at most.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'invalid_request',
    'The body does not have the length that Content-Length says.',
  ],
  FST_ERR_BAD_URL: ['invalid_request', 'The path is not a valid URL path.'],
}

/** What Fastify (or anything below it) threw, as one of our errors; what nobody foresaw is `internal_error`. */
export function errorOf(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown
  const { code, statusCode } = membersOf(thrown)
  const known = typeof code === 'string' ? fastifyErrors[code] : undefined
  if (known) return new BrokerError(...known)
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new BrokerError('invalid_request', 'The request is malformed.', { cause: thrown })
  }
  return asBrokerError(thrown)
}
