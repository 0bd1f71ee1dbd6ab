import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { reasonTable } from '../../src/errors.ts'
import { identitySteps, remedyOf } from '../../web/model/remedies.js'
import type { Snapshot } from '../../web/model/responses.js'
import { restartCost, restartWarnings } from '../../web/model/restart.js'
import { wellBoard } from './well-board.ts'

/** The broker has one cached token. */
const { well, iso } = await wellBoard()

const withRedis = (status: 'ok' | 'failing', since: string): Snapshot => ({
  ...well,
  health: {
    ...well.health,
    started_at: iso(3600),
    shared_cache: { status, since, detail: '', failure: null, address: 'redis:6379', live_replicas: 2, keys: [] },
  },
})
const empty = (snapshot: Snapshot): Snapshot => ({ ...snapshot, cache: { ...snapshot.cache, entries: 0 } })
const invalidPolicy: Snapshot = {
  ...well,
  health: { ...well.health, policy: { ...well.health.policy, status: 'failing' } },
}

describe('what a restart costs', () => {
  const noIdentity: Snapshot = {
    ...empty(well),
    health: {
      ...well.health,
      upstreams: well.health.upstreams.map(each => (each.kind === 'identity' ? { ...each, status: 'failing' } : each)),
    },
  }
  const rows: readonly (readonly [snapshot: Snapshot, text: RegExp, why: string])[] = [
    [
      well,
      /^Do not restart the replica now\. A restart loses 1 cached token of this replica: without Redis/,
      'tokens, without Redis',
    ],
    [empty(well), /^A restart loses no token, because none is cached\.$/, 'nothing is cached'],
    [
      withRedis('ok', iso(3595)),
      /^After a restart, the replica reads cached tokens from Redis, which responds now\. A token that Redis does not have must be fetched again, because Redis removed it, or did not store it\.$/,
      'what Redis does not have, although it responded from the start',
    ],
    [
      withRedis('ok', iso(60)),
      /^After a restart, .* from Redis, which responds now\. A token that Redis does not have must be fetched again, such as one from before \S+ UTC, when Redis responded again\.$/,
      'what Redis did not get while it did not respond',
    ],
    [
      withRedis('failing', iso(60)),
      /^Do not restart .*A restart loses 1 cached token .*, because Redis does not respond\.$/,
      'no longer',
    ],
    [
      empty(withRedis('failing', iso(60))),
      /^A restart loses no token, because none is cached\.$/,
      'nothing, without Redis',
    ],
    [
      invalidPolicy,
      /^Do not restart the replica now\. The policy file is invalid, so the replica would not start\. A restart loses/,
      'no start',
    ],
    [
      noIdentity,
      /^Do not restart the replica now\. After a restart, the replica gets no requests until the managed identity issues a token\. A restart loses no token/,
      'no readiness',
    ],
  ]
  for (const [snapshot, text, why] of rows)
    test(`${why}: ${String(text)}`, () => {
      const cost = restartCost(snapshot)
      assert.match(cost.text, text)
      assert.equal(cost.isHarmful, cost.text.startsWith('Do not restart'))
    })
})

describe('a warning about a restart', () => {
  const reasons = Object.values(reasonTable).flatMap(each => Object.keys(each)) as Parameters<typeof remedyOf>[0][]
  const finding = (changes: Partial<Parameters<typeof restartWarnings>[0]>) =>
    ({ level: 'partial', component: 'tenants', actions: ['Wait.'], ...changes }) as const
  const { text } = restartCost(well)

  test('is there for every remedy of the page that advises one', () => {
    const all = reasons.flatMap(reason => [[remedyOf(reason)], identitySteps(reason)])
    const advised = all.filter(actions => actions.some(action => /\brestart/i.test(action)))
    const without = advised.filter(actions => restartWarnings(finding({ actions }), well)[0] !== text)
    assert.ok(advised.length > 5, String(advised.length))
    // Replicas that restart are a cause there, not advice.
    assert.deepEqual([...new Set(without.flat())], [remedyOf('loop')])
  })

  test('is there without that advice during an outage that a restart makes worse, and only then', () => {
    for (const component of ['identity', 'entra'] as const) {
      assert.deepEqual(restartWarnings(finding({ level: 'failing', component }), well), [text])
      assert.deepEqual(restartWarnings(finding({ level: 'failing', component }), empty(well)), [])
      assert.deepEqual(restartWarnings(finding({ level: 'attention', component }), well), [])
    }
    assert.deepEqual(restartWarnings(finding({}), well), [])
  })
})
