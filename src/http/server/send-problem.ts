import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { Events } from '../../broker/events.ts'
import { asBrokerError } from '../../errors.ts'
import { closeIfEarly } from './early-responses.ts'
import type { OtherEndpoint } from './endpoints.ts'
import type { KnownPaths } from './known-paths.ts'
import { errorOf, limitHeaders, problemDetails, type Protocol } from './problems.ts'
import { classOf } from './observation/latency.ts'
import { traceIdOf } from './observation/server-spans.ts'

/** What responses to failed requests need. */
export interface ProblemParts {
  /** Gets unexpected errors. */
  readonly log: FastifyBaseLogger
  /** Called for every request that ends in an error. */
  readonly responded: Events['responded']
  /** The paths of the server's routes. */
  readonly paths: KnownPaths
}

/** The endpoint of requests that reached no route. */
export const noEndpoint: OtherEndpoint = 'none'

/**
 * Responds to a request that failed. If that fails too, as when the protocol has a bug, this second error is logged, and
 * the response is a 500 as problem details. The request is counted as `internal_error` then.
 *
 * @param thrown what Fastify or a handler threw; all but a `BrokerError`, and what the client caused, is logged
 * @param protocol how the error is reported; by default as the request's route says
 */
export function sendProblem(
  parts: ProblemParts,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  protocol?: Protocol,
): FastifyReply {
  try {
    return send(parts, thrown, request, reply, protocol ?? protocolOf(request, parts.paths))
  } catch (failure) {
    return sendInternalError(parts, failure, request, reply)
  }
}

function send(
  { log, responded }: ProblemParts,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  protocol: Protocol,
): FastifyReply {
  closeIfEarly(request, reply)
  const error = errorOf(thrown)
  if (error.code === 'internal_error') logUnexpected(log, request, error.cause ?? error)
  const { status, headers, body } = protocol.writeError(error, request)
  const { limit } = error.parts
  const { endpoint = noEndpoint } = request.routeOptions.config
  responded(endpoint, error.code)
  request.server.timing?.report(request, endpoint, classOf(status))
  return reply
    .code(status)
    .headers(limit ? { ...headers, ...limitHeaders(limit) } : headers)
    .send(body)
}

/** Fastify by itself would send the message of the second error to the client, and log nothing. */
function sendInternalError(
  { log, responded }: Pick<ProblemParts, 'log' | 'responded'>,
  failure: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  logUnexpected(log, request, failure)
  const error = asBrokerError(new Error('an error could not be reported', { cause: failure }))
  const { status, headers, body } = problemDetails.writeError(error, request)
  const { endpoint = noEndpoint } = request.routeOptions.config
  try {
    responded(endpoint, error.code)
    request.server.timing?.report(request, endpoint, classOf(status))
  } catch (thrown) {
    logUnexpected(log, request, thrown)
  }
  // One of those that were set may be the reason.
  for (const name of Object.keys(reply.getHeaders())) if (name !== 'connection') reply.removeHeader(name)
  return reply.code(status).headers(headers).send(body)
}

function logUnexpected(log: FastifyBaseLogger, request: FastifyRequest, err: unknown): void {
  log.error({ request_id: request.id, trace_id: traceIdOf(request), err }, 'request failed unexpectedly')
}

/** The protocol of a request's errors: its route's, or without a route that of its headers. */
function protocolOf({ routeOptions: { url, config }, headers }: FastifyRequest, paths: KnownPaths): Protocol {
  return config.protocol ?? (url === undefined ? paths.markedBy(headers)?.config.protocol : undefined) ?? problemDetails
}
