import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { grantFor } from '../../support/callers.ts'
import { away, cacheWorld, settled } from './cache-world.ts'

const seconds = 1000
const minutes = 60 * seconds
/** A tenant with a number in its id. */
const tenantId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

type World = ReturnType<typeof cacheWorld>

describe('entries at risk', () => {
  /** An entry whose refresh has failed, a quarter of an hour before it ends. */
  async function failing() {
    const world = cacheWorld({ maxEntries: 2 })
    await world.get()
    world.clock.advance(45 * minutes)
    world.world.next = away()
    await world.get()
    await settled()
    return world
  }
  const risk = ({ cache }: World) => {
    const { atRisk, atRiskUsableSeconds: firstLossInSeconds } = cache.view.statistics()
    return [atRisk, firstLossInSeconds]
  }
  const none = [0, undefined]

  test('are those that are asked for again after a refresh failed, not those that nobody needs any more', async () => {
    const world = await failing()
    assert.deepEqual(risk(world), none)
    assert.equal(await world.get(), 'refresh-failed token-1')
    assert.deepEqual(risk(world), [1, 840])
    await world.get()
    assert.deepEqual(risk(world), [1, 840])
    world.clock.advance(1500)
    assert.deepEqual(risk(world), [1, 838.5])
  })

  test('are not at risk once a newer token is there', async () => {
    const world = await failing()
    await world.get()
    world.clock.advance(8 * seconds)
    world.world.next = {}
    await world.get()
    await settled()
    assert.deepEqual(risk(world), none)
    assert.equal(await world.get(), 'hit token-3')
    assert.deepEqual(risk(world), none)
  })

  test('are not at risk once Entra answers again, even with nothing newer', async () => {
    const world = await failing()
    await world.get()
    world.clock.advance(8 * seconds)
    world.world.next = { expiresIn: 300 }
    await world.get()
    await settled()
    assert.deepEqual(risk(world), none)
    assert.equal(world.cache.view.page({ limit: 1 }).entries[0]?.lastFailure, undefined)
    assert.equal(await world.get(), 'due token-1')
    assert.deepEqual(risk(world), none)
  })

  test('are lost, and no longer at risk, once they expire', async () => {
    const world = await failing()
    await world.get()
    world.clock.advance(840 * seconds - 1)
    assert.deepEqual(risk(world), [1, 0.001])
    world.clock.advance(1)
    assert.deepEqual(risk(world), none)
  })

  test('are forgotten with an eviction', async () => {
    const world = await failing()
    await world.get()
    world.world.next = {}
    await world.get(grantFor({ tenant: tenantId(1) }))
    assert.deepEqual(risk(world), [1, 840])
    await world.get(grantFor({ tenant: tenantId(2) }))
    assert.deepEqual(risk(world), none)
  })

  test('are forgotten with a new token that a caller who needs more life brings', async () => {
    const world = await failing()
    await world.get()
    world.world.next = {}
    // The failure of the refresh is remembered: its Retry-After, and half of a second's jitter.
    world.clock.advance(7_500)
    assert.match(await world.get(grantFor(), 1800), /^request /)
    assert.deepEqual(risk(world), none)
  })

  test('the first loss is that of the one that ends first', async () => {
    const world = await failing()
    world.world.next = { expiresIn: 480 }
    const other = grantFor({ tenant: 'fabrikam' })
    await world.get(other)
    world.world.next = away()
    world.clock.advance(6 * minutes)
    await world.get(other)
    await settled()
    await world.get(other)
    await world.get()
    // 480 s less 6 min, of which the last tenth of its life is not handed out.
    assert.deepEqual(risk(world), [2, 72])
  })
})
