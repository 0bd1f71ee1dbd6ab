import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SecondLevelEvents } from '../../src/broker/events.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import { metricsWorld } from './metrics-world.ts'

const metrics = await metricsWorld()
const { clock, ask, observer } = metrics

/** A broker with a second level, and the events that this one reports. */
async function sharing(t: Parameters<typeof metrics.broker>[0]) {
  const store = new MemoryStore(clock)
  const level = store.replica()
  const reported = Promise.withResolvers<SecondLevelEvents>()
  const broker = await metrics.broker(t, {
    secondLevel: events => {
      reported.resolve(events)
      return level
    },
  })
  return { broker, level, store, events: await reported.promise }
}

describe('what is counted of the second level', () => {
  const cases: readonly [moved: string, happens: (events: SecondLevelEvents) => void][] = [
    [
      'token_broker_shared_lookup_duration_seconds_count{outcome="hit"}',
      ({ sharedLookUp }) => sharedLookUp('hit', 0.002),
    ],
    [
      'token_broker_shared_lookup_duration_seconds_count{outcome="purged"}',
      ({ sharedLookUp }) => sharedLookUp('purged', 0.002),
    ],
    ['token_broker_shared_stores_total{outcome="failed"}', ({ sharedStore }) => sharedStore('failed', 0.25)],
    ['token_broker_shared_leases_total{outcome="alone"}', ({ lease }) => lease('alone')],
    ['token_broker_shared_purge_lag_seconds_count{}', ({ purgeReceived }) => purgeReceived(0.01)],
  ]
  for (const [moved, happens] of cases)
    test(moved, async t => {
      const { broker, events } = await sharing(t)
      const moves = await metrics.moves(broker, () => Promise.resolve(happens(events)))
      assert.equal(moves[moved] ?? moves[moved.replace('{}', '')], 1, JSON.stringify(moves))
    })
})

test('the gauges follow the store, and do not exist without one', async t => {
  const { broker, level } = await sharing(t)
  const value = async (name: string) =>
    [...(await metrics.scrape(broker)).series.values()].find(series => series.name === name)?.value
  assert.equal(await value('token_broker_shared_available'), 1)
  assert.equal(await value('token_broker_shared_replicas'), 1)
  level.cutOff()
  assert.equal(await value('token_broker_shared_available'), 0)
  assert.equal(await value('token_broker_shared_replicas'), undefined)
  const alone = await metrics.broker(t)
  const { series } = await metrics.scrape(alone)
  assert.ok(![...series.values()].some(({ name }) => name === 'token_broker_shared_available'))
})

describe('operators see the second level', () => {
  test('/health has its status and the live replicas, and is failing while the store is unavailable', async t => {
    const { broker, level } = await sharing(t)
    const health = async () => (await broker.get('/health', { token: observer })).json
    assert.partialDeepStrictEqual(await health(), {
      shared_cache: { status: 'ok', live_replicas: 1, keys: [{ id: 'memory', writes: true }] },
    })
    await broker.service.warmUp()
    level.cutOff()
    assert.partialDeepStrictEqual(await health(), {
      status: 'failing',
      ready: true,
      shared_cache: { status: 'failing', live_replicas: null },
    })
  })

  test('/cache has what each live replica reported', async t => {
    const { broker, store } = await sharing(t)
    store.replica()
    const { json } = await broker.get('/cache', { token: observer })
    assert.equal((json as { replicas: unknown[] }).replicas.length, 2)
    assert.partialDeepStrictEqual(json, { replicas: [{ entries: 0, fetching: 0, at_risk: 0 }] })
  })

  test('without a second level neither says anything about one', async t => {
    const broker = await metrics.broker(t)
    for (const [path, field] of [
      ['/health', 'shared_cache'],
      ['/cache', 'replicas'],
    ] as const) {
      const { json } = await broker.get(path, { token: observer })
      assert.ok(!(field in Object(json)), path)
    }
  })

  test('Redis that stops and starts to respond is logged', async t => {
    const { broker, events } = await sharing(t)
    events.secondLevelChanged(false, clock.now())
    events.secondLevelChanged(true, clock.now())
    assert.match(broker.logText(), /Redis does not respond in time/)
    assert.match(broker.logText(), /Redis responds again/)
  })

  test('a token of another replica is counted as shared, and Cache-Status says so', async t => {
    const { broker, store } = await sharing(t)
    const other = await metrics.broker(t, { secondLevel: store.replica() })
    const first = await ask(other)
    const second = await ask(broker)
    assert.equal(first.status, 200)
    assert.equal(second.headers['cache-status'], 'token-broker; fwd=miss, token-broker-shared; hit')
  })
})
