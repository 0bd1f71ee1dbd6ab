import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAssertionCache } from '../../../src/broker/tokens/assertion-cache.ts'
import { BrokerError } from '../../../src/errors.ts'
import { movableClock } from '../../support/clock.ts'
import { assertionWorld, signal } from './assertion-world.ts'

const minutes = 60_000
const hours = 60 * minutes

const settled = () => new Promise(resolve => setImmediate(resolve))
const unavailable = () => new BrokerError('identity_unavailable', 'unavailable', { reason: 'network' })

describe("the identity's token is fetched once", () => {
  test('for all callers that wait for it, and cached', async () => {
    const { get, world } = assertionWorld()
    assert.deepEqual(await Promise.all([get(), get(), get()]), ['assertion-1', 'assertion-1', 'assertion-1'])
    assert.equal(await get(), 'assertion-1')
    assert.equal(world.fetches, 1)
  })

  test('a failure is returned to all callers that wait, and cached for a short time', async () => {
    const { get, world, clock } = assertionWorld()
    world.next = unavailable()
    const all = await Promise.allSettled([get(), get()])
    for (const each of all) assert.equal(each.status === 'rejected' && each.reason, world.next)
    assert.equal(world.fetches, 1)
    world.next = {}
    await assert.rejects(get(), { code: 'identity_unavailable', retryAfter: 1 })
    assert.equal(world.fetches, 1)
    clock.advance(500)
    assert.equal(await get(), 'assertion-2')
  })

  test('each failure in a row is cached longer: up to 1 s, then 1.5 s', async () => {
    const { get, world, clock } = assertionWorld()
    world.random = 1
    world.next = unavailable()
    for (const [n, seconds] of [1, 1.5, 1.5, 1.5].entries()) {
      await assert.rejects(get(), world.next)
      assert.equal(world.fetches, n + 1)
      await assert.rejects(get(), { code: 'identity_unavailable', retryAfter: Math.ceil(seconds) })
      clock.advance(seconds * 1000 - 1)
      await assert.rejects(get(), { retryAfter: 1 })
      assert.equal(world.fetches, n + 1)
      clock.advance(1)
    }
    world.next = {}
    await get()
    clock.advance(24 * hours)
    world.next = unavailable()
    await assert.rejects(get(), world.next)
    await assert.rejects(get(), { retryAfter: 1 }, 'after a success, failures are counted from the start')
  })

  test('the back-off is added to Retry-After', async () => {
    const { get, world, clock } = assertionWorld()
    world.next = new BrokerError('identity_unavailable', 'unavailable', { reason: 'status', retryAfter: 20 })
    await assert.rejects(get(), world.next)
    clock.advance(20_499)
    await assert.rejects(get(), { retryAfter: 1 })
    assert.equal(world.fetches, 1)
    clock.advance(1)
    await assert.rejects(get(), { retryAfter: 20 })
    assert.equal(world.fetches, 2)
  })

  test('a cached failure has no cause: that can contain a request', async () => {
    const { get, world } = assertionWorld()
    world.next = new BrokerError('identity_unavailable', 'unavailable', {
      reason: 'network',
      cause: new Error('a request'),
    })
    await assert.rejects(get(), world.next)
    await assert.rejects(get(), (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual([thrown.reason, thrown.parts.cause, thrown.cause], ['network', undefined, undefined])
      return true
    })
  })

  test('a bug is not cached', async () => {
    const { get, world } = assertionWorld()
    world.next = new TypeError('a bug')
    await assert.rejects(get(), world.next)
    world.next = {}
    assert.equal(await get(), 'assertion-2')
  })
})

