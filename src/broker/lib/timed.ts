import { asBrokerError, type BrokerError } from '../../errors.ts'
import type { Clock } from './clock.ts'

/** Told how long something took, in seconds, and what went wrong if it did. */
export type Observer = (seconds: number, error?: BrokerError) => void

/**
 * Runs work and tells once how it ended. The outcome is passed on unchanged.
 *
 * @param asError makes an announceable error of what the work threw; default: {@link asBrokerError}
 */
export async function timed<T>(
  work: () => Promise<T>,
  clock: Clock,
  told: Observer,
  asError: (thrown: unknown) => BrokerError = asBrokerError,
): Promise<T> {
  const began = clock.monotonic()
  const seconds = (): number => (clock.monotonic() - began) / 1000
  let result: T
  try {
    result = await work()
  } catch (thrown) {
    told(seconds(), asError(thrown))
    throw thrown
  }
  told(seconds())
  return result
}
