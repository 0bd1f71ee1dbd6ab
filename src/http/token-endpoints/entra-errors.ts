import type { FastifyRequest } from 'fastify'
import type { BrokerError } from '../../errors.ts'
import { challenge, describe, errorHeaders, oauthRow, type OAuthRow } from './oauth-errors.ts'
import type { Problem } from '../server/problems.ts'

/**
 * Seconds. Azure SDKs wait inside the call for as long as they are told, three times over. Asking the broker again costs
 * Entra nothing: failures are remembered.
 */
const longestRetryAfter = 2

/** Seconds that an Azure SDK is told to wait: enough to spare the broker, too few to be noticed. */
export const shortRetryAfter = ({ retryAfter = 1 }: BrokerError): string =>
  String(Math.min(Math.max(retryAfter, 1), longestRetryAfter))

/**
 * An error as Entra tells it. AADSTS codes are those that Entra gave and nobody else's: without one, it was the broker
 * that refused. So are `trace_id` and `correlation_id`, which are the broker's request id otherwise.
 */
export function entraProblem(error: BrokerError, { id }: Pick<FastifyRequest, 'id'>): Problem {
  const { upstream } = error.parts
  const { status, error: word } = entraRow(error)
  const codes = upstream?.codes ?? []
  const code = codes[0] === undefined ? '' : `AADSTS${codes[0]}: `
  return {
    status,
    headers: {
      ...errorHeaders,
      ...(isTransient(status) && { 'retry-after': shortRetryAfter(error) }),
      ...(status === 401 && upstream === undefined && { 'www-authenticate': challenge(error.code) }),
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
 * MSAL keeps a key from being asked for again for a minute after a 429 or 5xx without Retry-After, and for as long as
 * Retry-After says after any other answer.
 */
const isTransient = (status: number): boolean => status === 429 || status >= 500

/** Entra's own answer where it refused this tenant, application, resource or scope; else the broker's. */
function entraRow(error: BrokerError): Pick<OAuthRow, 'status'> & { readonly error: string } {
  const { code, parts } = error
  const word = parts.upstream?.error
  if (word === undefined || (code !== 'consent_required' && code !== 'upstream_rejected')) return oauthRow(error)
  // RFC 6749 §5.2, as Entra does.
  return { status: word === 'invalid_client' ? 401 : 400, error: word }
}
