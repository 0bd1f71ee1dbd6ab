import type { Wait } from '../../broker/lib/clock.ts'

/** News of a fetch: its token was stored, or it failed. The bytes are the sealed failure. */
export type News = 'stored' | Buffer

/** Waiting for the replica that has a lease. */
export interface WakeUps {
  /** Starts to listen for news of a name. Call `stop` at the end. */
  readonly listen: (name: string) => Listener
  /** News of a name arrived. */
  readonly wake: (name: string, news: News) => void
}

/** Listens for news of one name. News that arrive before {@link next} is called are not lost. */
export interface Listener {
  /** Waits for news for so many milliseconds, or until the signal aborts. @returns `undefined` if there are none */
  readonly next: (ms: number, signal: AbortSignal) => Promise<News | undefined>
  readonly stop: () => void
}

interface Waiting {
  news: News | undefined
  wake: () => void
}

/** Creates the list of fetches that wait for another replica. It holds one entry for each of them. */
export function createWakeUps(wait: Wait): WakeUps {
  const listeners = new Map<string, Set<Waiting>>()
  return {
    wake(name, news) {
      for (const waiting of listeners.get(name) ?? []) {
        // A failure is not lost when more news come before it is read.
        if (news !== 'stored' || waiting.news === undefined) waiting.news = news
        waiting.wake()
      }
    },
    listen(name) {
      const waiting: Waiting = { news: undefined, wake: () => undefined }
      const all = listeners.get(name) ?? new Set()
      listeners.set(name, all.add(waiting))
      return {
        async next(ms, signal) {
          if (waiting.news === undefined) await sleepOrWake(waiting, ms, signal, wait)
          const { news } = waiting
          waiting.news = undefined
          return news
        },
        stop() {
          all.delete(waiting)
          if (all.size === 0) listeners.delete(name)
        },
      }
    },
  }
}

/** Settles after the time, at the first news, or when the signal aborts. */
async function sleepOrWake(waiting: Waiting, ms: number, signal: AbortSignal, wait: Wait): Promise<void> {
  const woken = Promise.withResolvers<void>()
  const settled = new AbortController()
  waiting.wake = woken.resolve
  signal.addEventListener('abort', () => woken.resolve(), { once: true, signal: settled.signal })
  if (signal.aborted) woken.resolve()
  try {
    // An injected wait may reject once it is no longer needed.
    await Promise.race([wait(ms, settled.signal).catch(() => undefined), woken.promise])
  } finally {
    settled.abort()
    waiting.wake = () => undefined
  }
}
