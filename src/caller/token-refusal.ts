import { errorTable, messageOf, type BrokerError, type ErrorCode } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { problemOf } from './problem.ts'
import type { BrokerResponse } from './tokens-request.ts'

/**
 * The error of a response without a token: what the broker says, one field a line. If something else responds in its
 * place, the status is all that is repeated. The exit code says whether the same command can succeed later.
 */
export function refusalOf({ status, text, retryAfter }: BrokerResponse): ExitError {
  const { code, detail, remedy, requestId } = problemOf(text)
  if (code === undefined || detail === undefined) return strangerOf(status)
  const row = Object.entries(errorTable).find(([known]) => known === code)?.[1]
  const isTemporary = row ? row.retryable : isServerTrouble(status)
  const lines = [
    `${isTemporary ? 'the broker cannot issue the token now' : 'the broker refused the request'}: HTTP ${status} ${code}`,
    detail,
    ...(remedy === undefined ? [] : [`remedy: ${remedy}`]),
    ...(retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? [`retry after: ${retryAfter} s`] : []),
    ...(requestId === undefined ? [] : [`request id: ${requestId}`]),
  ]
  return new ExitError(lines.join('\n'), isTemporary ? exitCodes.unavailable : exitCodes.refused)
}

const isServerTrouble = (status: number): boolean => status >= 500 || status === 429

/** A proxy, a web page, or another service. What it says is not repeated. */
const strangerOf = (status: number): ExitError =>
  new ExitError(
    `the response (HTTP ${status}) is not a broker's\nCheck that --broker is the URL of the broker itself.`,
    isServerTrouble(status) ? exitCodes.unavailable : exitCodes.refused,
  )

/** Reasons whose cause is an error of the network or the file system. Any other cause may repeat what a server sent. */
const shownCauses: ReadonlySet<string | undefined> = new Set(['network', 'timeout', 'file'])

/**
 * The error of a request that brought no response, of a response that was discarded, or of an unavailable credential.
 *
 * @param warnings what the environment may have to do with it
 */
export function failureOf(
  { code, reason, message, cause, parts }: BrokerError,
  warnings: readonly string[],
): ExitError {
  const why = shownCauses.has(reason) && cause !== undefined ? messageOf(cause) : undefined
  const isCertificate = code === 'upstream_unavailable' && /certificate/i.test(why ?? '')
  const remedy = isCertificate ? 'Name the file with the authority of the broker in --ca-file.' : parts.remedy
  const lines = [
    message,
    ...(why === undefined ? [] : [`cause: ${why}`]),
    ...(remedy === undefined ? [] : [`remedy: ${remedy}`]),
    ...(code === 'upstream_unavailable' ? warnings.map(warning => `note: ${warning}`) : []),
  ]
  return new ExitError(lines.join('\n'), exitCodeOf(code, reason))
}

function exitCodeOf(code: ErrorCode, reason: string | undefined): number {
  if (code === 'upstream_unavailable') return exitCodes.unavailable
  if (code !== 'identity_unavailable') return exitCodes.refused
  return reason === 'network' || reason === 'status' ? exitCodes.unavailable : exitCodes.configuration
}
