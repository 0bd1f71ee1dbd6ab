import { BrokerError } from '../../errors.ts'

/** `min_expires_in` causes at most one fetch per key in this time, in milliseconds. */
export const replaceOnceMs = 60_000

/** The error if a caller, or all background refreshes together, used up their share of the queue. */
export const overloaded = () =>
  new BrokerError('overloaded', 'The queue of token requests to Entra has no place left for this caller.', {
    reason: 'queue',
    remedy: 'Request fewer new tokens at once; cached tokens are not affected.',
  })

/** The error if a fetch took longer than a caller waits, in milliseconds. */
export const noResponse = (ms: number) =>
  new BrokerError('upstream_unavailable', `Entra did not issue a token within ${ms} ms.`, { reason: 'timeout' })

/** The error if a fetch returned a token that is expired already. */
export const expiredOnArrival = () =>
  new BrokerError('upstream_invalid', 'Entra issued a token that has already expired.', { reason: 'expired' })

/**
 * The error if no token that lives for `min_expires_in` could be obtained.
 *
 * @param remaining milliseconds for which the available token lives; the caller gets them in seconds
 * @param retryAfter seconds
 * @param cause why the fetch failed, if it did
 */
export function lifetimeUnavailable(
  remaining: number,
  retryAfter = replaceOnceMs / 1000,
  cause?: BrokerError,
): BrokerError {
  return new BrokerError('upstream_unavailable', 'No token with the required min_expires_in is available now.', {
    reason: 'min_expires_in',
    retryAfter,
    availableExpiresIn: Math.max(0, Math.floor(remaining / 1000)),
    remedy: 'Use a smaller min_expires_in, or try again after retry_after seconds.',
    ...(cause && { cause }),
  })
}
