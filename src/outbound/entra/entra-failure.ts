import { membersOfJson } from '../../broker/lib/json-members.ts'
import {
  BrokerError,
  type ErrorCode,
  type ErrorParts,
  type PartsOf,
  type ReasonOf,
  type UpstreamFacts,
} from '../../errors.ts'
import { findCode, presentedBy, type RemedyContext, type RefusalClass } from './aadsts-codes.ts'
import { agentRow } from './agent-codes.ts'
import type { RecordedResponse } from './http-client.ts'

// The last hop, broker → Entra: a failed exchange → a BrokerError with its code, reason and remedy. entra.ts calls it.

/** Seconds. A longer Retry-After is shortened to this. */
const maxRetryAfter = 300

/** The codes that have a reason. */
type CodeWith<Each extends RefusalClass> = {
  [Code in ErrorCode]: Each extends ReasonOf<Code> ? Code : never
}[ErrorCode]

/** The error code and the detail of each class. */
const classTable: { readonly [Class in RefusalClass]: readonly [code: CodeWith<Class>, detail: string] } = {
  transient: ['upstream_unavailable', 'Entra is temporarily unavailable.'],
  loop: ['upstream_unavailable', 'Entra has seen the same request too often and refuses it for now.'],
  assertion: ['federation_misconfigured', "Entra rejected the managed identity's token."],
  federation: [
    'federation_misconfigured',
    "The application's federated credential does not match the managed identity.",
  ],
  client: ['federation_misconfigured', 'Entra rejected the application in this tenant. The reason is unknown.'],
  cloud: ['federation_misconfigured', 'The tenant is in another national cloud.'],
  consent: [
    'consent_required',
    "The tenant's administrator has not consented to the application, or not for this resource.",
  ],
  request: ['upstream_rejected', 'Entra refuses this tenant, resource or scope.'],
  unknown: ['upstream_rejected', 'Entra rejected the request.'],
}

/**
 * Makes the error of a failed exchange. HTTP status and OAuth error come first; AADSTS codes refine them. Entra's text
 * is never repeated: only numbers, ids and the name of the OAuth error.
 *
 * @param response the last response, if one came
 * @param cause the SDK's error. It is kept for the log only if no response came, because otherwise it has Entra's text
 * @param now milliseconds since 1970, to read a Retry-After that is a date
 */
export function exchangeFailure(
  response: RecordedResponse | undefined,
  cause: unknown,
  context: RemedyContext,
  now: number,
): BrokerError {
  if (response === undefined) {
    return new BrokerError('upstream_unavailable', 'Entra could not be reached.', { reason: 'network', cause })
  }
  const { status } = response
  const body = status >= 400 ? readError(response.body) : undefined
  if (body && findCode(body.codes ?? [])?.class === 'loop') return loop(response, body, context, now)
  if (status === 429 || status === 408 || status >= 500) return transient(response, now)
  if (body === undefined) {
    return new BrokerError('upstream_invalid', `Entra's response (HTTP ${status}) does not follow the protocol.`, {
      reason: status >= 300 && status < 400 ? 'redirect' : 'unreadable',
    })
  }
  const known = findCode(body.codes ?? [])
  const kind = known?.class ?? classOfError(body.error)
  if (kind === 'transient') return transient(response, now)
  const [code, usual] = classTable[kind]
  const { detail = usual, reason = kind, ...row } = agentRow(context.step, kind, body.codes ?? [])
  const remedy = (row.remedy ?? known?.remedy)?.(context)
  const level = row.level ?? known?.level
  return new BrokerError(code, detail, {
    reason,
    upstream: body,
    ...(isAboutAssertion(kind) && { presented: presentedBy(context.assertion) }),
    ...(level && { level }),
    ...(remedy && { remedy }),
  })
}

const isAboutAssertion = (kind: RefusalClass): boolean => kind === 'federation' || kind === 'assertion'

