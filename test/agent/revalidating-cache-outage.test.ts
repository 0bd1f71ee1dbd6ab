import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arm } from '../support/callers.ts'
import { revalidatedCache, grantOf, hour, settled } from './revalidating-cache-world.ts'

const vault = 'https://vault.azure.net/.default'
/** The source's deadline is long after the end of the test. */
const longDeadline = { timeoutMs: 5_000, maxWaitMs: 5 }

test('with a cached token a caller waits for a source that hangs for maxWaitMs only, and the revalidation goes on', async () => {
  const { world, clock, tokens, get, code } = revalidatedCache(longDeadline)
  await get()
  world.response = 'hangs'
  clock.advance(301_000)
  assert.equal(await get(), 'first')
  assert.ok(!(tokens.get(grantOf(), 0) instanceof Promise), 'and once only')
  assert.equal(world.requests, 2, 'it is one request')
  world.refuses = true
  for (const respond of world.waiting) respond()
  await settled()
  assert.equal(await code(), 'not_permitted', 'its response counts when it comes')
})

test('while a source is unavailable, no caller waits for it, until 15 s after the last request that failed', async () => {
  const { world, clock, tokens, get } = revalidatedCache()
  for (const scope of [undefined, arm, vault]) await get(scope)
  world.response = 'upstream_unavailable'
  clock.advance(301_000)
  const waits = (scope: string) => {
    const served = tokens.get(grantOf(scope), 0)
    return served instanceof Promise
  }
  await get()
  clock.advance(14_999)
  assert.equal(waits(arm), false)
  assert.equal(world.requests, 5, 'but there is a request')
  await settled()
  clock.advance(15_000)
  assert.equal(waits(vault), true)
})

test('callers wait again for a source that responds, with any response', async () => {
  for (const response of [hour, 'not_permitted', 'upstream_rejected'] as const) {
    const { world, clock, get, code } = revalidatedCache()
    for (const scope of [undefined, arm, vault]) await get(scope)
    world.response = 'upstream_unavailable'
    clock.advance(301_000)
    await get()
    world.response = response
    await get(arm)
    await settled()
    world.response = 'not_permitted'
    assert.equal(await code(vault), 'not_permitted', JSON.stringify(response))
  }
})
