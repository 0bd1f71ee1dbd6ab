import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import type { End } from '../../src/broker/ends.ts'
import { createMetrics, type Gauges } from '../../src/telemetry/metrics.ts'
import { graph, observers, policyOf, sampleCaller, send, type TestBroker } from '../support/broker.ts'
import { sendRaw } from '../http/server/raw.ts'
import { metricsWorld } from './metrics-world.ts'
import { readScrape } from './scrape.ts'

const metrics = await metricsWorld()
const { emulator, caller, observer } = metrics

const policy = {
  rules: [
    {
      name: 'everything',
      callers: [sampleCaller, { issuer: 'emulator', subject: 'worker-*' }],
      tenants: '*',
      scopes: [graph],
    },
    observers,
  ],
}

/** Appears in everything that a caller may choose, and in nothing that the broker says of itself. */
const marker = 'zq7'
/** New each time, and with the marker in it. */
const random = () => `${marker}${randomUUID().replaceAll('-', '')}`

type Request = (broker: TestBroker) => Promise<unknown>
const json = { 'content-type': 'application/json' }
const good = { ...json, authorization: `Bearer ${caller}` }
const body = (changes = {}) => JSON.stringify({ tenant: 'contoso', scope: graph, ...changes })
const post =
  (changes: () => object, headers: () => Record<string, string> = () => ({})): Request =>
  ({ url }) =>
    send(`${url}/tokens`, { method: 'POST', headers: { ...good, ...headers() }, body: body(changes()) })
const withToken =
  (...how: readonly (() => Parameters<typeof emulator.mintCallerToken>)[]): Request =>
  async broker => {
    for (const make of how) await broker.requestToken(undefined, { token: await emulator.mintCallerToken(...make()) })
  }
const get =
  (path: () => string): Request =>
  broker =>
    broker.get(path(), { token: observer })

/** Everything that a caller may choose, once each with something new. */
const kinds: readonly Request[] = [
  post(() => ({})),
  post(() => ({ tenant: randomUUID() })),
  post(() => ({ tenant: random() })),
  post(() => ({ tenant: `${random()}!` })),
  post(() => ({ scope: `https://${random()}.example/.default` })),
  post(() => ({ scope: random() })),
  post(() => ({ application: random() })),
  post(() => ({ [random()]: random() })),
  post(() => ({ min_expires_in: random() })),
  post(
    () => ({}),
    () => ({ [random()]: random(), 'user-agent': random(), 'x-request-id': random() }),
  ),
  post(
    () => ({}),
    () => ({ 'x-forwarded-for': random(), host: `${random()}.example`, origin: `https://${random()}` }),
  ),
  post(
    () => ({}),
    () => ({ 'content-type': `application/${random()}` }),
  ),
  post(
    () => ({}),
    () => ({ authorization: `Bearer ${random()}` }),
  ),
  post(
    () => ({}),
    () => ({ authorization: `${random()} ${random()}` }),
  ),
  withToken(() => [{ sub: `worker-${random()}` }]),
  withToken(() => [{ sub: random() }]),
  withToken(() => [{ [random()]: random() }]),
  withToken(() => [{}, { issuer: `https://${random()}.example` }]),
  withToken(() => [{}, { audience: random() }]),
  withToken(
    () => [{}, { header: { kid: random() } }],
    () => [{}, { header: { typ: random() } }],
  ),
  withToken(
    () => [{}, { header: { alg: random() } }],
    () => [{}, { key: 'foreign' }],
  ),
  get(() => `/${random()}`),
  get(() => `/docs/${random()}`),
  get(() => `/cache/entries?tenant=${random()}&limit=5`),
  get(() => `/cache/entries?${random()}=${random()}`),
  get(() => `/cache/failures?tenant=${random()}`),
  get(() => `/decisions?tenant=${random()}`),
  get(() => `/health?${random()}`),
  get(() => `/health/${random()}`),
  ({ url }) => send(`${url}/health`, { method: random().toUpperCase() }),
  ({ url }) => send(`${url}/${random()}`, { method: 'PROPFIND' }),
  ({ url }) => send(`${url}/%zz${random()}`),
  ({ url }) => sendRaw(url, `${random()} ${random()} ${random()}\r\n\r\n`),
  ({ url }) => sendRaw(url, `GET /${random()} HTTP/1.1\r\nHost: ${random()}\r\nConnection: close\r\n\r\n`),
]

