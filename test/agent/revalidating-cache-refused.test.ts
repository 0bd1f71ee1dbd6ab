import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arm } from '../support/callers.ts'
import { confirmed, grantOf, hour, settled } from './revalidating-cache-world.ts'

test('what was taken back stays away however many other refusals come after it', async () => {
  const { world, clock, get, code } = confirmed()
  await get()
  world.answer = 'not_permitted'
  clock.advance(301_000)
  assert.equal(await code(), 'not_permitted')
  for (let nth = 0; nth < 30; nth++) assert.equal(await code(`https://x${nth}.example/.default`), 'not_permitted')
  assert.equal(world.asked, 32)
  world.answer = 'upstream_unavailable'
  assert.equal(await code(), 'upstream_unavailable')
})

test('what the source refuses, or has not, pushes no confirmed key out of memory', async () => {
  for (const answer of ['not_permitted', 'upstream_unavailable'] as const) {
    const { world, get, code } = confirmed()
    await get()
    world.answer = answer
    for (let nth = 0; nth < 30; nth++) await code(`https://x${nth}.example/.default`)
    const { asked } = world
    assert.equal(await get(), 'first')
    assert.equal(world.asked, asked, answer)
  }
})

test('a refusal is answered for 5 s without asking again, and to its key only', async () => {
  const { world, clock, get, code } = confirmed()
  await get()
  await get(arm)
  world.answer = 'not_permitted'
  clock.advance(301_000)
  for (let nth = 0; nth < 50; nth++) assert.equal(await code(), 'not_permitted')
  clock.advance(4_999)
  assert.equal(await code(), 'not_permitted')
  assert.equal(world.asked, 3)
  world.answer = hour
  assert.equal(await code(arm), 'first')
  assert.equal(await code(), 'not_permitted')
  clock.advance(1)
  assert.equal(await code(), 'first')
  assert.equal(await code(), 'first', 'the refusal is forgotten')
})

test('a grant of what is asked for after the refusal ends the memory of it', async () => {
  const { world, source, code } = confirmed()
  world.answer = 'not_permitted'
  assert.equal(await code(), 'not_permitted')
  world.answer = hour
  await source(grantOf(), new AbortController().signal)
  assert.equal(await code(), 'first')
})

test('a remembered refusal ends by the wall clock too', async () => {
  const { world, clock, code } = confirmed()
  world.answer = 'invalid_token'
  assert.equal(await code(), 'invalid_token')
  world.answer = hour
  clock.jumpWall(5_000)
  assert.equal(await code(), 'first')
})

test('a token that was asked for before the refusal and comes after it is not kept', async () => {
  const { world, clock, source, tokens, code, held } = confirmed()
  world.answer = 'hangs'
  const early = tokens.get(grantOf(), 0)
  await settled()
  clock.advance(1000)
  world.answer = 'not_permitted'
  await assert.rejects(source(grantOf(), new AbortController().signal))
  for (const answer of world.waiting) answer()
  await early
  assert.equal(held(), 0)
  assert.equal(await code(), 'not_permitted')
})
