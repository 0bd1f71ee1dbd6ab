import type { Wait } from '../clock.ts'

/** The system's timer. Stays pending when the signal aborts first. */
export const systemWait: Wait = (ms, signal) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timeout = setTimeout(resolve, ms)
  // Nothing waits for it any more, so the promise stays pending.
  signal.addEventListener('abort', () => clearTimeout(timeout), { once: true })
  return promise
}

/**
 * Runs work with a deadline: after `ms` its signal aborts, and the returned promise rejects, even if the work continues.
 *
 * @param ms milliseconds; a negative number counts as 0, for a caller whose time is over
 * @param expired creates the error with which it rejects
 * @param wait measures the time; by default a timer
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  ms: number,
  expired: () => Error,
  wait: Wait = systemWait,
): Promise<T> {
  const controller = new AbortController()
  const settled = new AbortController()
  const deadline = Promise.withResolvers<never>()
  wait(Math.max(0, ms), settled.signal).then(
    () => {
      deadline.reject(expired())
      controller.abort()
    },
    // The work was done first.
    () => undefined,
  )
  try {
    return await Promise.race([work(controller.signal), deadline.promise])
  } finally {
    settled.abort()
  }
}
