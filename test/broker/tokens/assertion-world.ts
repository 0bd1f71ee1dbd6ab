import { createAssertionCache } from '../../../src/broker/tokens/assertion-cache.ts'
import type { Assertion } from '../../../src/broker/events.ts'
import { movableClock } from '../../support/clock.ts'

const hours = 60 * 60_000

/** A signal that never aborts. */
export const signal = new AbortController().signal

/** An assertion cache over a source that issues numbered tokens of a day, as the platform does; `next` changes that. */
export function assertionWorld(timeoutMs = 5000) {
  const clock = movableClock()
  const world: { fetches: number; next: Partial<Assertion> | Error; random: number } = {
    fetches: 0,
    next: {},
    random: 0.5,
  }
  let gate: PromiseWithResolvers<void> | undefined
  const fetchAssertion = async (): Promise<Assertion> => {
    const token = `assertion-${++world.fetches}`
    const expiresAt = clock.now() + 24 * hours
    await gate?.promise
    if (world.next instanceof Error) throw world.next
    return { token, expiresAt, ...world.next }
  }
  const assertions = createAssertionCache(fetchAssertion, {
    clock,
    random: () => world.random,
    timeoutMs,
    fetched: () => undefined,
  })
  return {
    clock,
    world,
    assertions,
    get: async () => (await assertions.get(signal)).token,
    hold: () => {
      gate = Promise.withResolvers()
    },
    release: () => {
      gate?.resolve()
      gate = undefined
    },
  }
}
