import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { secret, startAgent } from '../agent/world.ts'
import { graph, send, until, type TestBroker } from '../support/broker.ts'
import { tokenEndpointsOf } from '../support/token-endpoints.ts'
import { metricsWorld } from './metrics-world.ts'
import { readScrape, type Scrape, valueOf } from './scrape.ts'

const metrics = await metricsWorld()
const { emulator, ask, caller, clock, observer } = metrics

const name = 'token_broker_request_duration_seconds'

/** `endpoint outcome` → how many requests were timed, the scrapes left out. */
const countsOf = ({ series }: Scrape): Record<string, number> =>
  Object.fromEntries(
    [...series.values()]
      .filter(({ name: of, labels }) => of === `${name}_count` && labels['endpoint'] !== 'metrics')
      .map(({ labels, value }) => [`${labels['endpoint']} ${labels['outcome']}`, value]),
  )

/** Each count that changes while something happens, by how much. */
async function timed(broker: TestBroker, happens: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = countsOf(await metrics.scrape(broker))
  await happens()
  const after = Object.entries(countsOf(await metrics.scrape(broker)))
  return Object.fromEntries(
    after.map(([key, value]) => [key, value - (before[key] ?? 0)] as const).filter(([, value]) => value !== 0),
  )
}

describe('a request is timed once, by endpoint and class of the response', () => {
  const fault = () => emulator.fault({ kind: 'server-error', at: 'token' })
  const due = async (broker: TestBroker): Promise<void> => {
    await ask(broker)
    clock.advance(2700)
  }
  const refreshFailed = async (broker: TestBroker): Promise<void> => {
    await due(broker)
    fault()
    await ask(broker)
    await until('the refresh failed', async () =>
      [...(await metrics.scrape(broker)).series.keys()].some(key => /refreshes_total.*server_error/.test(key)),
    )
  }
  const rows: readonly (readonly [
    what: string,
    expected: string,
    happens: (broker: TestBroker) => Promise<unknown>,
    before?: (broker: TestBroker) => Promise<unknown>,
  ])[] = [
    ['a token that no request has fetched yet', 'tokens fetched', ask],
    ['a cached token', 'tokens cached', ask, ask],
    ['a token that is due', 'tokens cached', ask, due],
    ['a token whose refresh failed', 'tokens cached', ask, refreshFailed],
    [
      'a token for which min_expires_in needs a fetch',
      'tokens fetched',
      broker => ask(broker, { tenant: 'contoso', scope: graph, min_expires_in: 1800 }),
      due,
    ],
    ['a denial', 'tokens client_error', broker => ask(broker, { tenant: 'unknown', scope: graph })],
    ['no credential', 'tokens client_error', broker => send(`${broker.url}/tokens`, { method: 'POST' })],
    ['Entra fails', 'tokens server_error', ask, async () => fault()],
    [
      'at another token endpoint',
      'oauth_token fetched',
      async broker => (await tokenEndpointsOf(metrics, broker)).oauth(),
    ],
    ['an endpoint without tokens', 'health ok', broker => broker.get('/health', { token: observer })],
    ['a probe that is not ready', 'readyz server_error', broker => send(`${broker.url}/readyz`)],
    ['a path that no endpoint has', 'none client_error', broker => send(`${broker.url}/nowhere`)],
  ]
  for (const [what, expected, happens, before] of rows)
    test(`${what}: ${expected}`, async t => {
      const broker = await metrics.broker(t)
      await before?.(broker)
      assert.deepEqual(await timed(broker, () => happens(broker)), { [expected]: 1 })
    })
})

test('the time of an exchange counts in full, and falls into its bucket', async t => {
  const broker = await metrics.broker(t)
  const before = await metrics.scrape(broker)
  const release = emulator.hold('token')
  const asked = ask(broker)
  await until('Entra has the request', () => emulator.counts().maxConcurrentTokenRequests > 0)
  clock.advance(0.3)
  release()
  await asked
  const after = await metrics.scrape(broker)
  const moved = (suffix: string, more = '') => {
    const key = `${name}${suffix}{${more}endpoint="tokens",outcome="fetched"}`
    return (valueOf(after, key) ?? Number.NaN) - (valueOf(before, key) ?? 0)
  }
  assert.ok(Math.abs(moved('_sum') - 0.3) < 1e-6, String(moved('_sum')))
  assert.deepEqual([moved('_bucket', 'le="0.25",'), moved('_bucket', 'le="0.5",')], [0, 1])
})

describe('a client that sends its body slowly does not make the broker look slow', () => {
  const body = JSON.stringify({ tenant: 'contoso', scope: graph })
  const form = `grant_type=client_credentials&tenant=contoso&scope=${encodeURIComponent(graph)}&client_secret=x`
  const rows: readonly (readonly [path: string, type: string, body: string, expected: string])[] = [
    ['/tokens', 'application/json', body, 'tokens cached'],
    ['/tokens', 'application/json', '{}', 'tokens client_error'],
    ['/tokens', 'application/json', `{"x":"${'x'.repeat(20_000)}"}`, 'tokens client_error'],
    ['/oauth2/token', 'application/x-www-form-urlencoded', form, 'oauth_token client_error'],
  ]
  for (const [path, type, text, expected] of rows)
    test(`${path}: ${text.slice(0, 20)}`, async t => {
      const broker = await metrics.broker(t)
      await ask(broker)
      const before = await metrics.scrape(broker)
      const authorization = path === '/tokens' ? `Authorization: Bearer ${caller}\r\n` : ''
      const socket = connect(Number(new URL(broker.url).port), '127.0.0.1')
      t.after(() => socket.destroy())
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n`,
      )
      socket.write(`1\r\n${text.slice(0, 1)}\r\n`)
      // A later request has its response: so the broker has read the headers of this one.
      await send(`${broker.url}/livez`)
      clock.advance(5)
      socket.write(`${(text.length - 1).toString(16)}\r\n${text.slice(1)}\r\n0\r\n\r\n`)
      await once(socket, 'data')
      const [endpoint, outcome] = expected.split(' ')
      const key = `${name}_sum{endpoint="${endpoint}",outcome="${outcome}"}`
      assert.equal(valueOf(await metrics.scrape(broker), key), valueOf(before, key) ?? 0)
    })
})

test('an agent times its requests too', async t => {
  const broker = await metrics.broker(t)
  const agent = await startAgent(t, metrics, broker)
  await agent.identity()
  await agent.identity()
  await agent.send('/identity/token', { headers: { 'x-identity-header': `not ${secret}` } })
  const counts = countsOf(readScrape((await agent.send('/metrics')).text))
  assert.deepEqual(counts, { 'identity fetched': 1, 'identity cached': 1, 'identity client_error': 1 })
})
