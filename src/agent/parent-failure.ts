import { membersOf } from '../broker/lib/json-members.ts'
import { problemOf } from '../caller/problem.ts'
import type { BrokerResponse } from '../caller/tokens-request.ts'
import { BrokerError, errorTable, type ErrorCode, type UpstreamFacts } from '../errors.ts'
import { isUpstreamCode, readId, retryAfterPart } from '../outbound/entra/entra-failure.ts'

/** Statuses of `POST /tokens` that concern the request, the caller or an upstream. The agent forwards their errors. */
const forwardedStatuses = new Set([400, 401, 403, 422, 429, 502, 503])

/** The error code of a status if the body has no known code. */
const codeByStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  401: 'invalid_token',
  403: 'not_permitted',
  422: 'upstream_rejected',
}
const maxCodes = 8

/** Whether an error was forwarded from the broker by {@link parentFailure}. */
export const isBrokerRefusal = ({ reason }: BrokerError): boolean => reason === 'broker'

/**
 * Makes the error of a broker's response that has no token. The broker's own code and detail are forwarded. If
 * something else responds in its place (a proxy, a web page, a broker of another version), the status decides.
 *
 * @param now milliseconds since 1970, to read a Retry-After that is a date
 */
export function parentFailure({ status, text, retryAfter }: BrokerResponse, now: number): BrokerError {
  if (!forwardedStatuses.has(status)) return status >= 500 ? serverError(status) : protocolError(status)
  const { code, detail, remedy, upstream, requestId } = problemOf(text)
  const facts = upstreamFacts(upstream)
  const known = isCode(code) && errorTable[code].status === status ? code : undefined
  const waits = status === 429 || status === 503
  return new BrokerError(known ?? codeByStatus[status] ?? 'upstream_unavailable', describe(status, detail), {
    reason: 'broker',
    ...(facts && { upstream: facts }),
    ...(waits && retryAfterPart(status, retryAfter, now)),
    ...(remedy !== undefined && { remedy: `${remedy} (request_id of the broker: ${requestId})` }),
  })
}

function describe(status: number, detail = `The broker responded HTTP ${status}.`): string {
  if (status === 401) return `The broker rejected the workload's credential: ${detail}`
  return detail
}

/** Entra's error as the broker reports it: the OAuth error, codes and ids, with the same checks as for Entra itself. */
function upstreamFacts(reported: unknown): UpstreamFacts | undefined {
  const { error, codes, trace_id, correlation_id } = membersOf(reported)
  const word = typeof error === 'string' && /^[a-z_]{1,64}$/.test(error) ? error : undefined
  const numbers = Array.isArray(codes) ? codes.filter(isUpstreamCode).slice(0, maxCodes) : []
  const [traceId, correlationId] = [readId(trace_id), readId(correlation_id)]
  if (word === undefined && numbers.length === 0 && !traceId && !correlationId) return undefined
  return {
    ...(word !== undefined && { error: word }),
    codes: numbers,
    ...(traceId && { traceId }),
    ...(correlationId && { correlationId }),
  }
}

const isCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(errorTable, code)

const serverError = (status: number) =>
  new BrokerError('upstream_unavailable', `The broker responded with an error (HTTP ${status}).`, { reason: 'status' })

const protocolError = (status: number) =>
  new BrokerError('upstream_invalid', `The broker's response (HTTP ${status}) does not follow the protocol.`, {
    reason: status >= 300 && status < 400 ? 'redirect' : 'unreadable',
    remedy: 'Check that --broker is the URL of the broker itself.',
  })