const seriesOf = async (broker: TestBroker) => [...(await metrics.scrape(broker)).series.keys()].toSorted()

test('the number of series does not depend on what callers send, and a scrape contains nothing of it', async t => {
  const broker = await metrics.broker(t, { policy })
  let sent = 0
  const sendUntil = async (count: number) => {
    for (; sent < count; sent++) await kinds[sent % kinds.length]?.(broker)
  }
  // The home tenant is known, and a scrape has been counted.
  await broker.service.warmUp()
  await metrics.scrape(broker)
  await sendUntil(kinds.length)
  const once = await seriesOf(broker)
  await sendUntil(100)
  const afterHundred = await seriesOf(broker)
  await sendUntil(300)
  assert.deepEqual(afterHundred, once)
  assert.deepEqual(await seriesOf(broker), once)

  const { text } = await metrics.scrape(broker)
  assert.ok(!text.toLowerCase().includes(marker), text)
  // It was heard of, so it could have been there.
  assert.ok(broker.logText().includes(marker))
  const outcomes = new Set(once.map(key => /endpoint="tokens",outcome="(\w+)"/.exec(key)?.[1]))
  for (const outcome of ['issued', 'not_permitted', 'invalid_token', 'upstream_rejected', 'invalid_request'])
    assert.ok(outcomes.has(outcome), outcome)
})

/** The gauges of a broker that has one upstream. */
const gaugesOf = (name: string): Gauges => ({
  cache: () => ({
    entries: 0,
    maxEntries: 1,
    fetching: 0,
    load: { running: 0, waiting: 0, background: 0 },
    failures: [],
    evictions: 0,
    atRisk: 0,
    atRiskUsableSeconds: undefined,
  }),
  certificates: () => [],
  circuit: () => 'closed',
  secondLevel: () => undefined,
  upstreams: () => [
    {
      upstream: { kind: 'authority', name },
      status: 'ok',
      since: 0,
      lastSuccess: 0,
      lastError: undefined,
      failures: 0,
      averageSeconds: 0.1,
    },
  ],
  isReady: () => true,
  policy: () => ({ policy: parsePolicy(JSON.stringify(policyOf(emulator))), loadedAt: 0, rejection: undefined }),
  version: '1.2.3',
})

test('labels are escaped: a name in the policy cannot add a line', async () => {
  const name = 'https://login.example/"} 1\nfaked_total 1\\'
  const metricsUnderTest = createMetrics(gaugesOf(name))
  const text = (await metricsUnderTest.scrape(false)).text
  metricsUnderTest.close()
  const healthy = [...readScrape(text).series.values()].filter(each => each.name === 'token_broker_upstream_healthy')
  assert.deepEqual(
    healthy.map(({ labels, value }) => [labels['name'], value]),
    [['https://login.example/\\"} 1\\nfaked_total 1\\\\', 1]],
  )
  assert.ok(!/^faked/m.test(text))
})

describe('the ends of certificates', () => {
  const scrapeOf = async (ends: readonly End[]) => {
    const metricsUnderTest = createMetrics({ ...gaugesOf('any'), certificates: () => ends })
    const { text } = await metricsUnderTest.scrape(false)
    metricsUnderTest.close()
    return [...readScrape(text).series.values()].filter(
      ({ name }) => name === 'token_broker_certificate_expiry_timestamp_seconds',
    )
  }
  const end = (name: string, endsAt: number): End => ({ kind: 'client_ca', name, endsAt })

  test('of an authority that replaces another with the same subject, the later one counts, in any order', async () => {
    for (const ends of [
      [end('CN=a', 1000), end('CN=a', 2000)],
      [end('CN=a', 2000), end('CN=a', 1000)],
    ])
      assert.deepEqual(
        (await scrapeOf(ends)).map(({ value }) => value),
        [2],
      )
  })

  test('of a file with thousands of authorities, only the 100 that end first are series', async () => {
    const many = Array.from({ length: 3000 }, (_, nth) => end(`CN=${nth}`, (3000 - nth) * 1000))
    const found = await scrapeOf(many)
    assert.equal(found.length, 100)
    assert.equal(Math.max(...found.map(({ value }) => value)), 100)
  })
})
