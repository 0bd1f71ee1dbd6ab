import type { BrokerError, ErrorCode } from '../../errors.ts'
import type { FailedRequest, Problem, Protocol } from '../server/problems.ts'
import { challenge, describe, errorHeaders, oauthRow, oauthRowOf, type OAuthRow } from './oauth-errors.ts'

/**
 * Seconds. Azure SDKs wait inside the call for as long as `Retry-After` says, up to three times. An earlier retry causes
 * no request to Entra, because failures are cached.
 */
const longestRetryAfter = 2

/** `Retry-After` for Azure SDKs, in seconds: long enough to spare the broker, too short for a user to notice. */
export const shortRetryAfter = ({ retryAfter = 1 }: BrokerError): string =>
  String(Math.min(Math.max(retryAfter, 1), longestRetryAfter))

/** Errors in the form of Entra's own token endpoint. */
export const entraProtocol: Protocol = {
  errorSchema: 'EntraError',
  mediaType: 'application/json',
  statusOf: code => entraRowOf(code).status,
  writeError: entraProblem,
}

/** Errors that only an operator can end. MSAL.NET discards the text of every 5xx, and retries it for seconds. */
const ofOperators: ReadonlySet<ErrorCode> = new Set(['federation_misconfigured', 'upstream_invalid'])

/** Status and error of a code in Entra's protocol. `docs/clients.md` has the same table, and a test compares them. */
export const entraRowOf = (code: ErrorCode): OAuthRow =>
  ofOperators.has(code) ? { status: 400, error: 'invalid_request' } : oauthRowOf(code)

/**
 * An error in Entra's form. It has AADSTS codes only if Entra returned them: an error without one is the broker's own.
 * `trace_id` and `correlation_id` are Entra's too, or the broker's request id if Entra returned none.
 */
function entraProblem(error: BrokerError, request: Pick<FailedRequest, 'id' | 'headers'>): Problem {
  const { id } = request
  const { upstream } = error.parts
  const { status, error: word } = entraRow(error)
  const codes = upstream?.codes ?? []
  const code = codes[0] === undefined ? '' : `AADSTS${codes[0]}: `
  return {
    status,
    headers: {
      ...errorHeaders,
      ...(isTransient(status) && { 'retry-after': shortRetryAfter(error) }),
      ...(status === 401 && upstream === undefined && { 'www-authenticate': challenge(error.code, request) }),
    },
    body: JSON.stringify({
      error: word,
      error_description: `${code}${describe(error)} (request_id ${id})`,
      ...(codes.length > 0 && { error_codes: codes }),
      timestamp: new Date().toISOString().replace('T', ' ').replace(/\.\d+/, ''),
      trace_id: upstream?.traceId ?? id,
      correlation_id: upstream?.correlationId ?? id,
    }),
  }
}

/**
 * MSAL blocks requests for a key for a minute after a 429 or 5xx without Retry-After, and for as long as Retry-After says
 * after any other error.
 */
const isTransient = (status: number): boolean => status === 429 || status >= 500

/** Status and error of Entra's response if Entra refused this tenant, application, resource or scope; else the broker's. */
function entraRow(error: BrokerError): Pick<OAuthRow, 'status'> & { readonly error: string } {
  const { code, parts } = error
  const word = parts.upstream?.error
  if (ofOperators.has(code)) return entraRowOf(code)
  if (word === undefined || (code !== 'consent_required' && code !== 'upstream_rejected')) return oauthRow(error)
  // RFC 6749 §5.2, as Entra does.
  return { status: word === 'invalid_client' ? 401 : 400, error: word }
}
