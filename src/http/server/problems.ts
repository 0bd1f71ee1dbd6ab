import type { FastifyRequest } from 'fastify'
import { membersOf } from '../../broker/lib/json-members.ts'
import { asBrokerError, BrokerError, errorTable, type ErrorCode, type LimitFacts } from '../../errors.ts'
import { traceIdOf, type TracedRequest } from './observation/server-spans.ts'

/** The response to a request that failed: RFC 9457 problem details, or the error of another protocol. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body: string
}

/** The parts of a request on which the response to its failure can depend. */
export type FailedRequest = Pick<FastifyRequest, 'id' | 'body' | 'headers'> & TracedRequest

/** How an endpoint reports errors. One value per protocol; `openapi.yaml` is made from the same value. */
export interface Protocol {
  /** The name of the schema of an error in `openapi.yaml`. */
  readonly errorSchema: string
  /** The media type of an error. */
  readonly mediaType: 'application/json' | 'application/problem+json'
  /** The HTTP status of a code. {@link writeError} may choose another one for a particular error of that code. */
  readonly statusOf: (code: ErrorCode) => number
  /** Makes the response to a request that failed with this error. */
  readonly writeError: (error: BrokerError, request: FailedRequest) => Problem
}

/** Errors as RFC 9457 problem details: the protocol of every route that does not name another one. */
export const problemDetails: Protocol = {
  errorSchema: 'Problem',
  mediaType: 'application/problem+json',
  statusOf: code => errorTable[code].status,
  writeError: (error, request) => problemOf(error, request.id, traceIdOf(request)),
}

/**
 * An error as `application/problem+json`.
 * @param traceId the trace of which the request is a part, if it is known
 * @param status the HTTP status, where a protocol has another one than `POST /tokens`
 */
export function problemOf(
  error: BrokerError,
  requestId: string,
  traceId?: string,
  status = errorTable[error.code].status,
): Problem {
  const { title } = errorTable[error.code]
  const { retryAfter, message: detail, code } = error
  const { remedy, upstream, availableExpiresIn } = error.parts
  const body = {
    type: `urn:token-broker:error:${code}`,
    title,
    status,
    detail,
    code,
    request_id: requestId,
    trace_id: traceId,
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
 * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): what is limited and how much is left.
 * They do not name the policy's rule.
 */
export const limitHeaders = ({ what, count, seconds, remaining, resetIn }: LimitFacts) => ({
  'ratelimit-policy': `"${what}";q=${count};w=${seconds}`,
  ratelimit: `"${what}";r=${remaining};t=${resetIn}`,
})

/** `WWW-Authenticate` (RFC 6750 §3): without an error code where the request has no credential. */
const challenge = (code: ErrorCode, detail: string): string =>
  code === 'unauthenticated'
    ? 'Bearer realm="token-broker"'
    : `Bearer realm="token-broker", error="invalid_token", error_description="${headerText(detail)}"`

/** A text in the characters that a header's value, and RFC 6750 §3, allow. */
const headerText = (text: string): string => text.replace(/["\\]/g, "'").replace(/[^ -~]/g, '?')

/** The broker's code and detail for each of these Fastify errors. Any other error is classified by its status. */
const fastifyErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  // Of methods whose routes read no body.
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'This endpoint reads no body; send none.'],
  FST_ERR_BAD_URL: ['invalid_request', 'The path is not a valid URL path.'],
}

/** Anything that Fastify or a handler threw, as a BrokerError. An unexpected error becomes `internal_error`. */
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
