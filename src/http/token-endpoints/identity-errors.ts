import type { FastifyRequest } from 'fastify'
import type { BrokerError, ErrorCode } from '../../errors.ts'
import { shortRetryAfter } from './entra-errors.ts'
import { describe, errorHeaders } from './oauth-errors.ts'
import type { Problem } from '../server/problems.ts'

/**
 * The status of each code where the identity protocol is spoken. Azure SDKs take 404 and 410 for an identity that is not
 * there yet, and other 5xx for a moment's trouble, and try again for up to a minute: only what waiting can end is told so.
 * `docs/clients.md` has the same table, and a test compares them.
 */
export const identityStatuses: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_tenant: 400,
  invalid_scope: 400,
  unauthenticated: 401,
  invalid_token: 401,
  not_permitted: 403,
  consent_required: 403,
  not_found: 400,
  method_not_allowed: 400,
  request_timeout: 408,
  too_large: 413,
  unsupported_media_type: 415,
  upstream_rejected: 400,
  rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
  federation_misconfigured: 400,
  upstream_invalid: 400,
  upstream_unavailable: 503,
  identity_unavailable: 503,
  overloaded: 503,
  issuer_unavailable: 503,
}

/** `client_id` names an identity in this protocol; one that is not there is no question of permission. */
const statusOf = ({ code, reason }: BrokerError): number =>
  reason === 'unknown_client_id' ? 400 : identityStatuses[code]

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