describe('when it is due', () => {
  test('it is served while one fetch in the background replaces it', async () => {
    const { get, world, clock } = assertionWorld()
    await get()
    clock.advance(18 * hours - 1)
    await get()
    assert.equal(world.fetches, 1)
    clock.advance(1)
    assert.deepEqual(await Promise.all([get(), get()]), ['assertion-1', 'assertion-1'])
    await settled()
    assert.equal(await get(), 'assertion-2')
    assert.equal(world.fetches, 2)
  })

  test('a failed refresh does not affect callers; the next one waits longer', async () => {
    const { get, world, clock } = assertionWorld()
    world.random = 1
    await get()
    clock.advance(20 * hours)
    world.next = unavailable()
    for (const wait of [15_000, 30_000, 60_000]) {
      const before = world.fetches
      assert.equal(await get(), 'assertion-1')
      await settled()
      assert.equal(world.fetches, before + 1)
      clock.advance(wait - 1)
      assert.equal(await get(), 'assertion-1')
      assert.equal(world.fetches, before + 1)
      clock.advance(1)
    }
    world.next = {}
    await get()
    await settled()
    assert.equal(await get(), 'assertion-5')
  })

  test('a failed refresh counts once, for any number of callers meanwhile', async () => {
    const { get, world, clock, hold, release } = assertionWorld()
    world.random = 1
    await get()
    clock.advance(20 * hours)
    world.next = unavailable()
    hold()
    await Promise.all(Array.from({ length: 20 }, get))
    release()
    await settled()
    assert.equal(world.fetches, 2)
    clock.advance(15_000)
    await get()
    assert.equal(world.fetches, 3, 'the first back-off is 15 s at most')
  })

  test('a platform that returns the same token again is not called at once again', async () => {
    const { get, world, clock } = assertionWorld()
    const expiresAt = clock.now() + 24 * hours
    world.next = { token: 'same', expiresAt }
    await get()
    clock.advance(20 * hours)
    await get()
    await settled()
    assert.equal(world.fetches, 2)
    assert.equal(await get(), 'same')
    await settled()
    assert.equal(world.fetches, 2)
  })
})

describe('when it has expired', () => {
  const jumps: readonly [wall: number, elapsed: number, why: string][] = [
    [0, 24 * hours - minutes, 'a minute is left: the exchange could arrive too late'],
    [24 * hours, 0, 'by the wall clock alone'],
    [-24 * hours, 24 * hours, 'by the monotonic clock alone'],
  ]
  for (const [wall, elapsed, why] of jumps) {
    test(why, async () => {
      const { get, clock } = assertionWorld()
      await get()
      clock.jumpWall(wall)
      clock.advance(elapsed)
      assert.equal(await get(), 'assertion-2')
    })
  }

  test('and the identity endpoint is unavailable, callers get the error', async () => {
    const { get, clock, world } = assertionWorld()
    await get()
    clock.advance(24 * hours)
    world.next = unavailable()
    await assert.rejects(get(), { code: 'identity_unavailable' })
  })

  test('a token that has expired before it arrives is refused', async () => {
    const { get, clock, world } = assertionWorld()
    world.next = { expiresAt: clock.now() }
    await assert.rejects(get(), (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual([thrown.code, thrown.reason], ['identity_unavailable', 'expired'])
      return true
    })
  })
})

describe('after Entra refused the token', () => {
  test('a new one is fetched, once for all callers', async () => {
    const { assertions, world } = assertionWorld()
    const refused = await assertions.get(signal)
    const renewed = await Promise.all([assertions.renew(refused, signal), assertions.renew(refused, signal)])
    assert.deepEqual(
      renewed.map(({ token }) => token),
      ['assertion-2', 'assertion-2'],
    )
    assert.equal(world.fetches, 2)
    assert.equal((await assertions.get(signal)).token, 'assertion-2')
  })

  test('nothing is fetched if a newer one is cached by then', async () => {
    const { assertions, world } = assertionWorld()
    const refused = await assertions.get(signal)
    await assertions.renew(refused, signal)
    assert.equal((await assertions.renew(refused, signal)).token, 'assertion-2')
    assert.equal(world.fetches, 2)
  })

  test('the platform may return the same token again', async () => {
    const { assertions, world } = assertionWorld()
    world.next = { token: 'same' }
    const refused = await assertions.get(signal)
    assert.equal((await assertions.renew(refused, signal)).token, 'same')
  })

  test('a failed renewal leaves the token in use', async () => {
    const { assertions, get, world } = assertionWorld()
    const refused = await assertions.get(signal)
    world.next = unavailable()
    await assert.rejects(assertions.renew(refused, signal))
    assert.equal(await get(), 'assertion-1')
  })
})

test('a source that ignores its signal and never settles is abandoned after the timeout', async () => {
  let given: AbortSignal | undefined
  const never = Promise.withResolvers<never>()
  const assertions = createAssertionCache(
    aborted => {
      given = aborted
      return never.promise
    },
    { clock: movableClock(), random: () => 0.5, timeoutMs: 5, fetched: () => undefined },
  )
  await assert.rejects(assertions.get(signal), { code: 'identity_unavailable' })
  assert.equal(given?.aborted, true)
})
