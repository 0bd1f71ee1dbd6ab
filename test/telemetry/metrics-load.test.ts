import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { graph, type TestBroker, until } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'

const tenants = Array.from({ length: 5 }, (_, n) => `60000000-0000-4000-8000-00000000000${n}`)
const metrics = await metricsWorld({ tenants: tenants.map(id => ({ id })) })
const { emulator, clock, ask } = metrics
const policy = {
  rules: [
    { name: 'all', callers: [{ issuer: 'emulator', subject: 'sample-caller' }], tenants, scopes: [graph] },
    metrics.observers,
  ],
  tenants: {},
}
const start = (t: Parameters<typeof metrics.bareBroker>[0], environment = {}) =>
  metrics.bareBroker(t, { policy, environment })
const askFor = (broker: TestBroker, n: number) => ask(broker, { tenant: tenants[n] ?? '', scope: graph })

const read = async (broker: TestBroker, ...keys: readonly string[]) => {
  const { series } = await metrics.scrape(broker)
  return keys.map(key => series.get(`token_broker_${key}`)?.value)
}

describe('exchanges and the fair queue', () => {
  const load = (broker: TestBroker) =>
    read(
      broker,
      'upstream_exchanges_in_flight',
      'fair_queue_length{queue="callers"}',
      'fair_queue_length{queue="background"}',
    )

  test('are counted while they last: one exchange at once, and the others wait', async t => {
    const broker = await start(t, { BROKER_UPSTREAM_CONCURRENCY: '1' })
    await askFor(broker, 0)
    assert.deepEqual(await load(broker), [0, 0, 0])
    emulator.configure({ latency: { token: 400 } })
    const responses = [askFor(broker, 1), askFor(broker, 2), askFor(broker, 3)]
    await until('the queue', async () => String(await load(broker)) === '1,2,0')
    assert.partialDeepStrictEqual((await broker.get('/cache', { token: metrics.observer })).json, {
      fetching: 3,
      exchanging: 1,
      waiting: 2,
      waiting_background: 0,
    })
    assert.ok((await Promise.all(responses)).every(({ status }) => status === 200))
    assert.deepEqual(await load(broker), [0, 0, 0])
  })

  test('refreshes wait in a queue of their own', async t => {
    const broker = await start(t, { BROKER_UPSTREAM_CONCURRENCY: '1' })
    for (const n of [0, 1, 2]) await askFor(broker, n)
    clock.advance(2700)
    emulator.configure({ latency: { token: 400 } })
    for (const n of [0, 1, 2]) assert.match(String((await askFor(broker, n)).headers['cache-status']), /detail=due/)
    await until('the queue', async () => String(await load(broker)) === '1,0,2')
    const { json } = await broker.get('/cache', { token: metrics.observer })
    assert.partialDeepStrictEqual(json, { exchanging: 1, waiting: 0, waiting_background: 2 })
    await until('the refreshes', async () => String(await load(broker)) === '0,0,0')
  })
})

test('failures in the negative cache, by level and reason; they disappear with a success', async t => {
  const broker = await start(t)
  const failures = () => read(broker, 'negative_cache_entries{level="tenant",reason="consent"}')
  const body = async () => (await broker.get('/cache', { token: metrics.observer })).json['failures']
  assert.deepEqual([await failures(), await body()], [[undefined], []])
  emulator.fault({ kind: 'aadsts', code: 7000229, at: 'token' })
  for (const n of [0, 1]) assert.equal((await askFor(broker, n)).status, 403)
  assert.deepEqual(await failures(), [2])
  assert.deepEqual(await body(), [{ level: 'tenant', reason: 'consent', count: 2 }])
  emulator.clearFaults()
  clock.advance(60)
  for (const n of [0, 1]) assert.equal((await askFor(broker, n)).status, 200)
  assert.deepEqual([await failures(), await body()], [[undefined], []])
})

test('the circuit opens when several tenants get no response, is half-open for one exchange, and closes', async t => {
  const broker = await start(t)
  const circuit = () =>
    read(broker, ...['closed', 'open', 'half-open'].map(state => `upstream_circuit_state{state="${state}"}`))
  const health = async () => {
    const { upstreams } = (await broker.get('/health', { token: metrics.observer })).json
    return (upstreams as { kind: string; circuit?: unknown }[]).find(({ kind }) => kind === 'authority')?.circuit
  }
  const iso = () => new Date(clock.now()).toISOString()
  const began = iso()
  assert.deepEqual(await circuit(), [1, 0, 0])
  clock.advance(5)
  emulator.fault({ kind: 'reset', at: 'token' })
  for (const n of [0, 1, 2]) await askFor(broker, n)
  // Three tenants, and three attempts of each: one less than it takes.
  assert.deepEqual([await circuit(), await health()], [[1, 0, 0], { state: 'closed', since: began }])
  await askFor(broker, 3)
  const opened = iso()
  assert.deepEqual([await circuit(), await health()], [[0, 1, 0], { state: 'open', since: opened }])

  emulator.resetCounts()
  const { status, json } = await askFor(broker, 4)
  assert.deepEqual([status, json['code'], json['retry_after']], [503, 'upstream_unavailable', 2])
  assert.equal(emulator.counts().endpoints.token.total, 0)
  assert.equal(broker.events('token.failed').at(-1)?.['reason'], 'circuit_open')

  emulator.clearFaults()
  emulator.configure({ latency: { token: 400 } })
  clock.advance(2)
  const probe = askFor(broker, 4)
  await until('the probe', async () => String(await circuit()) === '0,0,1')
  assert.equal((await probe).status, 200)
  assert.deepEqual(await circuit(), [1, 0, 0])
})
