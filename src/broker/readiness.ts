import { setTimeout as sleep } from 'node:timers/promises'

/** A latch: not ready until everything it waits for was had once; ready for good from then on. */
export interface Readiness {
  readonly isReady: () => boolean
  /** Settles once ready, or when `signal` aborts; tries again and again until then. Never rejects. */
  readonly reach: (signal: AbortSignal) => Promise<void>
}

/** Something that must have worked once. */
export interface Need {
  readonly name: string
  readonly get: () => Promise<unknown>
}

const firstPauseMs = 250
const longestPauseMs = 10_000

/**
 * Waits for what the service cannot work without, at start and not on the first request. It stays ready afterwards
 * whatever happens upstream, so that an outage there takes no replica with valid tokens out of service.
 *
 * @param failed told of every failed attempt
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
