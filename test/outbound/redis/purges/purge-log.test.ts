import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  maxPurges,
  type Purge,
  PurgeLog,
  type StoredLog,
  unreadablePurge,
} from '../../../../src/outbound/redis/purges/purge-log.ts'

const contoso = { clientId: 'app', tenant: 'contoso', scope: 'graph' }
const fabrikam = { ...contoso, tenant: 'fabrikam' }

const purge = (id: string, filter: Purge['filter'] = { tenant: 'contoso' }): Purge => ({ id, at: 0, filter })
const stored = (epoch: string, sequence: number, ...purges: Purge[]): StoredLog => ({ epoch, sequence, purges })
const ids = (purges: readonly Purge[]) => purges.map(({ id }) => id)

/** A log that has read one purge of contoso, the fifth of epoch e. */
function logAtFive() {
  const log = new PurgeLog()
  log.read(stored('e', 5, purge('fifth')))
  return log
}

describe('a shared token is used if it is younger than every purge that concerns it', () => {
  const marks: readonly [epoch: string, sequence: number, target: typeof contoso, isPurged: boolean, why: string][] = [
    ['e', 5, contoso, false, 'its fetch began after the purge'],
    ['e', 4, contoso, true, 'its fetch began before the purge'],
    ['e', 4, fabrikam, false, 'the purge concerns another tenant'],
    ['e', 3, fabrikam, true, 'the fourth purge is not known, so it may concern it'],
    ['d', 9, fabrikam, true, 'it comes from another life of the store'],
    ['', 9, fabrikam, true, 'its replica did not know the purges'],
  ]
  for (const [epoch, sequence, target, isPurged, why] of marks)
    test(`${isPurged ? 'not used' : 'used'}: ${why}`, () => {
      assert.equal(logAtFive().isPurged(target, { epoch, sequence }), isPurged)
    })

  test('before the purges were read, none is used', () => {
    assert.equal(new PurgeLog().isPurged(contoso, { epoch: 'e', sequence: 9 }), true)
  })
})

describe('purges of other replicas', () => {
  test('are applied once, however often they are read', () => {
    const log = logAtFive()
    const next = stored('e', 6, purge('fifth'), purge('sixth'))
    assert.deepEqual(ids(log.read(next).apply), ['sixth'])
    assert.deepEqual(log.read(next).apply, [])
    assert.ok(log.includes({ epoch: 'e', sequence: 6 }))
  })

  test('its own purge is not applied again', () => {
    const log = logAtFive()
    log.record(purge('own'))
    assert.deepEqual(log.read(stored('e', 6, purge('own'))).apply, [])
    assert.equal(log.isPurged(contoso, { epoch: 'e', sequence: 5 }), true, 'but older tokens are not used')
  })

  test('if the store has removed some that were missed, everything is dropped', () => {
    const change = logAtFive().read(stored('e', 9, purge('eighth'), purge('ninth')))
    assert.equal(change.isTrimmed, true)
  })

  test('if the store has removed only known ones, nothing else is dropped', () => {
    assert.equal(logAtFive().read(stored('e', 6, purge('sixth'))).isTrimmed, false)
  })

  test('what a replica keeps of them is bounded, and what it forgot counts as purged', () => {
    const log = new PurgeLog()
    for (let sequence = 1; sequence <= maxPurges + 10; sequence++)
      log.read(stored('e', sequence, purge(`p${sequence}`, { tenant: 'other' })))
    assert.equal(log.isPurged(contoso, { epoch: 'e', sequence: 9 }), true)
    assert.equal(log.isPurged(contoso, { epoch: 'e', sequence: 10 }), false)
  })
})

describe('a store that has lost its data', () => {
  test('gets the purges again that it no longer has', () => {
    const log = logAtFive()
    const change = log.read(stored('new', 1, purge('other')))
    assert.deepEqual([ids(change.apply), ids(log.missing), change.isNewEpoch], [['other'], ['fifth'], true])
  })

  test('a purge that two replicas give back is applied once', () => {
    const log = logAtFive()
    assert.deepEqual(log.read(stored('new', 2, purge('fifth'), purge('fifth'))).apply, [])
    assert.equal(log.isPurged(contoso, { epoch: 'new', sequence: 1 }), true)
  })

  test('a replica that starts is not taken for one that has seen another epoch', () => {
    assert.equal(new PurgeLog().read(stored('e', 5, purge('fifth'))).isNewEpoch, false)
  })

  test('purges that a replica made before it reached the store reach the others then', () => {
    const log = new PurgeLog()
    log.record(purge('alone'))
    log.read(stored('e', 0))
    assert.deepEqual(ids(log.missing), ['alone'])
  })

  test('purges are missing in it until it has taken them, or one of them is read', () => {
    const log = logAtFive()
    log.read(stored('new', 0))
    log.notStored(purge('failed'))
    log.read(stored('new', 1, purge('fifth')))
    assert.deepEqual(ids(log.missing), ['failed'])
    log.stored(log.missing)
    assert.deepEqual(log.missing, [])
  })

  test('what no key of the ring opened is not written back: others can read it', () => {
    const log = new PurgeLog()
    log.read(stored('e', 1, unreadablePurge('7-0', 0)))
    log.read(stored('new', 0))
    assert.deepEqual(log.missing, [])
  })

  test('if it has removed some since, everything is dropped', () => {
    assert.equal(logAtFive().read(stored('new', 3, purge('third'))).isTrimmed, true)
  })
})

test('a sequence that goes back in the same epoch is noticed, and changes nothing', () => {
  const log = logAtFive()
  assert.equal(log.read(stored('e', 4)).isRolledBack, true)
  assert.deepEqual(log.mark, { epoch: 'e', sequence: 5 })
})

describe('other purges under known numbers of the same epoch, as after a failover to a server that lagged behind', () => {
  for (const [what, next] of [
    ['as many as are known', stored('e', 5, purge('other'))],
    ['more than are known', stored('e', 6, purge('other'), purge('sixth'))],
  ] as const)
    test(`are noticed: ${what}`, () => {
      const log = logAtFive()
      assert.equal(log.read(next).isRolledBack, true)
      const change = log.read({ ...next, epoch: 'new' })
      assert.ok(ids(change.apply).includes('other'))
      assert.deepEqual(ids(log.missing), ['fifth'])
    })

  test('one that another key ring can or cannot read is not another one', () => {
    assert.equal(logAtFive().read(stored('e', 5, unreadablePurge('7-0', 0))).isRolledBack, false)
    const log = new PurgeLog()
    log.read(stored('e', 5, unreadablePurge('7-0', 0)))
    assert.equal(log.read(stored('e', 5, purge('fifth'))).isRolledBack, false)
  })
})
