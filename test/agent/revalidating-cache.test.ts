import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ErrorCode } from '../../src/errors.ts'
import { arm } from '../support/callers.ts'
import { type Answer, confirmed, grantOf, hour, settled } from './revalidating-cache-world.ts'

describe('a token is confirmed', () => {
  test('by being fetched: nothing is asked for 240 s', async () => {
    const { world, clock, get } = confirmed()
    await get()
    clock.advance(239_000)
    await get()
    assert.equal(world.asked, 1)
  })

  test('in the background from then on, so that nobody waits, and once however many ask', async () => {
    const { world, clock, tokens, get } = confirmed()
    await get()
    clock.advance(241_000)
    world.answer = 'hangs'
    for (let i = 0; i < 3; i++) assert.ok(!(tokens.get(grantOf(), 0) instanceof Promise))
    assert.equal(world.asked, 2)
    for (const answer of world.waiting) answer()
    await settled()
    clock.advance(239_000)
    await get()
    assert.equal(world.asked, 2, 'the period began anew')
  })

  test('before it is handed out, when nobody asked for it within 300 s', async () => {
    const { world, clock, tokens } = confirmed()
    await tokens.get(grantOf(), 0)
    clock.advance(301_000)
    const late = tokens.get(grantOf(), 0)
    assert.ok(late instanceof Promise)
    assert.equal((await late).token.token, 'first')
    assert.equal(world.asked, 2)
  })

  test('by the wall clock too: a machine that slept has confirmed nothing', async () => {
    const { world, clock, get } = confirmed()
    await get()
    clock.jumpWall(301_000)
    await get()
    assert.equal(world.asked, 2)
  })

  test('each key by itself', async () => {
    const { world, clock, get } = confirmed()
    await get()
    clock.advance(200_000)
    await get(arm)
    clock.advance(101_000)
    await get(arm)
    assert.equal(world.asked, 2)
    await get()
    assert.equal(world.asked, 3)
  })
})

const refusals: readonly ErrorCode[] = ['invalid_request', 'invalid_token', 'not_permitted', 'consent_required']
for (const code of refusals)
  describe(`a source that says ${code}`, () => {
    test('takes the token away at once, and gives it back when it grants it again', async () => {
      const { world, clock, get, held, code: outcome } = confirmed()
      await get()
      world.answer = code
      clock.advance(301_000)
      assert.equal(await outcome(), code)
      assert.equal(held(), 0, 'nothing is left that could be handed out')
      clock.advance(5_000)
      assert.equal(await outcome(), code, 'and goes on refusing')
      assert.equal(world.asked, 3)
      assert.equal(world.revoked.length, 1, 'told once')
      world.answer = hour
      clock.advance(5_000)
      assert.equal(await outcome(), 'first')
    })

    test('in a background question or a refresh, takes it from the next request', async () => {
      for (const seconds of [241, 2701]) {
        const { world, clock, get, code: outcome } = confirmed()
        await get()
        // Confirmed meanwhile, so that only the refresh is left to ask.
        if (seconds > 300) clock.advance(seconds * 1000 - 10_000)
        await get()
        if (seconds > 300) clock.advance(10_000)
        else clock.advance(seconds * 1000)
        world.answer = code
        assert.equal(await outcome(), 'first')
        await settled()
        assert.equal(await outcome(), code, `after ${seconds} s`)
      }
    })

    test('keeps it away while the source cannot be asked any more', async () => {
      const { world, clock, get, code: outcome } = confirmed()
      await get()
      world.answer = code
      clock.advance(301_000)
      await outcome()
      world.answer = 'upstream_unavailable'
      clock.advance(5_000)
      assert.equal(await outcome(), 'upstream_unavailable')
      clock.advance(600_000)
      assert.equal(await outcome(), 'upstream_unavailable')
    })
  })

const away: readonly Answer[] = [
  'upstream_unavailable',
  'identity_unavailable',
  'upstream_invalid',
  'upstream_rejected',
  'hangs',
]
for (const answer of away)
  test(`a source that cannot be asked costs nobody a valid token: ${JSON.stringify(answer)}`, async () => {
    const { world, clock, get, code: outcome } = confirmed()
    await get()
    world.answer = answer
    for (let minutes = 0; minutes < 54; minutes += 6) {
      clock.advance(360_000)
      assert.equal(await outcome(), 'first', `after ${minutes + 6} min`)
    }
    clock.advance(360_000)
    assert.notEqual(await outcome(), 'first', 'an expired token is not valid')
    for (const done of world.waiting) done()
  })

test('a source that cannot be asked is asked once in 15 s, not once a request', async () => {
  const { world, clock, get } = confirmed()
  await get()
  world.answer = 'upstream_unavailable'
  clock.advance(301_000)
  for (let i = 0; i < 10; i++) await get()
  assert.equal(world.asked, 2)
  clock.advance(16_000)
  for (let i = 0; i < 10; i++) await get()
  await settled()
  assert.equal(world.asked, 3)
})

test('an answer to what was asked before the refusal does not undo it', async () => {
  const { world, clock, source, get, code: outcome } = confirmed()
  await get()
  world.answer = 'hangs'
  const early = source(grantOf(), new AbortController().signal)
  clock.advance(1000)
  world.answer = 'not_permitted'
  await assert.rejects(source(grantOf(), new AbortController().signal))
  for (const answer of world.waiting) answer()
  await early
  assert.equal(await outcome(), 'not_permitted')
  assert.equal(world.asked, 3, 'nor does it end the memory of it')
})

test('a key of which nothing is remembered is confirmed before its token is handed out', async () => {
  const { world, get } = confirmed({ maxEntries: 1 })
  await get()
  await get(arm)
  await get()
  assert.equal(world.asked, 3)
})
