import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { atOnce, unavailable, cacheWorld, settled } from './cache-world.ts'
import { arm, grantFor } from '../../support/callers.ts'

const minutes = 60_000

/** Asserts the error for a life that is too short, with the seconds that are available. */
async function tooShort(served: Promise<unknown>, availableExpiresIn: number): Promise<BrokerError> {
  const thrown: unknown = await served.then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.ok(thrown instanceof BrokerError)
  assert.deepEqual([thrown.code, thrown.reason], ['upstream_unavailable', 'min_expires_in'])
  assert.equal(thrown.parts.availableExpiresIn, availableExpiresIn)
  assert.ok((thrown.retryAfter ?? 0) >= 1)
  return thrown
}

describe('a caller that sends min_expires_in', () => {
  test('is served at once if the cached token lives as long', async () => {
    const { cache, get, clock, fetched } = cacheWorld()
    await get()
    clock.advance(30 * minutes)
    const served = cache.get(grantFor(), 1800)
    assert.ok(atOnce(served))
    assert.equal(fetched.length, 1)
  })

  test('waits for a new token if the cached one ends a millisecond too early', async () => {
    const { get, clock } = cacheWorld()
    await get()
    clock.advance(30 * minutes + 1)
    assert.equal(await get(grantFor(), 1800), 'request token-2')
    assert.equal(await get(), 'hit token-2')
  })

  test('does not wait without it', async () => {
    const { get, clock } = cacheWorld()
    await get()
    clock.advance(58 * minutes)
    assert.equal(await get(), 'due token-1')
  })

  test('gets a newly fetched token that lives long enough', async () => {
    const { get } = cacheWorld()
    assert.equal(await get(grantFor(), 1800), 'miss token-1')
  })

  test('gets the available seconds if a newly fetched token does not live long enough', async () => {
    const { get, world } = cacheWorld()
    world.next = { expiresIn: 900 }
    await tooShort(get(grantFor(), 1800), 900)
    assert.equal(await get(), 'hit token-1', 'the token is cached for callers that need less')
  })

  test('joins the fetch that is under way', async () => {
    const { get, clock, fetched } = cacheWorld()
    await get()
    clock.advance(45 * minutes)
    const [, served] = await Promise.all([get(), get(grantFor(), 1800)])
    assert.equal(served, 'collapsed token-2')
    assert.equal(fetched.length, 2)
  })

  test('joins the replacement that another caller caused', async () => {
    const { get, clock, fetched } = cacheWorld()
    await get()
    clock.advance(31 * minutes)
    const served = await Promise.all([get(grantFor(), 1800), get(grantFor(), 1800)])
    assert.deepEqual(served, ['request token-2', 'collapsed token-2'])
    assert.equal(fetched.length, 2)
  })
})

describe('min_expires_in replaces a token', () => {
  test('once a minute at most', async () => {
    const { get, clock, world, fetched } = cacheWorld()
    world.next = { expiresIn: 1000 }
    await get()
    await tooShort(get(grantFor(), 1800), 1000)
    assert.equal(fetched.length, 2)
    clock.advance(59_999)
    await tooShort(get(grantFor(), 1800), 940)
    assert.equal(fetched.length, 2)
    clock.advance(1)
    world.next = {}
    assert.equal(await get(grantFor(), 1800), 'request token-3')
  })

  test('for each key separately', async () => {
    const { get, clock } = cacheWorld()
    await Promise.all([get(), get(grantFor({ scope: arm }))])
    clock.advance(31 * minutes)
    assert.equal(await get(grantFor(), 1800), 'request token-3')
    assert.equal(await get(grantFor({ scope: arm }), 1800), 'request token-4')
  })

  test('not again within the minute after a failure; other callers keep their token', async () => {
    const { get, clock, world, fetched } = cacheWorld()
    await get()
    clock.advance(31 * minutes)
    world.next = unavailable()
    const error = await tooShort(get(grantFor(), 1800), 1740)
    assert.equal(error.cause, world.next)
    assert.equal(error.retryAfter, 7, 'as the upstream said')
    await tooShort(get(grantFor(), 1800), 1740)
    assert.equal(fetched.length, 2)
    assert.equal(await get(), 'hit token-1')
  })

  test('the error has the life of the new token, not of the replaced one', async () => {
    const { get, clock, world } = cacheWorld()
    world.next = { expiresIn: 600 }
    await get()
    clock.advance(5 * minutes)
    world.next = { expiresIn: 1700 }
    await tooShort(get(grantFor(), 1800), 1700)
    await settled()
    assert.equal(await get(grantFor(), 1700), 'hit token-2')
  })
})
