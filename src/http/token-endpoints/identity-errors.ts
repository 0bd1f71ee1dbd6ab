import type { FastifyRequest } from 'fastify'
import { errorTable, type BrokerError, type ErrorCode } from '../../errors.ts'
import { shortRetryAfter } from './entra-errors.ts'
import { describe, errorHeaders } from './oauth-errors.ts'
import type { Problem } from '../server/problems.ts'

/** Statuses that become 400, since Azure SDKs would try again for up to a minute. */
const unretried: ReadonlySet<number> = new Set([404, 405, 422, 502])

/**
 * The status of a code in the identity protocol. Azure SDKs take 404 and 410 for an identity that does not exist yet, and
 * other 5xx for a moment's trouble: they get such a status only where waiting can help. `docs/clients.md` has the same
 * table, and a test compares them.
 */
export function identityStatusOf(code: ErrorCode): number {
  const { status } = errorTable[code]
  return unretried.has(status) ? 400 : status
}

/** `client_id` names an identity in this protocol; one that is not there is no question of permission. */
const statusOf = ({ code, reason }: BrokerError): number =>
  reason === 'unknown_client_id' ? 400 : identityStatusOf(code)

/** An error with the members of App Service's and of the metadata service's, since SDKs read one or the other. */
export function identityProblem(error: BrokerError, { id }: Pick<FastifyRequest, 'id'>): Problem {
  const status = statusOf(error)
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

function textOf(error: BrokerError): string {
  if (error.code === 'unauthenticated') return 'Send the credential in X-IDENTITY-HEADER: set IDENTITY_HEADER to it.'
  if (error.reason === 'unknown_client_id') return 'client_id is no client id of an application that the broker knows.'
  return describe(error)
}
