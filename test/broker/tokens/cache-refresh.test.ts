import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { atOnce, away, cacheWorld, settled } from './cache-world.ts'
import { grantFor } from '../../support/callers.ts'

const minutes = 60_000

describe('a token that is due', () => {
  test('is served at once while one background fetch replaces it', async () => {
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

  test('is not replaced while nobody asks for it', async () => {
    const { get, clock, fetched } = cacheWorld()
    await get()
    clock.advance(59 * minutes)
    await settled()
    assert.equal(fetched.length, 1)
  })

  test('is due when its issuer suggests', async () => {
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
  test('never reaches a caller, and is announced once', async () => {
    const { get, clock, world, failures } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    world.next = away()
    assert.equal(await get(), 'due token-1')
    await settled()
    assert.equal(await get(), 'refresh-failed token-1')
    assert.equal(failures.length, 1)
    assert.equal(failures[0], world.next)
  })

  test('of any kind: what is no error of ours is announced as internal_error', async () => {
    const { get, clock, world, failures } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    world.next = new TypeError('a bug')
    await get()
    await settled()
    assert.equal(failures[0]?.code, 'internal_error')
  })

  test('is counted once, however many callers come meanwhile', async () => {
    const { get, clock, world, failures, fetched, hold, release } = cacheWorld()
    world.random = 1
    await get()
    clock.advance(50 * minutes)
    world.next = away()
    hold()
    await Promise.all(Array.from({ length: 20 }, () => get()))
    release()
    await settled()
    assert.equal(failures.length, 1)
    clock.advance(15_000)
    await get()
    assert.equal(fetched.length, 3, 'the first back-off is 15 s at most')
  })

  test('backs off: 15 s, 30 s, 60 s', async () => {
    const { get, clock, world, fetched } = cacheWorld()
    world.random = 1
    await get()
    clock.advance(50 * minutes)
    world.next = away()
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

  test('is forgotten once one succeeds', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    clock.advance(50 * minutes)
    world.next = away()
    await get()
    await settled()
    world.next = {}
    clock.advance(15_000)
    await get()
    await settled()
    assert.equal(await get(), 'hit token-3')
  })

  test('costs callers nothing until the token has ended; then they are told', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    world.next = away()
    clock.advance(59 * minutes - 1)
    assert.equal(await get(), 'due token-1')
    await settled()
    clock.advance(1)
    await assert.rejects(get(), { code: 'upstream_unavailable', retryAfter: 8 })
  })
})

describe('a refresh that brings no later end counts as "not yet"', () => {
  test('the token that is held stays, and the next attempt waits', async () => {
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

  test('a second more is a later end', async () => {
    const { get, clock, world } = cacheWorld()
    await get()
    clock.advance(50 * minutes)
    world.next = { expiresIn: 601 }
    await get()
    await settled()
    assert.match(await get(), / token-2$/)
  })
})
