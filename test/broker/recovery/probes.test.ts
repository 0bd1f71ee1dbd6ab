import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createRateLimits } from '../../../src/broker/authorization/rate-limits.ts'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor, graph, ids, limitedGrant } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { cacheWorld, settled } from '../tokens/cache-world.ts'

const failed = (reason: 'timeout' | 'throttled') => new BrokerError('upstream_unavailable', 'unavailable', { reason })
const other = grantFor({ application: 'default', tenant: ids.fabrikam, scope: graph })

/** A cache with the failure of one key, a second later, when a probe is due. */
async function afterFailure(error: BrokerError, options: Parameters<typeof cacheWorld>[0] = {}) {
  const made = cacheWorld(options)
  made.world.next = error
  await assert.rejects(made.get())
  made.clock.advance(1000)
  return made
}

describe('a cold caller during an outage', () => {
  test('gets its 503 at once, and its request causes one probe in the background, whose token is cached', async () => {
    const { get, fetched, world, hold, release } = await afterFailure(failed('timeout'))
    world.next = {}
    hold()
    for (let caller = 0; caller < 10; caller++) await assert.rejects(get(), { reason: 'timeout' })
    assert.equal(fetched.length, 2)
    release()
    await settled()
    assert.equal(await get(), 'hit token-2')
  })

  test('causes no probe of another key', async () => {
    const { get, fetched, clock, world } = await afterFailure(failed('timeout'))
    await assert.rejects(get(other))
    clock.advance(1000)
    fetched.length = 0
    world.next = failed('timeout')
    for (let caller = 0; caller < 10; caller++) await assert.rejects(get(other))
    await settled()
    assert.deepEqual(
      fetched.map(({ tenant }) => tenant),
      [ids.fabrikam],
    )
  })

  test('causes no probe after a limit', async () => {
    const { get, fetched, clock } = await afterFailure(failed('throttled'))
    clock.advance(-900)
    for (let ms = 0; ms < 300; ms += 100) {
      await assert.rejects(get(), { reason: 'throttled' })
      clock.advance(100)
    }
    assert.equal(fetched.length, 1)
  })

  test('does not wait for a probe that hangs, and starts a fetch of its own once the authority is well', async () => {
    const { get, fetched, world, hold, release, clock } = await afterFailure(failed('timeout'))
    hold()
    await assert.rejects(get(), { reason: 'timeout' })
    // What hangs now hangs for ever.
    hold()
    release()
    world.next = {}
    assert.equal(await get(other), 'miss token-3')
    clock.advance(500)
    assert.equal(await get(), 'miss token-4')
    assert.equal(fetched.length, 4)
  })

  test('is served from a probe that was slower than the start of its own fetch, while that one is under way', async () => {
    const { get, world, hold, release, clock } = await afterFailure(failed('timeout'))
    const releaseProbe = hold()
    await assert.rejects(get(), { reason: 'timeout' })
    hold()
    release()
    world.next = {}
    assert.equal(await get(other), 'miss token-3')
    clock.advance(500)
    hold()
    const own = get()
    releaseProbe()
    await settled()
    assert.equal(await get(), 'hit token-2')
    release()
    assert.equal(await own, 'miss token-4')
  })

  test('with a valid token that only ends too soon for it causes no probe', async () => {
    const { get, fetched, clock, world } = cacheWorld()
    await get()
    clock.advance(2_000_000)
    world.next = failed('timeout')
    for (let second = 0; second < 5; second++) {
      await assert.rejects(get(grantFor(), 1800), { code: 'upstream_unavailable' })
      clock.advance(1000)
    }
    assert.equal(fetched.length, 2)
  })

  test('after a purge does not get the token of a probe that began before it', async () => {
    const { get, cache, world, hold, release } = await afterFailure(failed('timeout'))
    world.next = {}
    hold()
    await assert.rejects(get(), { reason: 'timeout' })
    cache.purge({})
    release()
    await settled()
    assert.equal(await get(), 'miss token-3')
  })
})

describe('probes count towards the exchangeLimit of the callers that cause them', () => {
  for (const count of [1, 3])
    test(`with ${count} an hour there are ${count} exchanges, however often it requests its key`, async () => {
      const clock = movableClock()
      const { cache, fetched, world } = cacheWorld({ clock, charge: createRateLimits(clock).chargeExchange })
      const grant = limitedGrant(`${count}/h`)
      world.next = failed('timeout')
      for (let ms = 0; ms < 30_000; ms += 200) {
        await assert.rejects(async () => cache.get(grant, 0), { code: 'upstream_unavailable' }, 'and never a 429')
        clock.advance(200)
      }
      assert.equal(fetched.length, count)
    })
})
