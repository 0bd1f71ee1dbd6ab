/**
 * Runs work with a deadline: after `ms` its signal aborts, and the returned promise rejects, even if the work continues.
 *
 * @param ms milliseconds
 * @param expired creates the error with which it rejects
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
