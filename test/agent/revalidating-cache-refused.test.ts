import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arm } from '../support/callers.ts'
import { revalidatedCache, grantOf, hour, settled } from './revalidating-cache-world.ts'

test('a revoked token stays revoked after many other refusals', async () => {
  const { world, clock, get, code } = revalidatedCache()
  await get()
  world.response = 'not_permitted'
  clock.advance(301_000)
  assert.equal(await code(), 'not_permitted')
  for (let nth = 0; nth < 30; nth++) assert.equal(await code(`https://x${nth}.example/.default`), 'not_permitted')
  assert.equal(world.requests, 32)
  world.response = 'upstream_unavailable'
  assert.equal(await code(), 'upstream_unavailable')
})

test('a key that is refused or fails evicts no confirmed key', async () => {
  for (const response of ['not_permitted', 'upstream_unavailable'] as const) {
    const { world, get, code } = revalidatedCache()
    await get()
    world.response = response
    for (let nth = 0; nth < 30; nth++) await code(`https://x${nth}.example/.default`)
    const { requests } = world
    assert.equal(await get(), 'first')
    assert.equal(world.requests, requests, response)
  }
})

test('requests for its key get the same refusal for 5 s without another request to the source', async () => {
  const { world, clock, get, code } = revalidatedCache()
  await get()
  await get(arm)
  world.response = 'not_permitted'
  clock.advance(301_000)
  for (let nth = 0; nth < 50; nth++) assert.equal(await code(), 'not_permitted')
  clock.advance(4_999)
  assert.equal(await code(), 'not_permitted')
  assert.equal(world.requests, 3)
  world.response = hour
  assert.equal(await code(arm), 'first')
  assert.equal(await code(), 'not_permitted')
  clock.advance(1)
  assert.equal(await code(), 'first')
  assert.equal(await code(), 'first', 'the refusal is forgotten')
})

test('a grant that is requested after the refusal ends the refusal', async () => {
  const { world, source, code } = revalidatedCache()
  world.response = 'not_permitted'
  assert.equal(await code(), 'not_permitted')
  world.response = hour
  await source(grantOf(), new AbortController().signal)
  assert.equal(await code(), 'first')
})

test('a remembered refusal ends by the wall clock too', async () => {
  const { world, clock, code } = revalidatedCache()
  world.response = 'invalid_token'
  assert.equal(await code(), 'invalid_token')
  world.response = hour
  clock.jumpWall(5_000)
  assert.equal(await code(), 'first')
})

test('a token that was requested before the refusal and comes after it is not cached', async () => {
  const { world, clock, source, tokens, code, entries } = revalidatedCache()
  world.response = 'hangs'
  const early = tokens.get(grantOf(), 0)
  await settled()
  clock.advance(1000)
  world.response = 'not_permitted'
  await assert.rejects(source(grantOf(), new AbortController().signal))
  for (const respond of world.waiting) respond()
  await early
  assert.equal(entries(), 0)
  assert.equal(await code(), 'not_permitted')
})
