import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { grantFor, ids } from '../../support/callers.ts'
import { fleetWorld, settled } from './fleet-world.ts'

/** Two replicas that have one token, and a purge of one of them that has not reached the store yet. */
async function purging() {
  const fleet = fleetWorld()
  const [a, b] = [fleet.replica(), fleet.replica()]
  for (const { get } of [a, b]) await get()
  const gate = Promise.withResolvers<void>()
  fleet.store.latency = () => gate.promise
  const purged = a.cache.purgeEverywhere({ tenant: ids.contoso })
  fleet.store.latency = () => Promise.resolve()
  const finish = () => {
    gate.resolve()
    return purged
  }
  return { ...fleet, a, b, finish }
}

describe('until the store knows of a purge', () => {
  test('the replica that purges may still find the token there, but does not keep it', async () => {
    const { a, finish } = await purging()
    assert.equal(await a.get(), 'shared token-1')
    assert.equal(await a.get(), 'hit token-1')
    assert.deepEqual(await finish(), { dropped: 1, reach: { live: 2, confirmed: 2 } })
    assert.equal(await a.get(), 'miss token-2')
  })

  test('a look-up that has not returned by then finds nothing', async () => {
    const { a, store, finish } = await purging()
    const gate = Promise.withResolvers<void>()
    let calls = 0
    store.latency = () => (++calls === 2 ? gate.promise : Promise.resolve())
    const early = a.get()
    await settled()
    await finish()
    gate.resolve()
    assert.equal(await early, 'miss token-2')
  })

  test('a token that it exchanges itself is newer than the purge, and stays', async () => {
    const { a, finish, exchanged, store } = await purging()
    store.values.clear()
    assert.equal(await a.get(), 'miss token-2')
    await finish()
    assert.equal(await a.get(), 'hit token-2')
    assert.equal(exchanged.length, 2)
  })

  test('other keys are not affected', async () => {
    const { a, finish } = await purging()
    const fabrikam = grantFor({ tenant: ids.fabrikam })
    await a.get(fabrikam)
    await finish()
    assert.equal(await a.get(fabrikam), 'hit token-2')
  })
})

test('a replica that was stopped serves nothing from its memory until it knows the purges that it missed', async () => {
  const { replica, exchanged } = fleetWorld()
  const [a, b] = [replica(), replica()]
  for (const { get } of [a, b]) await get()
  b.secondLevel.cutOff()
  await a.cache.purgeEverywhere({})
  const caughtUp = Promise.withResolvers<void>()
  b.secondLevel.untilCurrent = () => caughtUp.promise
  const early = b.get()
  await settled()
  b.secondLevel.untilCurrent = () => undefined
  b.secondLevel.reconnect()
  caughtUp.resolve()
  assert.equal(await early, 'miss token-2')
  assert.equal(exchanged.length, 2)
})

test('without a second level a purge reaches this replica only', async () => {
  const { replica } = fleetWorld()
  const alone = replica({ secondLevel: undefined })
  await alone.get()
  assert.deepEqual(await alone.cache.purgeEverywhere({}), { dropped: 1, reach: undefined })
  assert.equal(await alone.get(), 'miss token-2')
})
