import type { Wait } from '../clock.ts'
import { systemWait } from './deadline.ts'

/** Hedges that begin within the time after which a request has one, for all requests together, as long as they do not help. */
export const leastHedges = 4
const mostHedges = 1_000

/**
 * Limits the hedges of all requests to one server together. Otherwise a server that is slow for all requests would get each of
 * them twice, when it can bear it least. Then hedges do not succeed first, and only {@link leastHedges} begin within the time
 * after which a request has one. After an outage they do, and each success doubles the number, until one comes too late.
 */
export class Hedges {
  #most = leastHedges
  /** Those that began within that time, and did not help. */
  #counted = 0
  readonly #waiting = new Set<() => void>()

  /** Resolves when a hedge may begin, in the order of the calls. Stays pending if the signal aborts first. */
  turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    signal.addEventListener('abort', () => this.#waiting.delete(resolve), { once: true })
    this.#next()
    return promise
  }

  /** A hedge has succeeded first, so that it no longer counts. */
  helped(): void {
    this.#most = Math.min(2 * this.#most, mostHedges)
    this.done()
  }

  /** A hedge ended with its request, for another reason. It counts until {@link done}. */
  useless(): void {
    this.#most = leastHedges
  }

  /** The time of a hedge is over. */
  done(): void {
    this.#counted--
    this.#next()
  }

  #next(): void {
    for (const begin of this.#waiting) {
      if (this.#counted >= this.#most) return
      this.#counted++
      this.#waiting.delete(begin)
      begin()
    }
  }
}

/**
 * Runs a request that may hang. If it has not settled after `everyMs`, and again after each `everyMs`, another one is made
 * beside it, in place of the last such one: a hedge. So a request that hangs since before a server recovered does not wait for
 * its deadline, and a slow server can still respond to the first. The first that settles decides; the others are aborted.
 *
 * @param request must settle when its signal aborts
 * @param outer ends all of them, at the deadline
 * @param wait measures the time; by default a timer
 * @param hedges of all requests to the server; by default, this is the only request
 */
export async function hedged<T>(
  request: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  outer: AbortSignal,
  wait: Wait = systemWait,
  hedges = new Hedges(),
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const settled = new AbortController()
  const end = AbortSignal.any([outer, settled.signal])
  let last: { readonly controller: AbortController; hasHelped: boolean } | undefined
  const start = (replaced: AbortController): void => {
    request(AbortSignal.any([end, replaced.signal])).then(
      value => {
        if (last?.controller === replaced) last.hasHelped = !settled.signal.aborted
        resolve(value)
      },
      (thrown: unknown) => {
        if (!replaced.signal.aborted) reject(thrown)
      },
    )
  }
  const hedge = async (): Promise<void> => {
    await wait(everyMs, end)
    while (!end.aborted) {
      await hedges.turn(end)
      const current = { controller: new AbortController(), hasHelped: false }
      // Its time does not end with the request: if requests take just longer than that, each would have a short hedge.
      const time = wait(everyMs, new AbortController().signal)
      void time.then(() => {
        current.controller.abort()
        if (!current.hasHelped) hedges.done()
      })
      last = current
      if (!end.aborted) start(current.controller)
      await time
    }
  }
  start(new AbortController())
  // It rejects if its wait does, because everything is over.
  hedge().catch(() => undefined)
  try {
    return await promise
  } finally {
    settled.abort()
    if (last?.hasHelped === true) hedges.helped()
    else if (last !== undefined && !last.controller.signal.aborted) hedges.useless()
  }
}
