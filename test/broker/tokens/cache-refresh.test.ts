import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { atOnce, unavailable, cacheWorld, settled } from './cache-world.ts'
import { grantFor } from '../../support/callers.ts'

const minutes = 60_000

describe('a token that is due', () => {
  test('is served at once while one fetch in the background replaces it', async () => {
    const { cache, get, clock, fetched, hold, release } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    hold()
    for (let caller = 0; caller < 100; caller++) {
      const served = cache.get(grantFor(), 0)
      assert.ok(atOnce(served))
      assert.deepEqual([served.how, served.token.token], ['due', 'token-1'])
    }
    assert.equal(fetched.length, 2)
    release()
    await settled()
    assert.equal(await get(), 'hit token-2')
    assert.equal(fetched.length, 2)
  })

  test('is not replaced while it is not requested', async () => {
    const { get, clock, fetched } = cacheWorld()
    await get()
    clock.advance(59 * minutes)
    await settled()
    assert.equal(fetched.length, 1)
  })

  test('is due when the issuer suggests', async () => {
    const { get, clock, world } = cacheWorld()
    world.next = { refreshIn: 1200 }
    await get()
    clock.advance(20 * minutes - 1)
    assert.equal(await get(), 'hit token-1')
    clock.advance(1)
    assert.equal(await get(), 'due token-1')
  })
})

describe('a refresh that fails', () => {
  test('never affects a caller, and is reported once', async () => {
    const { get, clock, world, failures } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    world.next = unavailable()
    assert.equal(await get(), 'due token-1')
    await settled()
    assert.equal(await get(), 'refresh-failed token-1')
    assert.equal(failures.length, 1)
    assert.equal(failures[0], world.next)
  })

  test('is reported as internal_error if it is no BrokerError', async () => {
    const { get, clock, world, failures } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    world.next = new TypeError('a bug')
    await get()
    await settled()
    assert.equal(failures[0]?.code, 'internal_error')
  })

  test('is counted once, for any number of callers meanwhile', async () => {
    const { get, clock, world, failures, fetched, hold, release } = cacheWorld()
    world.random = 1
    await get()
    clock.advance(50 * minutes)
    world.next = unavailable()
    hold()
    await Promise.all(Array.from({ length: 20 }, () => get()))
    release()
    await settled()
    assert.equal(failures.length, 1)
    clock.advance(15_000)
    await get()
    assert.equal(fetched.length, 3, 'the first back-off is 15 s at most')
  })

  test('is followed by a longer wait each time: up to 15 s, 30 s, 60 s', async () => {
    const { get, clock, world, fetched } = cacheWorld()
    world.random = 1
    await get()
    clock.advance(50 * minutes)
    world.next = unavailable()
    await get()
    for (const wait of [15_000, 30_000, 60_000]) {
      await settled()
      const before = fetched.length
      clock.advance(wait - 1)
      await get()
      assert.equal(fetched.length, before)
      clock.advance(1)
      await get()
      assert.equal(fetched.length, before + 1)
    }
  })

  test('is forgotten once a refresh succeeds', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    clock.advance(50 * minutes)
    world.next = unavailable()
    await get()
    await settled()
    world.next = {}
    clock.advance(15_000)
    await get()
    await settled()
    assert.equal(await get(), 'hit token-3')
  })

  test('does not affect callers until the token expires; then they get the error', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    world.next = unavailable()
    clock.advance(59 * minutes - 1)
    assert.equal(await get(), 'due token-1')
    await settled()
    clock.advance(1)
    await assert.rejects(get(), { code: 'upstream_unavailable', retryAfter: 8 })
  })
})

describe('a refresh that returns no token with a later end counts as "not yet"', () => {
  test('the cached token stays, and the next refresh waits', async () => {
    const { get, clock, world, fetched, failures } = cacheWorld()
    world.random = 1
    await get()
    clock.advance(50 * minutes)
    world.next = { expiresIn: 600 }
    await get()
    await settled()
    assert.match(await get(), / token-1$/)
    assert.equal(fetched.length, 2)
    assert.deepEqual(failures, [])
    clock.advance(15_000)
    await get()
    assert.equal(fetched.length, 3)
  })

  test('one second more is a later end', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    clock.advance(50 * minutes)
    world.next = { expiresIn: 601 }
    await get()
    await settled()
    assert.match(await get(), / token-2$/)
  })
})
