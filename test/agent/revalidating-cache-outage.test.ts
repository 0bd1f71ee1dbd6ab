import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arm } from '../support/callers.ts'
import { confirmed, grantOf, hour, settled } from './revalidating-cache-world.ts'

const vault = 'https://vault.azure.net/.default'
/** The source's time is out long after the test is over. */
const patient = { timeoutMs: 5_000, patienceMs: 5 }

test('whose token is held waits for a source that hangs as long as callers are to, and the question goes on', async () => {
  const { world, clock, tokens, get, code } = confirmed(patient)
  await get()
  world.answer = 'hangs'
  clock.advance(301_000)
  assert.equal(await get(), 'first')
  assert.ok(!(tokens.get(grantOf(), 0) instanceof Promise), 'and once only')
  assert.equal(world.asked, 2, 'it is one question')
  world.refuses = true
  for (const answer of world.waiting) answer()
  await settled()
  assert.equal(await code(), 'not_permitted', 'its answer counts when it comes')
})

test('while a source is away, nobody waits for it: for 15 s after the last question that failed', async () => {
  const { world, clock, tokens, get } = confirmed()
  for (const scope of [undefined, arm, vault]) await get(scope)
  world.answer = 'upstream_unavailable'
  clock.advance(301_000)
  const waits = (scope: string) => {
    const served = tokens.get(grantOf(scope), 0)
    return served instanceof Promise
  }
  await get()
  clock.advance(14_999)
  assert.equal(waits(arm), false)
  assert.equal(world.asked, 5, 'but it is asked')
  await settled()
  clock.advance(15_000)
  assert.equal(waits(vault), true)
})

test('a source that answers again is waited for, whatever it answers', async () => {
  for (const answer of [hour, 'not_permitted', 'upstream_rejected'] as const) {
    const { world, clock, get, code } = confirmed()
    for (const scope of [undefined, arm, vault]) await get(scope)
    world.answer = 'upstream_unavailable'
    clock.advance(301_000)
    await get()
    world.answer = answer
    await get(arm)
    await settled()
    world.answer = 'not_permitted'
    assert.equal(await code(vault), 'not_permitted', JSON.stringify(answer))
  }
})
