import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { lookAgainMs } from '../../../src/broker/tokens/background-refresh.ts'
import { grantFor } from '../../support/callers.ts'
import { unavailable } from './cache-world.ts'
import { fleetWorld, type Replica, settled } from './fleet-world.ts'

const minute = 60_000

describe('a token that is due', () => {
  /** Three replicas with one token, which has just become due. */
  async function due() {
    const fleet = fleetWorld()
    const replicas = [fleet.replica(), fleet.replica(), fleet.replica()] as const
    for (const { get } of replicas) await get()
    fleet.clock.advance(45 * minute)
    return { ...fleet, replicas }
  }
  const served = ({ getAndSettle }: Replica) => getAndSettle()

  test('is refreshed by one replica, and the others get the new one a second later', async () => {
    const { clock, replicas, exchanged } = await due()
    const [a, b, c] = replicas
    assert.equal(await served(a), 'due token-1')
    assert.equal(await served(a), 'hit token-2')
    for (const each of [b, c]) {
      assert.equal(await served(each), 'due token-1')
      assert.equal(await served(each), 'hit token-2')
    }
    assert.equal(exchanged.length, 2)
    clock.advance(44 * minute)
    for (const each of replicas) assert.equal(await served(each), 'hit token-2')
    clock.advance(1 * minute)
    for (const each of replicas) assert.equal(await served(each), 'due token-2')
    assert.equal(exchanged.length, 3, 'due at the same time again')
    assert.deepEqual(c.refreshed, ['replaced', 'replaced'])
  })

  test('is not fetched while another replica is fetching it; that is looked at once a second', async () => {
    const { clock, replicas, exchanged, hold, release } = await due()
    const [a, b] = replicas
    hold()
    assert.equal(await served(a), 'due token-1')
    for (const ms of [0, lookAgainMs - 1, 1]) {
      clock.advance(ms)
      assert.equal(await served(b), 'due token-1')
    }
    assert.equal(exchanged.length, 2)
    release()
    await settled()
    assert.equal(await served(b), 'due token-1')
    clock.advance(lookAgainMs - 1)
    assert.equal(await served(b), 'due token-1', 'it has looked less than a second ago')
    clock.advance(1)
    assert.equal(await served(b), 'due token-1')
    assert.equal(await served(b), 'hit token-2')
  })

  test('is refreshed by the next one if that replica fails', async () => {
    const { replicas, world, exchanged } = await due()
    const [a, b] = replicas
    world.next = unavailable()
    assert.equal(await served(a), 'due token-1')
    assert.equal(await served(a), 'refresh-failed token-1')
    world.next = {}
    assert.equal(await served(b), 'due token-1')
    assert.equal(await served(b), 'hit token-3')
    assert.equal(exchanged.length, 3)
    assert.deepEqual([a.refreshed, b.refreshed], [['failed'], ['replaced']])
  })

  test('is refreshed again and again if the new one does not live longer', async () => {
    const { clock, replicas, world, exchanged } = await due()
    const [a, b] = replicas
    world.next = { expiresIn: 900 }
    assert.equal(await served(a), 'due token-1')
    assert.equal(await served(b), 'due token-1')
    assert.equal(exchanged.length, 2, 'for b, the new one of a is as good as its own')
    assert.deepEqual([a.refreshed, b.refreshed], [['not_yet'], ['not_yet']])
    world.next = { expiresIn: 600 }
    clock.advance(5 * minute)
    assert.equal(await served(a), 'due token-1')
    assert.equal(exchanged.length, 3, 'the one that is known already is not found again')
    world.next = {}
    assert.equal(await served(b), 'due token-1')
    clock.advance(3 * minute)
    assert.equal(await served(b), 'due token-1')
    assert.equal(await served(b), 'hit token-4')
  })

  test('is not refreshed if it was purged during the look-up', async () => {
    const { replicas, exchanged } = await due()
    const [a] = replicas
    await a.get()
    a.cache.purge({})
    await settled()
    assert.equal(exchanged.length, 1)
  })

  test('is not replaced by one that was purged during the look-up', async () => {
    const { replicas, exchanged, store } = await due()
    const [a, b] = replicas
    await served(a)
    const gate = Promise.withResolvers<void>()
    await b.get()
    store.latency = () => gate.promise
    await settled()
    b.cache.purge({})
    gate.resolve()
    await settled()
    store.latency = () => Promise.resolve()
    assert.equal(b.cache.view.statistics().entries, 0)
    assert.equal(exchanged.length, 2)
  })
})

describe('min_expires_in', () => {
  test('is satisfied by the newer token of another replica', async () => {
    const { clock, replica, exchanged } = fleetWorld()
    const [a, b] = [replica(), replica()]
    for (const { get } of [a, b]) await get()
    clock.advance(40 * minute)
    assert.equal(await a.get(grantFor(), 1800), 'request token-2')
    assert.equal(await b.get(grantFor(), 1800), 'shared token-2')
    assert.equal(exchanged.length, 2)
  })

  test('costs an exchange if that one lives too short as well', async () => {
    const { clock, replica, exchanged } = fleetWorld()
    const [a, b] = [replica(), replica()]
    for (const { get } of [a, b]) await get()
    clock.advance(20 * minute)
    assert.equal(await a.get(grantFor(), 2700), 'request token-2')
    clock.advance(16 * minute)
    assert.equal(await b.get(grantFor(), 2700), 'request token-3')
    assert.equal(await a.get(grantFor(), 2700), 'shared token-3')
    assert.equal(exchanged.length, 3)
  })

  test('with a cold memory: what the second level has is replaced if it lives too short, once a minute', async () => {
    const { clock, replica, exchanged, world } = fleetWorld()
    await replica().get()
    clock.advance(40 * minute)
    const cold = replica()
    world.next = { expiresIn: 1200 }
    await assert.rejects(cold.get(grantFor(), 1800), { code: 'upstream_unavailable', reason: 'min_expires_in' })
    await assert.rejects(cold.get(grantFor(), 1800), { code: 'upstream_unavailable', reason: 'min_expires_in' })
    assert.equal(exchanged.length, 2)
    clock.advance(1 * minute)
    world.next = {}
    assert.equal(await cold.get(grantFor(), 1800), 'request token-3')
  })
})
