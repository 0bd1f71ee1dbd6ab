import { createCache, type CacheOptions } from '../../../src/broker/tokens/cache.ts'
import type { RefreshOutcome, TokenSource } from '../../../src/broker/events.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock, type MovableClock } from '../../support/clock.ts'
import { MemoryStore } from '../../support/memory-second-level.ts'
import type { Next } from './cache-world.ts'

/** One replica: a cache, and its connection to the store. */
export type Replica = ReturnType<ReturnType<typeof fleetWorld>['replica']>

/**
 * Replicas that share a second level in memory. All have one source, which issues numbered tokens of an hour; `next` changes
 * that. After `hold()` exchanges hang until `release()`.
 */
export function fleetWorld() {
  const clock = movableClock()
  const store = new MemoryStore(clock)
  const world = { next: {} as Next }
  const exchanged: string[] = []
  let gate: PromiseWithResolvers<void> | undefined

  /** @param own its clock, if it differs from the others' */
  const replica = (options: Partial<CacheOptions> = {}, own: MovableClock = clock) => {
    const secondLevel = store.replica(own)
    const refreshed: RefreshOutcome[] = []
    const source: TokenSource = async ({ key }) => {
      exchanged.push(key)
      const token = `token-${exchanged.length}`
      await gate?.promise
      if (world.next instanceof Error) throw world.next
      return { token, expiresIn: 3600, ...world.next }
    }
    const cache = createCache(source, {
      clock: own,
      random: () => 0.5,
      maxEntries: 100,
      minRemainingSeconds: 60,
      timeoutMs: 5000,
      concurrency: 64,
      events: { refreshed: (_, outcome) => void refreshed.push(outcome), negativeCacheHit: () => undefined },
      secondLevel,
      ...options,
    })
    /** The outcome of the cache, and the token. */
    const get = async (grant = grantFor(), minExpiresIn = 0) => {
      const { token, how } = await cache.get(grant, minExpiresIn)
      return `${how} ${token.token}`
    }
    /** The same, and whatever it started in the background has finished. */
    const getAndSettle = async (grant = grantFor()) => {
      const served = await get(grant)
      await settled()
      return served
    }
    return { cache, secondLevel, refreshed, get, getAndSettle }
  }

  return {
    clock,
    store,
    world,
    /** The keys of all exchanges, in order. */
    exchanged,
    replica,
    hold: () => {
      gate = Promise.withResolvers()
    },
    release: () => {
      gate?.resolve()
      gate = undefined
    },
  }
}

/** Lets all pending promises settle. */
export const settled = () => new Promise(resolve => setImmediate(resolve))
