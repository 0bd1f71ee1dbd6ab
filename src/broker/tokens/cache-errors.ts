import { BrokerError } from '../../errors.ts'

/** Milliseconds in which `min_expires_in` causes one fetch of a key at most. */
export const replaceOnceMs = 60_000

/** For a caller, or the background, whose share of the queue is used up. */
export const overloaded = () =>
  new BrokerError('overloaded', 'Too many tokens are being fetched, many of them for this caller.', {
    reason: 'queue',
    remedy: 'Ask for fewer new tokens at once; tokens that are cached are not affected.',
  })

/** For a token that is expired when it comes. */
export const stillborn = () =>
  new BrokerError('upstream_invalid', 'Entra issued a token that has no useful life left.', { reason: 'expired' })

/**
 * For a caller whose `min_expires_in` cannot be had.
 *
 * @param remaining milliseconds of life of the token that is held
 * @param retryAfter seconds
 */
export function tooShort(remaining: number, retryAfter = replaceOnceMs / 1000, cause?: BrokerError): BrokerError {
  return new BrokerError('upstream_unavailable', 'No token with the least remaining life asked for can be had now.', {
    reason: 'min_expires_in',
    retryAfter,
    availableExpiresIn: Math.max(0, Math.floor(remaining / 1000)),
    remedy: 'Ask with a smaller min_expires_in, or again after retry_after seconds.',
    ...(cause && { cause }),
  })
}
