import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { BrokerError } from '../../../src/errors.ts'
import { atOnce, cacheWorld } from './cache-world.ts'
import { arm, callerWith, grantFor, ids } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const minutes = 60_000

describe('a token is fetched once', () => {
  test('and served from the cache afterwards, without waiting', async () => {
    const { cache, get, fetched } = cacheWorld()
    assert.equal(await get(), 'miss token-1')
    const served = cache.get(grantFor(), 0)
    assert.ok(atOnce(served))
    assert.deepEqual([served.how, served.token.token, served.remaining], ['hit', 'token-1', 3_600_000])
    assert.equal(fetched.length, 1)
  })

  test('a token with a short life is served if it replaces an expired one', async () => {
    const { clock, get, world } = cacheWorld()
    await get()
    clock.advance(3_545_000)
    world.next = { expiresIn: 50 }
    assert.equal(await get(), 'expired token-2')
  })

  test('for every caller', async () => {
    const { get } = cacheWorld()
    await get()
    const other = await callerWith({ sub: 'system:serviceaccount:web:worker' })
    assert.equal(await get(grantFor({}, other)), 'hit token-1')
  })

  test('for a thousand callers at once', async () => {
    const { get, fetched } = cacheWorld()
    const all = await Promise.all(Array.from({ length: 1000 }, () => get()))
    assert.deepEqual(new Set(all), new Set(['miss token-1', 'collapsed token-1']))
    assert.equal(all.filter(each => each.startsWith('miss')).length, 1)
    assert.equal(fetched.length, 1)
  })

  const others: readonly [change: Parameters<typeof grantFor>[0], why: string][] = [
    [{ tenant: ids.fabrikam }, 'tenant'],
    [{ scope: arm }, 'scope'],
    [{ application: 'other' }, 'application'],
  ]
  for (const [change, why] of others) {
    test(`another ${why} has its own token, also when both are fetched at once`, async () => {
      const { get, fetched } = cacheWorld()
      assert.deepEqual(await Promise.all([get(), get(grantFor(change))]), ['miss token-1', 'miss token-2'])
      assert.equal(await get(grantFor(change)), 'hit token-2')
      assert.equal(await get(), 'hit token-1')
      assert.equal(fetched.length, 2)
    })
  }
})

describe('a token has expired', () => {
  const jumps: readonly [wall: number, elapsed: number, why: string][] = [
    [0, 59 * minutes, 'a minute is left'],
    [59 * minutes, 0, 'by the wall clock alone'],
    [-120 * minutes, 59 * minutes, 'by the monotonic clock, although the wall clock was set back'],
  ]
  for (const [wall, elapsed, why] of jumps) {
    test(why, async () => {
      const { get, clock } = cacheWorld()
      await get()
      clock.jumpWall(wall)
      clock.advance(elapsed)
      assert.equal(await get(), 'expired token-2')
      assert.equal(await get(), 'hit token-2')
    })
  }

  test('by its own exp, although expires_in says more', async () => {
    const { get, clock, world } = cacheWorld()
    world.next = { expiresAt: clock.now() + 30 * minutes }
    await get()
    world.next = {}
    clock.advance(29 * minutes)
    assert.equal(await get(), 'expired token-2')
  })

  test('not by a wall clock that jumps back', async () => {
    const { get, clock } = cacheWorld()
    await get()
    clock.jumpWall(-120 * minutes)
    assert.equal(await get(), 'hit token-1')
  })
})

describe('a cold failure', () => {
  test('is returned to all callers that wait, and cached for its Retry-After', async () => {
    const { get, world, fetched, failures, clock } = cacheWorld()
    world.next = new BrokerError('upstream_unavailable', 'a limit', { reason: 'throttled', retryAfter: 7 })
    const all = await Promise.allSettled([get(), get(), get()])
    for (const each of all) assert.equal(each.status === 'rejected' && each.reason, world.next)
    assert.equal(fetched.length, 1)
    assert.deepEqual(failures, [])
    world.next = {}
    // Retry-After, and half of a second's jitter.
    clock.advance(7_499)
    await assert.rejects(get(), { code: 'upstream_unavailable', retryAfter: 1 })
    assert.equal(fetched.length, 1)
    clock.advance(1)
    assert.equal(await get(), 'miss token-2')
  })

  for (const [life, why] of [
    [{ expiresAt: 1 }, 'it ended long ago'],
    [{ expiresIn: 3600, expiresAt: Date.UTC(2026, 4, 20, 12) }, 'it ends now'],
  ] as const) {
    test(`is a token that has expired on arrival: ${why}`, async () => {
      const { get, world } = cacheWorld()
      world.next = life
      await assert.rejects(get(), (thrown: unknown) => {
        assert.ok(thrown instanceof BrokerError)
        assert.deepEqual([thrown.code, thrown.reason], ['upstream_invalid', 'expired'])
        return true
      })
    })
  }

  test('is a source that ignores its signal and never settles: callers get an error after the timeout', async () => {
    const aborted = Promise.withResolvers<void>()
    const never = Promise.withResolvers<never>()
    const cache = createCache(
      (_, signal) => {
        signal.addEventListener('abort', () => aborted.resolve())
        return never.promise
      },
      {
        clock: movableClock(),
        random: () => 0,
        maxEntries: 10,
        minRemainingSeconds: 60,
        timeoutMs: 5,
        concurrency: 64,
        events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
      },
    )
    await assert.rejects(async () => cache.get(grantFor(), 0), { code: 'upstream_unavailable' })
    await aborted.promise
  })
})

describe('the cache is bounded', () => {
  test('the least recently used token is evicted', async () => {
    const { get } = cacheWorld({ maxEntries: 2 })
    const [one, two, three] = [grantFor(), grantFor({ scope: arm }), grantFor({ tenant: ids.fabrikam })]
    await get(one)
    await get(two)
    await get(one)
    await get(three)
    assert.equal(await get(one), 'hit token-1')
    assert.equal(await get(three), 'hit token-3')
    assert.equal(await get(two), 'miss token-4')
  })
})
