import { membersOf, type Members } from '../../../broker/lib/json-members.ts'
import {
  BrokerError,
  errorTable,
  reasonTable,
  type ErrorCode,
  type ErrorParts,
  type ReasonOf,
} from '../../../errors.ts'
import { levels } from '../../../reasons/row.ts'

/** Characters of the longest detail or remedy that is shared. */
const maxTextLength = 1000
/** Seconds. A longer Retry-After counts as this, as in the negative cache. */
const longestRetryAfter = 300
const maxCodes = 8
const idPattern = /^[\w-]{1,64}$/
const wordPattern = /^[a-z_]{1,64}$/

/**
 * The fields of a failed exchange that other replicas need to report and cache it: code, detail, reason, level, retryAfter,
 * remedy, what Entra responded and what was presented to it. Never the cause, which can contain a request with its assertion.
 */
export function fieldsOfFailure({ code, message, parts }: BrokerError): Members {
  const { reason, level, retryAfter, remedy, upstream, presented } = parts
  return {
    code,
    detail: message.slice(0, maxTextLength),
    reason,
    level,
    retryAfter,
    remedy: remedy?.slice(0, maxTextLength),
    upstream,
    presented,
  }
}

/**
 * The error of {@link fieldsOfFailure}. `undefined` if this version does not know its code or its reason, or if a field has
 * another type: then it is not known how to handle it.
 */
export function failureOf({
  code,
  detail,
  reason,
  level,
  retryAfter,
  remedy,
  upstream,
  presented,
}: Members): BrokerError | undefined {
  if (!isCode(code) || !isText(detail) || !isReasonOrAbsent(code, reason)) return undefined
  const knownLevel = levels.find(each => each === level)
  if (level !== undefined && knownLevel === undefined) return undefined
  const known = presentedOf(membersOf(presented))
  const parts: ErrorParts = {
    ...(reason !== undefined && { reason }),
    ...(knownLevel !== undefined && { level: knownLevel }),
    ...(typeof retryAfter === 'number' && retryAfter >= 1 && { retryAfter: Math.min(retryAfter, longestRetryAfter) }),
    ...(isText(remedy) && { remedy }),
    ...(upstream !== undefined && { upstream: upstreamOf(membersOf(upstream)) }),
    ...(known && { presented: known }),
  }
  return new BrokerError(code, detail).withParts(parts)
}

const isCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(errorTable, code)

const isText = (text: unknown): text is string => typeof text === 'string' && text.length <= maxTextLength

const isReasonOrAbsent = (code: ErrorCode, reason: unknown): reason is ReasonOf<ErrorCode> | undefined =>
  reason === undefined ||
  reason === 'broker' ||
  (typeof reason === 'string' && Object.hasOwn(reasonTable[code], reason))

function upstreamOf({ error, codes, traceId, correlationId }: Members): NonNullable<ErrorParts['upstream']> {
  return {
    ...(typeof error === 'string' && wordPattern.test(error) && { error }),
    ...(Array.isArray(codes) && { codes: codes.filter(isNumber).slice(0, maxCodes) }),
    ...(isId(traceId) && { traceId }),
    ...(isId(correlationId) && { correlationId }),
  }
}

const presentedOf = ({ issuer, subject, audience }: Members): ErrorParts['presented'] =>
  isText(issuer) && isText(subject) && isText(audience) ? { issuer, subject, audience } : undefined

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value)
const isId = (value: unknown): value is string => typeof value === 'string' && idPattern.test(value)
