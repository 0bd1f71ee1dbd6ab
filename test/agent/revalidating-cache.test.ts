import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import { arm } from '../support/callers.ts'
import { type Response, revalidatedCache, grantOf, hour, settled } from './revalidating-cache-world.ts'

describe('a token is confirmed', () => {
  test('by its fetch: there is no request for 240 s', async () => {
    const { world, clock, get } = revalidatedCache()
    await get()
    clock.advance(239_000)
    await get()
    assert.equal(world.requests, 1)
  })

  test('in the background from then on, so that no caller waits, with one request for many callers', async () => {
    const { world, clock, tokens, get } = revalidatedCache()
    await get()
    clock.advance(241_000)
    world.response = 'hangs'
    for (let i = 0; i < 3; i++) assert.ok(!(tokens.get(grantOf(), 0) instanceof Promise))
    assert.equal(world.requests, 2)
    for (const respond of world.waiting) respond()
    await settled()
    clock.advance(239_000)
    await get()
    assert.equal(world.requests, 2, 'the period began anew')
  })

  test('before it is issued, after 300 s without a request', async () => {
    const { world, clock, tokens } = revalidatedCache()
    await tokens.get(grantOf(), 0)
    clock.advance(301_000)
    const late = tokens.get(grantOf(), 0)
    assert.ok(late instanceof Promise)
    assert.equal((await late).token.token, 'first')
    assert.equal(world.requests, 2)
  })

  test('by the wall clock too: a machine that slept has confirmed nothing', async () => {
    const { world, clock, get } = revalidatedCache()
    await get()
    clock.jumpWall(301_000)
    await get()
    assert.equal(world.requests, 2)
  })

  test('each key by itself', async () => {
    const { world, clock, get } = revalidatedCache()
    await get()
    clock.advance(200_000)
    await get(arm)
    clock.advance(101_000)
    await get(arm)
    assert.equal(world.requests, 2)
    await get()
    assert.equal(world.requests, 3)
  })
})

const refusals: readonly ErrorCode[] = ['invalid_request', 'invalid_token', 'not_permitted', 'consent_required']
for (const code of refusals)
  describe(`a source that says ${code}`, () => {
    test('revokes the token at once, until it grants one again', async () => {
      const { world, clock, get, entries, code: outcome } = revalidatedCache()
      await get()
      world.response = code
      clock.advance(301_000)
      assert.equal(await outcome(), code)
      assert.equal(entries(), 0, 'nothing is left that could be issued')
      clock.advance(5_000)
      assert.equal(await outcome(), code, 'and goes on refusing')
      assert.equal(world.requests, 3)
      assert.equal(world.revoked.length, 1, 'reported once')
      world.response = hour
      clock.advance(5_000)
      assert.equal(await outcome(), 'first')
    })

    test('in the background or in a refresh, revokes it for the next request', async () => {
      for (const seconds of [241, 2701]) {
        const { world, clock, get, code: outcome } = revalidatedCache()
        await get()
        // Confirmed meanwhile, so that only the refresh sends a request.
        if (seconds > 300) clock.advance(seconds * 1000 - 10_000)
        await get()
        if (seconds > 300) clock.advance(10_000)
        else clock.advance(seconds * 1000)
        world.response = code
        assert.equal(await outcome(), 'first')
        await settled()
        assert.equal(await outcome(), code, `after ${seconds} s`)
      }
    })

    test('keeps it revoked while the source is unavailable afterwards', async () => {
      const { world, clock, get, code: outcome } = revalidatedCache()
      await get()
      world.response = code
      clock.advance(301_000)
      await outcome()
      world.response = 'upstream_unavailable'
      clock.advance(5_000)
      assert.equal(await outcome(), 'upstream_unavailable')
      clock.advance(600_000)
      assert.equal(await outcome(), 'upstream_unavailable')
    })
  })

const unavailable: readonly Response[] = [
  'upstream_unavailable',
  'identity_unavailable',
  'upstream_invalid',
  'upstream_rejected',
  'hangs',
]
for (const response of unavailable)
  test(`an unavailable source costs no caller a valid token: ${JSON.stringify(response)}`, async () => {
    const { world, clock, get, code: outcome } = revalidatedCache()
    await get()
    world.response = response
    for (let minutes = 0; minutes < 54; minutes += 6) {
      clock.advance(360_000)
      assert.equal(await outcome(), 'first', `after ${minutes + 6} min`)
    }
    clock.advance(360_000)
    assert.notEqual(await outcome(), 'first', 'an expired token is not valid')
    for (const done of world.waiting) done()
  })

test('an unavailable source gets one request in 15 s, not one for each request', async () => {
  const { world, clock, get } = revalidatedCache()
  await get()
  world.response = 'upstream_unavailable'
  clock.advance(301_000)
  for (let i = 0; i < 10; i++) await get()
  assert.equal(world.requests, 2)
  clock.advance(16_000)
  for (let i = 0; i < 10; i++) await get()
  await settled()
  assert.equal(world.requests, 3)
})

test('a response to an earlier request does not undo the refusal', async () => {
  const { world, clock, source, get, code: outcome } = revalidatedCache()
  await get()
  world.response = 'hangs'
  const early = source(grantOf(), new AbortController().signal)
  clock.advance(1000)
  world.response = 'not_permitted'
  await assert.rejects(source(grantOf(), new AbortController().signal))
  for (const respond of world.waiting) respond()
  await early
  assert.equal(await outcome(), 'not_permitted')
  assert.equal(world.requests, 3, 'nor does it end the cached refusal')
})

test('a key that was evicted here is revalidated before its token is issued', async () => {
  const { world, get } = revalidatedCache({ maxEntries: 1 })
  await get()
  await get(arm)
  await get()
  assert.equal(world.requests, 3)
})
