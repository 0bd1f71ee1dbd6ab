/**
 * Runs work that must settle in time: its signal aborts after `ms`, and the result rejects then even if the work goes on
 * regardless.
 *
 * @param expired makes the error to reject with
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  ms: number,
  expired: () => Error,
): Promise<T> {
  const controller = new AbortController()
  const deadline = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    deadline.reject(expired())
    controller.abort()
  }, ms)
  try {
    return await Promise.race([work(controller.signal), deadline.promise])
  } finally {
    clearTimeout(timer)
  }
}
