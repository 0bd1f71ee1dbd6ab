import type { FastifyRequest } from 'fastify'
import type { BrokerError, ErrorCode } from '../../errors.ts'
import type { Problem } from '../server/problems.ts'

/** An `error` of RFC 6749 §5.2 or RFC 8693 §2.2.2; the last two are those of RFC 6749 §4.1.2.1. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'server_error'
  | 'temporarily_unavailable'

/** How an error is told at a token endpoint. */
export interface OAuthRow {
  readonly status: number
  readonly error: OAuthError
}

const row = (status: number, error: OAuthError): OAuthRow => ({ status, error })

/** What each code becomes at a token endpoint. `docs/clients.md` has the same table, and a test compares them. */
export const oauthErrors = {
  invalid_request: row(400, 'invalid_request'),
  invalid_tenant: row(400, 'invalid_request'),
  invalid_scope: row(400, 'invalid_scope'),
  unauthenticated: row(401, 'invalid_client'),
  invalid_token: row(401, 'invalid_client'),
  not_permitted: row(400, 'unauthorized_client'),
  consent_required: row(400, 'unauthorized_client'),
  not_found: row(404, 'invalid_request'),
  method_not_allowed: row(405, 'invalid_request'),
  request_timeout: row(408, 'invalid_request'),
  too_large: row(413, 'invalid_request'),
  unsupported_media_type: row(415, 'invalid_request'),
  upstream_rejected: row(400, 'invalid_target'),
  rate_limited: row(429, 'temporarily_unavailable'),
  headers_too_large: row(431, 'invalid_request'),
  internal_error: row(500, 'server_error'),
  federation_misconfigured: row(500, 'server_error'),
  upstream_invalid: row(500, 'server_error'),
  upstream_unavailable: row(503, 'temporarily_unavailable'),
  identity_unavailable: row(503, 'temporarily_unavailable'),
  overloaded: row(503, 'temporarily_unavailable'),
  issuer_unavailable: row(503, 'temporarily_unavailable'),
} as const satisfies Record<ErrorCode, OAuthRow>

/** The row of an error: a grant that is not known has its own, and what Entra refuses as a scope is told as a scope. */
export function oauthRow({ code, reason, parts }: BrokerError): OAuthRow {
  if (code === 'invalid_request' && reason === 'unsupported_grant_type') return row(400, reason)
  if (code === 'upstream_rejected' && parts.upstream?.error === 'invalid_scope') return row(400, 'invalid_scope')
  return oauthErrors[code]
}

/** Sentences of the broker that speak of something else than a form. */
const inForms: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthenticated: 'Send the workload\'s own token as client_assertion, or as "Authorization: Bearer <token>".',
  unsupported_media_type:
    'Send "Content-Type: application/x-www-form-urlencoded", in UTF-8 and without Content-Encoding.',
}

/** What happened and what can be done about it, in the characters that RFC 6749 §5.2 allows. */
export function describe({ code, message, parts: { remedy } }: BrokerError): string {
  const text = inForms[code] ?? message
  return (remedy === undefined ? text : `${text} ${remedy}`)
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replace(/[^ -~]/g, '?')
}

/** An error of a token endpoint (RFC 6749 §5.2), with the broker's own members behind the standard ones. */
export function oauthProblem(
  error: BrokerError,
  { id }: Pick<FastifyRequest, 'id'>,
  { status, error: word }: OAuthRow = oauthRow(error),
): Problem {
  const { code, retryAfter, parts } = error
  return {
    status,
    headers: {
      ...errorHeaders,
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(status === 401 && { 'www-authenticate': challenge(code) }),
    },
    body: JSON.stringify({
      error: word,
      error_description: `${describe(error)} (request_id ${id})`,
      code,
      request_id: id,
      retry_after: retryAfter,
      upstream: parts.upstream && { error: parts.upstream.error, codes: parts.upstream.codes },
    }),
  }
}

/** The headers of every error that an OAuth library or an Azure SDK reads. */
export const errorHeaders = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' } as const

/** `WWW-Authenticate` (RFC 6750 §3). */
export const challenge = (code: ErrorCode): string =>
  `Bearer realm="token-broker"${code === 'unauthenticated' ? '' : ', error="invalid_token"'}`
