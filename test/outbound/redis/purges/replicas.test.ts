import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createReplicas, heartbeatMs, liveMs } from '../../../../src/outbound/redis/purges/replicas.ts'
import { movableClock } from '../../../support/clock.ts'

const report = (replica: string) => ({ replica, entries: 1, fetching: 0, atRisk: 0 })

/** A replica that has heard its own heartbeats for as long as it takes. */
function listening() {
  const clock = movableClock()
  const replicas = createReplicas('own', clock)
  const beat = () => {
    replicas.heard(report('own'))
    clock.advance(heartbeatMs)
  }
  beat()
  beat()
  replicas.heard(report('own'))
  return { clock, replicas, beat }
}

const names = (live: ReadonlyMap<string, unknown> | undefined) => live && [...live.keys()].toSorted()

describe('live replicas', () => {
  test('are those whose heartbeat was heard in time', () => {
    const { clock, replicas } = listening()
    replicas.heard(report('other'))
    assert.deepEqual(names(replicas.live()), ['other', 'own'])
    clock.advance(liveMs - 1)
    replicas.heard(report('own'))
    assert.deepEqual(names(replicas.live()), ['other', 'own'])
    clock.advance(1)
    assert.deepEqual(names(replicas.live()), ['own'])
  })

  const unknown: readonly [why: string, prepare: (world: ReturnType<typeof listening>) => void][] = [
    ['it does not hear its own heartbeats', ({ clock }) => clock.advance(liveMs)],
    ['another replica has keys that it does not know', ({ replicas }) => replicas.unreadable()],
    [
      'it hears its own again only since a moment',
      ({ clock, replicas }) => {
        clock.advance(liveMs)
        replicas.heard(report('own'))
      },
    ],
  ]
  for (const [why, prepare] of unknown)
    test(`are not known if ${why}`, () => {
      const world = listening()
      prepare(world)
      assert.equal(world.replicas.live(), undefined)
    })

  test('are not known to a replica that has just started', () => {
    const clock = movableClock()
    const replicas = createReplicas('own', clock)
    replicas.heard(report('own'))
    clock.advance(2 * heartbeatMs - 1)
    assert.equal(replicas.live(), undefined)
    clock.advance(1)
    assert.deepEqual(names(replicas.live()), ['own'])
  })

  test('invented names do not fill the memory', () => {
    const { replicas } = listening()
    for (let nth = 0; nth < 2000; nth++) replicas.heard(report(`forged-${nth}`))
    replicas.heard(report('own'))
    assert.equal(replicas.live()?.size, 1000)
  })
})
