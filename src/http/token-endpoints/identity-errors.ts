import { errorTable, type BrokerError, type ErrorCode } from '../../errors.ts'
import { shortRetryAfter } from './entra-errors.ts'
import type { FailedRequest, Problem, Protocol } from '../server/problems.ts'
import { describe, errorHeaders } from './oauth-errors.ts'

/** Statuses that become 400, because Azure SDKs would retry them for up to a minute. */
const unretried: ReadonlySet<number> = new Set([404, 405, 422, 502])

/**
 * The status of a code in the identity protocol. To Azure SDKs, 404 and 410 mean an identity that does not exist yet, and
 * 5xx a transient error, so only errors that waiting can end have such a status. `docs/clients.md` has the same table,
 * and a test compares them.
 */
export function identityStatusOf(code: ErrorCode): number {
  const { status } = errorTable[code]
  return unretried.has(status) ? 400 : status
}

/** Errors with the fields of both App Service and the metadata service, since SDKs read one or the other. */
export const identityProtocol: Protocol = {
  errorSchema: 'IdentityError',
  mediaType: 'application/json',
  statusOf: identityStatusOf,
  writeError: identityProblem,
}

function identityProblem(error: BrokerError, { id }: Pick<FailedRequest, 'id'>): Problem {
  const status = identityStatusOf(error.code)
  const message = `${textOf(error)} (request_id ${id})`
  return {
    status,
    headers: {
      ...errorHeaders,
      ...((status === 429 || status === 503) && { 'retry-after': shortRetryAfter(error) }),
      ...(status === 401 && { 'www-authenticate': 'X-IDENTITY-HEADER realm="token-broker"' }),
    },
    body: JSON.stringify({
      statusCode: status,
      message,
      correlationId: id,
      error: error.code,
      error_description: message,
    }),
  }
}

const textOf = (error: BrokerError): string =>
  error.code === 'unauthenticated'
    ? 'Send the credential in X-IDENTITY-HEADER: set IDENTITY_HEADER to it.'
    : describe(error)
