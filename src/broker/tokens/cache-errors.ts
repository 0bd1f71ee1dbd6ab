import { BrokerError } from '../../errors.ts'

/** Milliseconds in which `min_expires_in` causes one fetch of a key at most. */
export const replaceOnceMs = 60_000

/** For a caller, or the background, whose share of the queue is used up. */
export const overloaded = () =>
  new BrokerError('overloaded', 'The queue of token requests to Entra has no place left for this caller.', {
    reason: 'queue',
    remedy: 'Request fewer new tokens at once; cached tokens are not affected.',
  })

/** For a token that is expired when it comes. */
export const expiredOnArrival = () =>
  new BrokerError('upstream_invalid', 'Entra issued a token that has already expired.', { reason: 'expired' })

/**
 * For a caller whose `min_expires_in` cannot be had.
 *
 * @param remaining milliseconds of life of the token that is held
 * @param retryAfter seconds
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
