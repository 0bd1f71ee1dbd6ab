import { setTimeout as sleep } from 'node:timers/promises'

/** Not ready until every need was obtained once; then ready for good. */
export interface Readiness {
  readonly isReady: () => boolean
  /** Obtains the needs, and retries each until it succeeds. Resolves once ready, or when `signal` aborts. Never rejects. */
  readonly reach: (signal: AbortSignal) => Promise<void>
}

/** Something that must succeed once before the service is ready. */
export interface Need {
  /** For log messages. */
  readonly name: string
  readonly get: () => Promise<unknown>
}

const firstPauseMs = 250
const longestPauseMs = 10_000

/**
 * Creates the readiness of a service: it obtains at the start, and not on the first request, what the service cannot work
 * without. It stays ready if an upstream fails later, so an outage takes no replica with valid tokens out of service.
 *
 * Starts nothing before `reach` is called. After a failed attempt it pauses for up to 250 ms, then up to 500 ms … 10 s, and
 * for at least half of that.
 *
 * @param failed called after every failed attempt
 * @param random uniform in [0, 1)
 */
export function createReadiness(
  needs: readonly Need[],
  failed: (need: string, error: unknown) => void,
  random: () => number,
): Readiness {
  let obtained = 0
  const obtain = async (need: Need, signal: AbortSignal): Promise<void> => {
    for (let pause = firstPauseMs; !signal.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
      try {
        await need.get()
        obtained++
        return
      } catch (thrown) {
        failed(need.name, thrown)
      }
      await sleep(pause * (0.5 + random() / 2), undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  return {
    isReady: () => obtained === needs.length,
    reach: async signal => {
      await Promise.all(needs.map(need => obtain(need, signal)))
    },
  }
}
