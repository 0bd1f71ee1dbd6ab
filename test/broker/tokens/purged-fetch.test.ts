import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { unavailable, settled } from './cache-world.ts'

/** A caller waits for a fetch that was purged. A newer fetch for the same key, for another caller, ends first. */
async function world(minExpiresIn = 0) {
  const clock = movableClock()
  const fetches: PromiseWithResolvers<IssuedToken>[] = []
  const source = () => {
    const fetch = Promise.withResolvers<IssuedToken>()
    fetches.push(fetch)
    return fetch.promise
  }
  const cache = createCache(source, {
    clock,
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs: 5000,
    concurrency: 64,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  const request = async (least: number) => {
    const { how, token, remaining } = await cache.get(grantFor(), least)
    return `${how} ${token.token} ${remaining / 1000}`
  }
  const early = request(minExpiresIn)
  cache.purge({})
  const late = request(0)
  await settled()
  const [first, second] = fetches
  assert.ok(first && second && fetches.length === 2)
  return { clock, early, late, first, second }
}

describe('a caller that waits for a purged fetch', () => {
  test('gets the newer token if that fetch fails', async () => {
    const { early, late, first, second } = await world()
    second.resolve({ token: 'newer', expiresIn: 3600 })
    assert.equal(await late, 'miss newer 3600')
    first.reject(unavailable())
    assert.equal(await early, 'collapsed newer 3600')
  })

  test('gets the failure if there is no newer token yet', async () => {
    const { early, late, first, second } = await world()
    first.reject(unavailable())
    await assert.rejects(early, { code: 'upstream_unavailable' })
    second.resolve({ token: 'newer', expiresIn: 3600 })
    assert.equal(await late, 'miss newer 3600')
  })

  test('gets the failure if the newer token has expired', async () => {
    const { clock, early, late, first, second } = await world()
    second.resolve({ token: 'newer', expiresIn: 3600 })
    await late
    clock.advance(3_540_000)
    first.reject(unavailable())
    await assert.rejects(early, { code: 'upstream_unavailable' })
  })

  for (const [expiresIn, outcome, why] of [
    [600, 'collapsed newer 600', 'as much as requested'],
    [599, 'rejected', 'a second less'],
  ] as const)
    test(`and needs ten minutes of life: a newer token with ${expiresIn} s (${why})`, async () => {
      const { early, late, first, second } = await world(600)
      second.resolve({ token: 'newer', expiresIn })
      await late
      first.resolve({ token: 'older', expiresIn: 300 })
      assert.equal(await early.catch(() => 'rejected'), outcome)
    })

  test('gets the result of that fetch if it succeeds', async () => {
    const { early, late, first, second } = await world()
    second.resolve({ token: 'newer', expiresIn: 3600 })
    await late
    first.resolve({ token: 'older', expiresIn: 3000 })
    assert.equal(await early, 'miss older 3000')
  })
})
