import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Confirmations } from '../../../../src/outbound/redis/purges/confirmations.ts'
import { sealConfirmation } from '../../../../src/outbound/redis/purges/purge-messages.ts'
import { cacheKeyLine, ringOf } from '../../../support/cache-keys.ts'

const ring = ringOf(cacheKeyLine('a'))
const report = { entries: 0, fetching: 0, atRisk: 0 }

/** A replica a, to which these replicas are live. `live` may change. */
function world(...names: readonly string[]) {
  const state: { live: readonly string[] | undefined } = { live: names }
  const confirmations = new Confirmations({
    replica: 'a',
    ring: () => ring,
    replicas: { live: () => state.live && new Map(state.live.map(replica => [replica, { ...report, replica }])) },
  })
  const confirm = (replica: string, purge = 'p') => confirmations.received(sealConfirmation(ring, { purge, replica }))
  return { state, confirmations, confirm }
}

describe('a purge has reached all', () => {
  test('once every live replica has confirmed it, this one over the channel', async () => {
    const { confirmations, confirm } = world('a', 'b')
    const { done, reach } = confirmations.expect('p')
    confirm('b')
    assert.deepEqual(reach(), { live: undefined, confirmed: 1 }, 'it may have missed heartbeats')
    confirm('a')
    await done
    assert.deepEqual(reach(), { live: 2, confirmed: 2 })
  })

  test('not because a replica that is not live has confirmed it in place of a live one', () => {
    const { confirmations, confirm } = world('a', 'b')
    const { reach } = confirmations.expect('p')
    for (const replica of ['a', 'unknown']) confirm(replica)
    assert.deepEqual(reach(), { live: 2, confirmed: 1 })
  })

  test('not before a replica has confirmed it whose first heartbeat came in the meantime', () => {
    const { state, confirmations, confirm } = world('a')
    const { reach } = confirmations.expect('p')
    state.live = ['a', 'late']
    confirm('a')
    assert.deepEqual(reach(), { live: 2, confirmed: 1 })
  })

  test('not if a live replica has ended in the meantime', () => {
    const { state, confirmations, confirm } = world('a', 'b')
    const { reach } = confirmations.expect('p')
    state.live = ['a']
    confirm('a')
    assert.deepEqual(reach(), { live: 2, confirmed: 1 })
  })

  test('not if the live replicas are unknown, before or afterwards', () => {
    const before = world('a')
    before.state.live = undefined
    const awaited = before.confirmations.expect('p')
    before.confirm('a')
    assert.deepEqual([awaited.isPossible, awaited.reach()], [false, { live: undefined, confirmed: 1 }])
    const afterwards = world('a')
    const { reach } = afterwards.confirmations.expect('p')
    afterwards.confirm('a')
    afterwards.state.live = undefined
    assert.deepEqual(reach(), { live: undefined, confirmed: 1 })
  })

  test('not by a confirmation of another purge, or one that came too late', () => {
    const { confirmations, confirm } = world('a')
    const { reach, stop } = confirmations.expect('p')
    confirm('a', 'other')
    stop()
    confirm('a')
    assert.deepEqual(reach(), { live: undefined, confirmed: 1 })
  })
})