/** The class of each OAuth error that a client-credentials request can cause. It counts if no AADSTS code is known. */
const errorClasses: Readonly<Record<string, RefusalClass>> = {
  temporarily_unavailable: 'transient',
  server_error: 'transient',
  invalid_client: 'client',
  unauthorized_client: 'consent',
  invalid_scope: 'request',
  invalid_resource: 'request',
  invalid_target: 'request',
}

const classOfError = (error = ''): RefusalClass => errorClasses[error] ?? 'unknown'

function transient(response: RecordedResponse, now: number): BrokerError {
  const upstream = readError(response.body)
  const parts: PartsOf<'upstream_unavailable'> = {
    reason: transientReason(response.status),
    ...retryAfterPart(response.status, response.header('retry-after'), now),
    ...(upstream && { upstream }),
  }
  const [code, detail] = classTable.transient
  return new BrokerError(code, detail, parts)
}

/** Seconds for which nothing is sent after Entra has found a loop: every further request would make it longer. */
const loopSeconds = 60

/** Whatever its status: a `Retry-After` that is shorter than a minute does not count. */
function loop(response: RecordedResponse, upstream: UpstreamFacts, context: RemedyContext, now: number): BrokerError {
  const [code, detail] = classTable.loop
  const retryAfter = Math.max(loopSeconds, readRetryAfter(response.header('retry-after'), now) ?? 0)
  const remedy = findCode(upstream.codes ?? [])?.remedy?.(context)
  return new BrokerError(code, detail, { reason: 'loop', retryAfter, upstream, ...(remedy && { remedy }) })
}

/**
 * A 408 or 5xx says that the server fails. A 429, or a 4xx with a code that passes by itself, comes from one that
 * responds.
 */
function transientReason(status: number): ReasonOf<'upstream_unavailable'> {
  if (status === 429) return 'throttled'
  return status === 408 || status >= 500 ? 'server_error' : 'transient'
}

/**
 * `Retry-After` (RFC 9110 §10.2.3) in seconds or as a date, limited to 1…300 s; `undefined` if it is absent or invalid.
 */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000)
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), maxRetryAfter)
}

/** Seconds to wait after a 4xx without a valid `Retry-After`, so that no request follows at once. */
const defaultRetryAfter = 1

/**
 * `retryAfter` of an error, in seconds: from the header if it is valid; otherwise 1 for a 4xx other than 408, else
 * absent.
 */
export function retryAfterPart(status: number, value: string | undefined, now: number): Pick<ErrorParts, 'retryAfter'> {
  const isLimit = status >= 400 && status < 500 && status !== 408
  const retryAfter = readRetryAfter(value, now) ?? (isLimit ? defaultRetryAfter : undefined)
  return retryAfter === undefined ? {} : { retryAfter }
}

/**
 * The fields of Entra's error body that are safe to repeat. `undefined` if it is not an OAuth error (RFC 6749 §5.2).
 */
function readError(text: string): UpstreamFacts | undefined {
  const { error, error_codes, error_description, trace_id, correlation_id } = membersOfJson(text)
  if (typeof error !== 'string' || !/^[a-z_]{1,64}$/.test(error)) return undefined
  const codes = Array.isArray(error_codes) ? error_codes.map(Number).filter(isUpstreamCode).slice(0, 8) : []
  // Only the number of the description is read.
  const described =
    typeof error_description === 'string' ? /^AADSTS(\d{4,9})\b/.exec(error_description)?.[1] : undefined
  if (codes.length === 0 && described !== undefined) codes.push(Number(described))
  const traceId = readId(trace_id)
  const correlationId = readId(correlation_id)
  return { error, codes, ...(traceId && { traceId }), ...(correlationId && { correlationId }) }
}

/** Whether a value can be the number of an AADSTS code. */
export const isUpstreamCode = (code: unknown): code is number =>
  typeof code === 'number' && Number.isInteger(code) && code > 0 && code < 1e9

/** A trace or correlation id, if it has the form of one: it is written to logs and responses. */
export const readId = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[0-9A-Za-z-]{1,64}$/.test(value) ? value : undefined
