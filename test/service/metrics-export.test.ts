import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { metricsNotExported } from '../../src/telemetry/metrics-export/metrics-export.ts'
import { graph, observers, startWorld, until } from '../support/broker.ts'
import { type ReceivedMetric, startOtlpReceiver } from '../support/otlp-receiver.ts'
import { scrape } from '../telemetry/scrape.ts'

const world = await startWorld()
const { emulator, clock } = world
const observer = await emulator.mintCallerToken({ sub: 'dashboard' })
const delta = { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'Delta' }

/** A broker that sends its metrics, and no spans, to a receiver. */
async function exporting(t: TestContext, environment = {}, status = 200) {
  const receiver = await startOtlpReceiver(status)
  t.after(receiver.close)
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_TRACES_EXPORTER: 'none' }
  const broker = await world.broker(t, { environment: { ...endpoint, ...environment } })
  return { broker, receiver }
}

const requests = ({ metrics }: { readonly metrics: readonly ReceivedMetric[] }) =>
  metrics.filter(({ name }) => name === 'token_broker_requests_total')
const issuedIn = ({ points }: ReceivedMetric): number =>
  points.find(({ attributes }) => attributes['outcome'] === 'issued')?.value ?? 0

test('a receiver gets when the broker stops what a scrape would have returned, with names, types and units', async t => {
  const { broker, receiver } = await exporting(t, { OTEL_SERVICE_NAME: 'broker-of-tests' })
  await broker.requestToken()
  await broker.requestToken({ tenant: 'tailspin', scope: graph })
  const scraped = await scrape(broker, observer)
  await broker.service.close()

  assert.equal(receiver.requests.length, 1)
  assert.equal(receiver.requests[0]?.path, '/v1/metrics')
  assert.equal(receiver.resource()['service.name'], 'broker-of-tests')
  assert.match(String(receiver.resource()['service.instance.id']), /^[\w-]{8,64}$/)
  const types = { counter: 'sum', gauge: 'gauge', histogram: 'histogram' } as const
  for (const { name, type, unit, description, isMonotonic, temporality } of receiver.metrics) {
    const row = metricTable[name as keyof typeof metricTable]
    assert.deepEqual([type, description], [types[row.type], row.help], name)
    assert.equal(unit, /_seconds(_total)?$/.test(name) ? 's' : name.endsWith('_bytes') ? 'By' : '', name)
    assert.equal(isMonotonic, row.type === 'counter', name)
    if (row.type !== 'gauge') assert.equal(temporality, 'cumulative', name)
  }
  // What a reading changes, and what the clock, the process or the scrape itself moves.
  const moving = /^process_|^nodejs_|event_loop|endpoint="metrics"/
  for (const [key, { name, labels, value }] of scraped.series) {
    if (moving.test(key) || Number.isNaN(value)) continue
    const { le, ...attributes } = labels
    const base = name.replace(/_(bucket|sum|count)$/, '')
    const metric = receiver.metrics.find(each => each.name === name || each.name === base)
    const point = metric?.points.find(each => JSON.stringify(each.attributes) === JSON.stringify(attributes))
    assert.ok(point, key)
    if (metric?.type !== 'histogram') assert.equal(point.value, value, key)
    else if (name.endsWith('_count')) assert.equal(point.count, value, key)
    else if (name.endsWith('_sum')) assert.ok(Math.abs(point.value - value) < 1e-9, key)
    else {
      const upTo = point.bounds.filter(bound => bound <= (le === '+Inf' ? Infinity : Number(le))).length
      const below = point.counts.slice(0, le === '+Inf' ? undefined : upTo).reduce((sum, each) => sum + each, 0)
      assert.equal(below, value, key)
    }
  }
})

test('a gauge without a value is left out, and not sent as NaN', async t => {
  const { broker, receiver } = await exporting(t)
  await broker.requestToken()
  await broker.service.close()
  assert.ok(receiver.metrics.some(({ name }) => name === 'token_broker_cache_entries_at_risk'))
  assert.ok(!receiver.metrics.some(({ name }) => name === 'token_broker_cache_at_risk_usable_seconds'))
  assert.ok(receiver.metrics.every(({ points }) => points.every(({ value }) => Number.isFinite(value))))
})

