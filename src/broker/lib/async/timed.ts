import { asBrokerError, type BrokerError } from '../../../errors.ts'
import type { Clock } from '../clock.ts'

/** Is called with the duration of some work in seconds, and with its error if it failed. */
export type Observer = (seconds: number, error?: BrokerError) => void

/**
 * Runs work and calls the observer once when it ends. The result is returned, and an error thrown, unchanged.
 *
 * @param asError turns what the work threw into the error for the observer; default: {@link asBrokerError}
 */
export async function timed<T>(
  work: () => Promise<T>,
  clock: Clock,
  observer: Observer,
  asError: (thrown: unknown) => BrokerError = asBrokerError,
): Promise<T> {
  const began = clock.monotonic()
  const seconds = (): number => (clock.monotonic() - began) / 1000
  let result: T
  try {
    result = await work()
  } catch (thrown) {
    observer(seconds(), asError(thrown))
    throw thrown
  }
  observer(seconds())
  return result
}
