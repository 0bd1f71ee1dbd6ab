import { errorTable, type BrokerError, type ErrorCode, type OAuthError } from '../../errors.ts'
import type { FailedRequest, Problem } from '../server/problems.ts'
import { isBasic } from './forms/http-basic.ts'

/** Status and `error` of an error response. */
export interface OAuthRow {
  readonly status: number
  readonly error: OAuthError
}

const row = (status: number, error: OAuthError): OAuthRow => ({ status, error })

/** Statuses that become others: RFC 6749 §5.2 has 400 and 401 for refusals, and its clients expect 500 for a server's. */
const statuses: Readonly<Record<number, number>> = { 403: 400, 422: 400, 502: 500 }

/** The OAuth error of a code. `docs/clients.md` has the same table, and a test compares them. */
export function oauthRowOf(code: ErrorCode): OAuthRow {
  const { status, oauth } = errorTable[code]
  return row(statuses[status] ?? status, oauth)
}

/** The OAuth error of an error: `unsupported_grant_type` and a scope that Entra refuses differ from that of their code. */
export function oauthRow({ code, reason, parts }: BrokerError): OAuthRow {
  if (code === 'invalid_request' && reason === 'unsupported_grant_type') return row(400, reason)
  if (code === 'upstream_rejected' && parts.upstream?.error === 'invalid_scope') return row(400, 'invalid_scope')
  return oauthRowOf(code)
}

/** Messages for clients that send forms, in place of those for `POST /tokens`. */
const inForms: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthenticated:
    'Send the workload\'s own token as client_assertion or as "Authorization: Bearer <token>", or an API key as client_secret.',
  unsupported_media_type:
    'Send "Content-Type: application/x-www-form-urlencoded", in UTF-8 and without Content-Encoding.',
}

/** The error's message and remedy, in the characters that RFC 6749 §5.2 allows. */
export function describe({ code, message, parts: { remedy } }: BrokerError): string {
  const text = inForms[code] ?? message
  return (remedy === undefined ? text : `${text} ${remedy}`)
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replace(/[^ -~]/g, '?')
}

/** An error of a token endpoint (RFC 6749 §5.2), with the broker's own fields after the standard ones. */
export function oauthProblem(
  error: BrokerError,
  request: Pick<FailedRequest, 'id' | 'headers'>,
  { status, error: word }: OAuthRow,
): Problem {
  const { id } = request
  const { code, retryAfter, parts } = error
  return {
    status,
    headers: {
      ...errorHeaders,
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(status === 401 && { 'www-authenticate': challenge(code, request) }),
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

/** The headers of every error for OAuth libraries and Azure SDKs. */
export const errorHeaders = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' } as const

/** `WWW-Authenticate`: for the scheme that the request used (RFC 6749 §5.2), by default Bearer (RFC 6750 §3). */
export function challenge(code: ErrorCode, request: Pick<FailedRequest, 'headers'>): string {
  if (isBasic(request)) return 'Basic realm="token-broker"'
  return `Bearer realm="token-broker"${code === 'unauthenticated' ? '' : ', error="invalid_token"'}`
}
