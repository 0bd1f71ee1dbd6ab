import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { counterLabels, timedCounters, type CounterName } from '../../src/broker/counters.ts'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { counterMetrics } from '../../src/telemetry/metrics/counters.ts'
import { graph, type TestBroker, until } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'

const metrics = await metricsWorld()
const { emulator, clock, ask, observer } = metrics

interface Series extends Json {
  readonly count: number
  readonly seconds?: number
}
type Counters = Readonly<Record<CounterName, readonly Series[]>>

const cacheOf = async (broker: TestBroker) => (await broker.get('/cache', { token: observer })).json
const countersOf = async (broker: TestBroker) => (await cacheOf(broker))['counters'] as Counters
const countOf = (series: readonly Series[], labels: Json): number =>
  series.find(each => Object.entries(labels).every(([label, value]) => each[label] === value))?.count ?? 0

describe('the counters in GET /cache', () => {
  test('are all that the broker names', () => {
    assert.deepEqual(
      counterMetrics.map(([name]) => name),
      Object.keys(counterLabels),
    )
  })

  for (const [name, metric] of counterMetrics)
    test(`${name}: the labels of its metric, and a duration if the metric is a histogram`, () => {
      const { labels, type } = metricTable[metric]
      assert.deepEqual(counterLabels[name], labels)
      assert.equal(
        timedCounters.some(timed => timed === name),
        type === 'histogram',
      )
    })

  test('are the numbers of /metrics, after requests of every kind', async t => {
    const broker = await metrics.broker(t)
    await ask(broker)
    await ask(broker)
    await ask(broker, { tenant: 'tailspin', scope: graph })
    await ask(broker, { tenant: 'tailspin', scope: graph })
    await ask(broker, { tenant: 'contoso', scope: 'https://vault.azure.net/.default' })
    await broker.requestToken(undefined, { token: 'x.y.z' })
    clock.advance(2700)
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    await ask(broker)
    await until('the refresh', async () => (await countersOf(broker)).cache_refreshes.some(({ count }) => count > 0))

    const counters = await countersOf(broker)
    const { series } = await metrics.scrape(broker)
    for (const [name, metric] of counterMetrics) {
      const suffix = metricTable[metric].type === 'histogram' ? '_count' : ''
      // These two requests were counted in between.
      const isCompared = ({ endpoint }: Readonly<Record<string, unknown>>) =>
        !['cache', 'metrics'].includes(String(endpoint))
      const scraped = [...series.values()]
        .filter(each => each.name === `${metric}${suffix}` && isCompared(each.labels))
        .map(({ labels, value }) => ({ ...labels, count: value, seconds: undefined }))
      const read = counters[name].filter(isCompared).map(each => ({ ...each, seconds: undefined }))
      assert.deepEqual(read, scraped, name)
    }
    assert.equal(countOf(counters.requests, { endpoint: 'tokens', outcome: 'issued' }), 4)
    assert.equal(countOf(counters.denials, { endpoint: 'tokens', reason: 'no_rule' }), 1)
    assert.equal(countOf(counters.cache_requests, { result: 'hit' }), 1)
    assert.equal(countOf(counters.negative_cache_hits, { reason: 'consent' }), 1)
    assert.equal(countOf(counters.exchanges, { outcome: 'federation' }), 1)
  })

  test('have the sum of the durations of exchanges, so that a mean can be computed', async t => {
    const broker = await metrics.broker(t)
    const seconds = async () => (await countersOf(broker)).exchanges.find(({ outcome }) => outcome === 'ok')?.seconds
    const { series } = await metrics.scrape(broker)
    assert.equal(await seconds(), series.get('token_broker_exchange_duration_seconds_sum{outcome="ok"}')?.value)
  })

  test('come with the clock of the broker, its replica and its start', async t => {
    const started = clock.now()
    const broker = await metrics.broker(t)
    clock.advance(2)
    const { json } = await broker.get('/health', { token: observer })
    assert.partialDeepStrictEqual(await cacheOf(broker), {
      time: new Date(started + 2000).toISOString(),
      started_at: new Date(started).toISOString(),
      replica: json['replica'],
    })
  })

  test('grow by no list entry with what callers send', async t => {
    const broker = await metrics.broker(t)
    const entries = async () => Object.values(await countersOf(broker)).flat().length
    const sendDenied = (nth: number) => ask(broker, { tenant: `tenant-${nth}`, scope: `api://${nth}/.default` })
    await sendDenied(0)
    await entries()
    const before = await entries()
    for (let nth = 1; nth < 20; nth++) await sendDenied(nth)
    assert.equal(await entries(), before)
  })

  test('are read without the gauges: a reading must not begin the measurement of a scraper anew', async () => {
    const never = () => assert.fail('a gauge was read')
    const metricsUnderTest = createMetrics({
      cache: never,
      circuit: never,
      certificates: never,
      secondLevel: never,
      upstreams: never,
      isReady: never,
      policy: never,
      version: '1.2.3',
    })
    const counters = await metricsUnderTest.counters()
    metricsUnderTest.close()
    assert.deepEqual(counters.get('requests'), [])
    assert.ok(counters.get('dropped_connections')?.every(({ count }) => count === 0))
  })
})
