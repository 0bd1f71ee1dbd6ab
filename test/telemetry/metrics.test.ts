import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { type MetricRow, metricTable } from '../../src/telemetry/metric-table.ts'
import { graph, observers, sampleCaller, send, until } from '../support/broker.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { valuesOf } from '../contract/metrics-page.ts'
import { metricsWorld } from './metrics-world.ts'
import { readScrape } from './scrape.ts'

const metrics = await metricsWorld()
const { emulator, clock, ask } = metrics
const table: Readonly<Record<string, MetricRow>> = metricTable

const [arm, vault] = ['https://management.azure.com/.default', 'https://vault.azure.net/.default']
const rules = [
  {
    name: 'sample',
    callers: [sampleCaller],
    tenants: ['contoso', 'fabrikam', 'tailspin'],
    scopes: [graph, arm, vault],
  },
  { name: 'agents', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph], agents: ['helper'] },
  observers,
]
const clients = {
  applications: { default: sample.application, assistants: sample.blueprint },
  agents: { helper: { application: 'assistants', id: sample.agentIdentity } },
}

/** A broker to which everything has happened that gives a metric its labels. */
async function eventful() {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  after(() => rm(folder, { recursive: true, force: true }))
  const TLS_CLIENT_CA_FILE = join(folder, 'ca.crt')
  await writeFile(TLS_CLIENT_CA_FILE, emulator.caPem)
  const apiKeys = { erp: { sha256: 'ab'.repeat(32), expires: '2999-01-31' } }
  const broker = await metrics.broker(
    { after },
    {
      policy: { ...clients, apiKeys, tenantLimit: '2/h', rules },
      environment: {
        TLS_CLIENT_CA_FILE,
        BROKER_TRUSTED_PROXIES: '127.0.0.2',
        BROKER_CLIENT_CERT_HEADER: 'client-cert',
      },
      secondLevel: seen => {
        seen.sharedLookUp('hit', 0.001)
        return new MemoryStore(clock).replica()
      },
    },
  )
  // There is no file from which it could be read again.
  await broker.service.reload()
  await send(`${broker.url}/health`, { headers: { 'x-forwarded-for': '192.0.2.7' } })
  await ask(broker)
  await ask(broker, { tenant: 'unknown', scope: graph })
  await ask(broker, { tenant: 'contoso', scope: graph, agent: 'helper' })
  // The limit of the tenant, which refills before the next exchange.
  for (const scope of [arm, vault]) await ask(broker, { tenant: 'contoso', scope })
  await broker.requestToken(undefined, { token: 'nonsense' })
  clock.advance(2700)
  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  await ask(broker)
  await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
  await ask(broker)
  // The failure is cached for all tenants of the application.
  await ask(broker, { tenant: 'tailspin', scope: graph })
  await metrics.scrape(broker)
  return broker
}
const broker = await eventful()
const reply = await broker.get('/metrics', { token: metrics.observer })
const scrape = readScrape(reply.text)

test('the response has the text format, version 0.0.4, and must not be stored', () => {
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  assert.equal(reply.headers['cache-control'], 'no-store')
  assert.ok(reply.text.endsWith('\n'))
})

describe('promtool check metrics', { skip: withoutPromtool }, () => {
  const check = (text: string) => promtool(['check', 'metrics'], text)

  test('finds no error', () => assert.deepEqual(check(reply.text), { status: 0, said: '' }))

  test('finds no error in the metrics of a broker without any request', async t => {
    const fresh = await metrics.bareBroker(t)
    assert.deepEqual(check((await fresh.get('/metrics')).text), { status: 0, said: '' })
  })

  test('would find an error', () => {
    const { status, said } = check('# HELP tokens Tokens.\n# TYPE tokens counter\ntokens 1\n')
    assert.equal(status, 3)
    assert.match(said, /_total/)
  })
})

