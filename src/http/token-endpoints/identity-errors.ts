import type { BrokerError, ErrorCode } from '../../errors.ts'
import { shortRetryAfter } from './entra-errors.ts'
import type { FailedRequest, Problem, Protocol } from '../server/problems.ts'
import { describe, errorHeaders } from './oauth-errors.ts'

/**
 * The status of each code in the identity protocol. Azure SDKs take 404 and 410 for an identity that does not exist yet,
 * and other 5xx for a transient error, and retry for up to a minute: so only errors that waiting can end have such a
 * status. `docs/clients.md` has the same table, and a test compares them.
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

/** In this protocol `client_id` names an identity; an unknown one is a bad request, not a missing permission. */
const statusOf = ({ code, reason }: BrokerError): number =>
  reason === 'unknown_client_id' ? 400 : identityStatuses[code]

/** Errors with the fields of both App Service and the metadata service, since SDKs read one or the other. */
export const identityProtocol: Protocol = {
  errorSchema: 'IdentityError',
  mediaType: 'application/json',
  statusOf: code => identityStatuses[code],
  writeError: identityProblem,
}

function identityProblem(error: BrokerError, { id }: Pick<FailedRequest, 'id'>): Problem {
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
