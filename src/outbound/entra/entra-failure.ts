import { membersOfJson } from '../../broker/lib/json-members.ts'
import {
  BrokerError,
  type ErrorCode,
  type ErrorParts,
  type PartsOf,
  type ReasonOf,
  type UpstreamFacts,
} from '../../errors.ts'
import { findCode, type RemedyContext, type RefusalClass } from './aadsts-codes.ts'
import type { RecordedResponse } from './http-client.ts'

/** Seconds beyond which a Retry-After is not believed. */
const maxRetryAfter = 300

/** The codes that have a reason. */
type CodeWith<Each extends RefusalClass> = {
  [Code in ErrorCode]: Each extends ReasonOf<Code> ? Code : never
}[ErrorCode]

/** How each class is answered, and in which words when no remedy is known. */
const classTable: { readonly [Class in RefusalClass]: readonly [code: CodeWith<Class>, detail: string] } = {
  transient: ['upstream_unavailable', 'Entra is temporarily unavailable.'],
  assertion: ['federation_misconfigured', "Entra rejected the managed identity's token."],
  federation: [
    'federation_misconfigured',
    "The application's federated credential does not match the managed identity.",
  ],
  client: ['federation_misconfigured', 'Entra rejected the application in this tenant without a known reason.'],
  cloud: ['federation_misconfigured', 'The tenant belongs to another national cloud.'],
  consent: [
    'consent_required',
    "The tenant's administrator has not consented to the application, or not for this resource.",
  ],
  request: ['upstream_rejected', 'Entra does not know this tenant, resource or scope.'],
  unknown: ['upstream_rejected', 'Entra rejected the request.'],
}

/**
 * What a failed exchange means, by HTTP status and OAuth error first; AADSTS codes refine it. Entra's text is not
 * repeated: only numbers, ids and the OAuth error word are.
 *
 * @param seen the last answer, if one came
 * @param cause what the SDK made of it: for the log, and only where no answer came, since its words are Entra's
 * @param now milliseconds since 1970, to read a Retry-After that is a date
 */
export function exchangeFailure(
  seen: RecordedResponse | undefined,
  cause: unknown,
  circumstances: RemedyContext,
  now: number,
): BrokerError {
  if (seen === undefined) {
    return new BrokerError('upstream_unavailable', 'Entra could not be reached.', { reason: 'network', cause })
  }
  const { status } = seen
  if (status === 429 || status === 408 || status >= 500) return transient(seen, now)
  const body = status >= 400 ? readError(seen.body) : undefined
  if (body === undefined) {
    return new BrokerError('upstream_invalid', `Entra's response (HTTP ${status}) does not follow the protocol.`, {
      reason: status >= 300 && status < 400 ? 'redirect' : 'unreadable',
    })
  }
  const known = findCode(body.codes ?? [])
  const kind = known?.class ?? classOfError(body.error)
  if (kind === 'transient') return transient(seen, now)
  const [code, detail] = classTable[kind]
  const remedy = known?.remedy?.(circumstances)
  const level = known?.level
  return new BrokerError(code, detail, {
    reason: kind,
    upstream: body,
    ...(level && { level }),
    ...(remedy && { remedy }),
  })
}

/** What the OAuth errors mean that a client-credentials request can meet, where no code says it better. */
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

function transient(seen: RecordedResponse, now: number): BrokerError {
  const upstream = readError(seen.body)
  const parts: PartsOf<'upstream_unavailable'> = {
    reason: transientReason(seen.status),
    ...retryAfterPart(seen.status, seen.header('retry-after'), now),
    ...(upstream && { upstream }),
  }
  const [code, detail] = classTable.transient
  return new BrokerError(code, detail, parts)
}

/** A server's error tells of its health; a 429, and a 4xx with a code that is known to pass, come from one that answers. */
function transientReason(status: number): ReasonOf<'upstream_unavailable'> {
  if (status === 429) return 'throttled'
  return status === 408 || status >= 500 ? 'server_error' : 'transient'
}

/** `Retry-After` (RFC 9110 §10.2.3) in seconds or as a date, kept within 1…300 s; `undefined` when it says nothing. */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000)
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), maxRetryAfter)
}

/** Seconds that a limit without a usable `Retry-After` is taken for: who says "too much" is not asked again at once. */
const defaultRetryAfter = 1

/** The part of an error that says how long to wait, if the upstream does; a 4xx other than 408 always does. */
export function retryAfterPart(status: number, value: string | undefined, now: number): Pick<ErrorParts, 'retryAfter'> {
  const isLimit = status >= 400 && status < 500 && status !== 408
  const retryAfter = readRetryAfter(value, now) ?? (isLimit ? defaultRetryAfter : undefined)
  return retryAfter === undefined ? {} : { retryAfter }
}

/** The members of Entra's error body that are safe to repeat. `undefined` when it is not an OAuth error (RFC 6749 §5.2). */
function readError(text: string): UpstreamFacts | undefined {
  const { error, error_codes, error_description, trace_id, correlation_id } = membersOfJson(text)
  if (typeof error !== 'string' || !/^[a-z_]{1,64}$/.test(error)) return undefined
  const codes = Array.isArray(error_codes) ? error_codes.map(Number).filter(isUpstreamCode).slice(0, 8) : []
  // Only the number is read of the description.
  const described =
    typeof error_description === 'string' ? /^AADSTS(\d{4,9})\b/.exec(error_description)?.[1] : undefined
  if (codes.length === 0 && described !== undefined) codes.push(Number(described))
  const traceId = readId(trace_id)
  const correlationId = readId(correlation_id)
  return { error, codes, ...(traceId && { traceId }), ...(correlationId && { correlationId }) }
}

/** Whether it can be the number of an AADSTS code. */
export const isUpstreamCode = (code: unknown): code is number =>
  typeof code === 'number' && Number.isInteger(code) && code > 0 && code < 1e9

/** A trace or correlation id, if it looks like one: it goes into logs and answers. */
export const readId = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[0-9A-Za-z-]{1,64}$/.test(value) ? value : undefined
