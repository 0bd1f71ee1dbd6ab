import { setTimeout as sleep } from 'node:timers/promises'

/** A latch: not ready until everything it waits for was obtained once, then ready for good. */
export interface Readiness {
  readonly isReady: () => boolean
  /** Settles once ready, or when `signal` aborts; retries until then. Never rejects. */
  readonly reach: (signal: AbortSignal) => Promise<void>
}

/** Something that must succeed once before the service is ready. */
export interface Need {
  readonly name: string
  readonly get: () => Promise<unknown>
}

const firstPauseMs = 250
const longestPauseMs = 10_000

/**
 * Obtains what the service cannot work without at the start, not on the first request. It stays ready afterwards whatever
 * happens upstream, so an outage takes no replica with valid tokens out of service.
 *
 * @param failed called after every failed attempt
 */
export function createReadiness(
  needs: readonly Need[],
  failed: (need: string, error: unknown) => void,
  random: () => number,
): Readiness {
  let met = 0
  const meet = async (need: Need, signal: AbortSignal): Promise<void> => {
    for (let pause = firstPauseMs; !signal.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
      try {
        await need.get()
        met++
        return
      } catch (thrown) {
        failed(need.name, thrown)
      }
      await sleep(pause * (0.5 + random() / 2), undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  return {
    isReady: () => met === needs.length,
    reach: async signal => {
      await Promise.all(needs.map(need => meet(need, signal)))
    },
  }
}
