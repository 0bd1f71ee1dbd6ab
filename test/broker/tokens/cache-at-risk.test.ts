import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { grantFor } from '../../support/callers.ts'
import { unavailable, cacheWorld, settled } from './cache-world.ts'

const seconds = 1000
const minutes = 60 * seconds
/** A tenant with a number in its id. */
const tenantId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

type World = ReturnType<typeof cacheWorld>

describe('entries at risk', () => {
  /** An entry whose refresh failed a quarter of an hour before its end. */
  async function failing() {
    const world = cacheWorld({ maxEntries: 2 })
    await world.get()
    world.clock.advance(45 * minutes)
    world.world.next = unavailable()
    await world.get()
    await settled()
    return world
  }
  const risk = ({ cache }: World) => {
    const { atRisk, atRiskUsableSeconds } = cache.view.statistics()
    return [atRisk, atRiskUsableSeconds]
  }
  const none = [0, undefined]

  test('are those that were requested after a refresh failed, not those that are no longer requested', async () => {
    const world = await failing()
    assert.deepEqual(risk(world), none)
    assert.equal(await world.get(), 'refresh-failed token-1')
    assert.deepEqual(risk(world), [1, 840])
    await world.get()
    assert.deepEqual(risk(world), [1, 840])
    world.clock.advance(1500)
    assert.deepEqual(risk(world), [1, 838.5])
  })

  test('are not at risk once a newer token is cached', async () => {
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

  test('are not at risk once Entra responds again, even without a newer token', async () => {
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

  test('are no longer at risk once they expire', async () => {
    const world = await failing()
    await world.get()
    world.clock.advance(840 * seconds - 1)
    assert.deepEqual(risk(world), [1, 0.001])
    world.clock.advance(1)
    assert.deepEqual(risk(world), none)
  })

  test('are no longer at risk once they are evicted', async () => {
    const world = await failing()
    await world.get()
    world.world.next = {}
    await world.get(grantFor({ tenant: tenantId(1) }))
    assert.deepEqual(risk(world), [1, 840])
    await world.get(grantFor({ tenant: tenantId(2) }))
    assert.deepEqual(risk(world), none)
  })

  test('are no longer at risk once `min_expires_in` replaces the token', async () => {
    const world = await failing()
    await world.get()
    world.world.next = {}
    // The failure of the refresh is cached for its Retry-After, and half of a second's jitter.
    world.clock.advance(7_500)
    assert.match(await world.get(grantFor(), 1800), /^request /)
    assert.deepEqual(risk(world), none)
  })

  test('the usable time is that of the entry that ends first', async () => {
    const world = await failing()
    world.world.next = { expiresIn: 480 }
    const other = grantFor({ tenant: 'fabrikam' })
    await world.get(other)
    world.world.next = unavailable()
    world.clock.advance(6 * minutes)
    await world.get(other)
    await settled()
    await world.get(other)
    await world.get()
    // 480 s less 6 min, less the last tenth of its life, in which it is not issued.
    assert.deepEqual(risk(world), [2, 72])
  })
})
