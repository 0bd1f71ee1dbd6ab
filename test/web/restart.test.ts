import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { reasonTable } from '../../src/errors.ts'
import { startWorld } from '../support/broker.ts'
import { remedyOf } from '../../web/model/remedies.js'
import type { Snapshot } from '../../web/model/responses.js'
import { restartCost, withRestartCost } from '../../web/model/restart.js'
import { readBoard } from './read-board.ts'

const world = await startWorld()
const broker = await world.broker({ after })
await broker.service.warmUp()
await broker.requestToken()
/** What the page reads of a broker that is well and has one cached token. */
const { snapshot: well } = await readBoard(broker, world.clock.now())
const iso = (secondsAgo: number): string => new Date(well.now - secondsAgo * 1000).toISOString()

const withRedis = (status: 'ok' | 'failing', since: string): Snapshot => ({
  ...well,
  health: {
    ...well.health,
    started_at: iso(3600),
    shared_cache: { status, since, detail: '', address: 'redis:6379', live_replicas: 2, keys: [] },
  },
})
const empty = (snapshot: Snapshot): Snapshot => ({ ...snapshot, cache: { ...snapshot.cache, entries: 0 } })
const invalidPolicy: Snapshot = {
  ...well,
  health: { ...well.health, policy: { ...well.health.policy, status: 'failing' } },
}

describe('what a restart costs', () => {
  const rows: readonly (readonly [snapshot: Snapshot, text: RegExp, why: string])[] = [
    [well, /^A restart loses 1 cached token of this replica: without Redis/, 'no Redis'],
    [empty(well), /^A restart loses no token, because none is cached\.$/, 'nothing is cached'],
    [
      withRedis('ok', iso(3595)),
      /^A restart loses no cached token, because Redis has them\.$/,
      'Redis, from the start',
    ],
    [
      withRedis('ok', iso(60)),
      /^A restart loses no token that was cached since \S+ UTC, because Redis has these\. It can lose older ones\.$/,
      'Redis, again',
    ],
    [
      withRedis('failing', iso(60)),
      /^A restart loses 1 cached token .*, because Redis does not respond\.$/,
      'no longer',
    ],
    [
      empty(withRedis('failing', iso(60))),
      /^A restart loses no token, because none is cached\.$/,
      'nothing, without Redis',
    ],
    [
      invalidPolicy,
      /^Do not restart now: the policy file is invalid, so it would not start\. A restart loses/,
      'no start',
    ],
  ]
  for (const [snapshot, text, why] of rows)
    test(`${why}: ${String(text)}`, () => assert.match(restartCost(snapshot), text))
})

describe('the advice to restart', () => {
  const reasons = Object.values(reasonTable).flatMap(each => Object.keys(each)) as Parameters<typeof remedyOf>[0][]
  const advised = ['identity', undefined].flatMap(kind =>
    reasons.map(reason => remedyOf(reason, kind)).filter(remedy => /\brestart/i.test(remedy)),
  )

  test('comes behind what it costs, in every remedy of the page', () => {
    const without = advised.filter(remedy => withRestartCost(['first', remedy], well)[1] !== restartCost(well))
    assert.ok(advised.length > 5, String(advised.length))
    // Replicas that restart are a cause there, not advice.
    assert.deepEqual([...new Set(without)], [remedyOf('loop')])
  })

  test('alone brings the cost: other actions stay as they are', () => {
    assert.deepEqual(withRestartCost(['Correct the file.', 'Wait.'], well), ['Correct the file.', 'Wait.'])
  })
})