/** The metric that a line with a value belongs to. */
const metricOf = (name: string) => (name in table ? name : name.replace(/_(bucket|sum|count)$/, ''))

describe('the metrics are those of the table', () => {
  test('no more and no fewer', () => {
    assert.deepEqual([...scrape.types.keys()].toSorted(), Object.keys(table).toSorted())
    const scraped = new Set([...scrape.series.values()].map(({ name }) => metricOf(name)))
    assert.deepEqual([...scraped].toSorted(), Object.keys(table).toSorted())
  })

  for (const [name, { type, help, labels }] of Object.entries(table))
    test(`${name}: its type, its help, its labels`, () => {
      assert.equal(scrape.types.get(name), type)
      assert.equal(scrape.helps.get(name), help)
      for (const series of [...scrape.series.values()].filter(each => metricOf(each.name) === name)) {
        const expected = series.name.endsWith('_bucket') ? [...labels, 'le'] : labels
        assert.deepEqual(Object.keys(series.labels).toSorted(), expected.toSorted())
      }
    })
})

describe("the names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/)", () => {
  for (const [name, { type, help, labels }] of Object.entries(table))
    test(name, () => {
      assert.match(name, /^(token_broker|process|nodejs)(_[a-z0-9]+)+$/)
      assert.equal(name.endsWith('_total'), type === 'counter', 'a counter, and nothing else, ends in _total')
      assert.doesNotMatch(name, /_(ms|milliseconds|minutes|kb|mb|percent|count|sum|bucket)(_|$)/)
      if (type === 'histogram') assert.match(name, /_seconds$/)
      assert.match(help, /^[A-Z1].*\.$/)
      for (const label of labels) assert.match(label, /^(?!le$|quantile$|job$|instance$|__)[a-z][a-z0-9_]*$/)
    })
})

test('a histogram counts values up to each bound, and all values in the last', () => {
  const all = [...scrape.series.values()]
  for (const name of Object.keys(table).filter(each => table[each]?.type === 'histogram')) {
    const labelsOf = ({ labels: { le: _bound, ...labels } }: (typeof all)[number]) => JSON.stringify(labels)
    const buckets = Map.groupBy(
      all.filter(each => each.name === `${name}_bucket`),
      labelsOf,
    )
    assert.ok(buckets.size > 0, name)
    for (const [series, ofBucket] of buckets) {
      const bounds = ofBucket.map(({ labels }) => Number(labels['le']?.replace('+Inf', 'Infinity')))
      assert.deepEqual(
        bounds,
        bounds.toSorted((a, b) => a - b),
      )
      assert.equal(bounds.at(-1), Infinity)
      const counts = ofBucket.map(({ value }) => value)
      assert.deepEqual(
        counts,
        counts.toSorted((a, b) => a - b),
      )
      const count = all.find(each => each.name === `${name}_count` && labelsOf(each) === series)
      assert.equal(counts.at(-1), count?.value)
    }
  }
})

describe('counters with few label values have every series from the start, so that "increase" sees the first event', async () => {
  const fresh = await metrics.scrape(await metrics.bareBroker({ after }))
  const rows: readonly (readonly [metric: string, label: string])[] = [
    ['token_broker_cache_requests_total', 'result'],
    ['token_broker_cache_refreshes_total', 'outcome'],
    ['token_broker_limited_requests_total', 'limit'],
    ['token_broker_policy_reloads_total', 'outcome'],
    ['token_broker_dropped_connections_total', 'reason'],
    ['token_broker_shared_stores_total', 'outcome'],
    ['token_broker_shared_leases_total', 'outcome'],
  ]
  for (const [metric, label] of rows)
    test(metric, () => {
      const series = [...fresh.series.values()].filter(({ name }) => name === metric)
      assert.deepEqual(new Set(series.map(({ labels }) => labels[label])), valuesOf(metric, label))
      assert.ok(series.every(({ value }) => value === 0))
    })
})