test('metrics are sent at each interval: totals by default', async t => {
  const { broker, receiver } = await exporting(t, { OTEL_METRIC_EXPORT_INTERVAL: '1000' })
  await broker.requestToken()
  await until('an export', () => requests(receiver).some(metric => issuedIn(metric) === 1))
  await broker.requestToken()
  await until('a later export', () => requests(receiver).some(metric => issuedIn(metric) === 2))
})

test('differences, if the receiver prefers them: together they are the total', async t => {
  const { broker, receiver } = await exporting(t, { ...delta, OTEL_METRIC_EXPORT_INTERVAL: '1000' })
  await broker.requestToken()
  await until('an export', () => requests(receiver).some(metric => issuedIn(metric) === 1))
  clock.advance(1)
  await broker.requestToken()
  await broker.requestToken()
  await broker.service.close()
  const all = requests(receiver)
  assert.equal(
    all.reduce((sum, metric) => sum + issuedIn(metric), 0),
    3,
  )
  assert.ok(all.every(({ temporality }) => temporality === 'delta'))
  const durations = receiver.metrics.filter(({ name }) => name === 'token_broker_request_duration_seconds')
  const counts = durations.flatMap(({ points }) =>
    points.filter(({ attributes }) => attributes['endpoint'] === 'tokens'),
  )
  assert.equal(
    counts.reduce((sum, { count }) => sum + count, 0),
    3,
  )
})

test('differences that the receiver refused are part of the next ones', async t => {
  const { broker, receiver } = await exporting(t, { ...delta, OTEL_METRIC_EXPORT_INTERVAL: '1000' }, 400)
  await broker.requestToken()
  await until('a refused export', () => receiver.requests.length > 0)
  receiver.respond(200)
  await broker.requestToken()
  const refused = receiver.requests.length
  await broker.service.close()
  assert.ok(receiver.requests.length > refused)
  assert.equal(issuedIn(requests(receiver).at(-1) ?? ({ points: [] } as never)), 2)
})

test('no log line has the headers or the text of a receiver that refuses metrics, and requests are served', async t => {
  const headers = { OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'x-key=a%20secret%20key' }
  const { broker, receiver } = await exporting(t, headers, 400)
  assert.equal((await broker.requestToken()).status, 200)
  await broker.service.close()
  assert.equal(receiver.requests[0]?.headers['x-key'], 'a secret key')
  assert.equal(broker.logLines().filter(line => line['msg'] === metricsNotExported).length, 1)
  assert.ok(!broker.logText().includes('secret key'))
})

test('a receiver that does not respond delays the stop by a few seconds at most', async t => {
  const { broker, receiver } = await exporting(t, {}, 0)
  await broker.requestToken()
  const began = performance.now()
  await broker.service.close()
  assert.equal(receiver.requests.length, 1)
  assert.ok(performance.now() - began < 15_000)
})

for (const [what, environment] of [
  ['OTEL_METRICS_EXPORTER=none', { OTEL_METRICS_EXPORTER: 'none' }],
  ['another exporter', { OTEL_METRICS_EXPORTER: 'prometheus' }],
  ['another protocol', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
] as const)
  test(`nothing is sent with ${what}`, async t => {
    const { broker, receiver } = await exporting(t, environment)
    await broker.requestToken()
    await broker.service.close()
    assert.deepEqual(receiver.requests, [])
  })

test('no credential is in a metric, and no tenant', async t => {
  const { broker, receiver } = await exporting(t)
  const token = await emulator.mintCallerToken()
  const issued = String((await broker.requestToken(undefined, { token })).json['access_token'])
  await broker.service.close()
  const sent = Buffer.concat(receiver.requests.map(({ body }) => body)).toString('latin1')
  for (const secret of [token, issued, 'contoso', 'eyJ', String(observers['name'])]) assert.ok(!sent.includes(secret))
})
