import type { Wait } from './clock.ts'
import { systemWait } from './deadline.ts'

/**
 * Runs a request that may hang. If it has not settled after `everyMs`, and again after each `everyMs`, another one is made
 * beside it, in place of the last such one. So a request that hangs since before a server recovered does not wait for its
 * deadline, and a slow server can still respond to the first. The first that settles decides; the others are aborted.
 *
 * @param request must settle when its signal aborts
 * @param outer ends all of them, at the deadline
 * @param wait measures the time; by default a timer
 */
export async function hedged<T>(
  request: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  outer: AbortSignal,
  wait: Wait = systemWait,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const settled = new AbortController()
  const end = AbortSignal.any([outer, settled.signal])
  const start = (replaced: AbortController): void => {
    request(AbortSignal.any([end, replaced.signal])).then(resolve, (thrown: unknown) => {
      if (!replaced.signal.aborted) reject(thrown)
    })
  }
  const hedge = async (): Promise<void> => {
    for (let last: AbortController | undefined; !end.aborted;) {
      await wait(everyMs, end)
      last?.abort()
      last = new AbortController()
      start(last)
    }
  }
  start(new AbortController())
  // It rejects if its wait does, because everything is over.
  hedge().catch(() => undefined)
  try {
    return await promise
  } finally {
    settled.abort()
  }
}
