import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { graph, observers, sampleCaller, send, type TestBroker, until } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'

const { emulator, clock, ask, broker: startBroker, moves, observer, scrape } = await metricsWorld()
const contoso = { tenant: 'contoso', scope: graph }
/** As ever, and the observer may make the broker forget. */
const rules = [
  { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] },
  { ...observers, permissions: ['observe', 'purge'] },
]

const issued = 'token_broker_requests_total{endpoint="tokens",outcome="issued"}'
const served = (result: string) => `token_broker_cache_requests_total{result="${result}"}`
const refreshed = (outcome: string) => `token_broker_cache_refreshes_total{outcome="${outcome}"}`
const recalled = (reason: string) => `token_broker_negative_cache_hits_total{reason="${reason}"}`
const exchanged = (outcome: string) => `token_broker_exchange_duration_seconds_count{outcome="${outcome}"}`

/** A refresh runs in the background; it is over once it is counted. */
const refreshes = (broker: TestBroker, count: number) =>
  until('the refresh', async () => {
    const { series } = await scrape(broker)
    const outcomes = [...series.values()].filter(({ name }) => name === 'token_broker_cache_refreshes_total')
    return outcomes.reduce((sum, { value }) => sum + value, 0) >= count
  })

/** What happened before, what happens, and every counter that moves by it. */
interface Row {
  readonly before?: (broker: TestBroker) => Promise<unknown>
  readonly happens: (broker: TestBroker) => Promise<unknown>
  readonly environment?: Readonly<Record<string, string>>
  readonly moves: Readonly<Record<string, number>>
}

/** Brings contoso's token to the moment where it is due. */
async function due(broker: TestBroker): Promise<void> {
  await ask(broker)
  clock.advance(2700)
}
/** The same, with a refresh that has failed. */
async function failing(broker: TestBroker): Promise<void> {
  await due(broker)
  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  await ask(broker)
  await refreshes(broker, 1)
}
const askAndRefresh = async (broker: TestBroker) => {
  await ask(broker)
  await refreshes(broker, 1)
}

const rows: Readonly<Record<string, Row>> = {
  'a cold request: miss': {
    happens: ask,
    moves: { [issued]: 1, [served('miss')]: 1, [exchanged('ok')]: 1 },
  },
  'a request for a cached token: hit': {
    before: ask,
    happens: ask,
    moves: { [issued]: 1, [served('hit')]: 1 },
  },
  'a request that finds a fetch in flight: collapsed': {
    before: async () => emulator.configure({ latency: { token: 150 } }),
    happens: async broker => {
      const first = ask(broker)
      await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests === 1)
      await Promise.all([first, ask(broker)])
    },
    moves: { [issued]: 2, [served('miss')]: 1, [served('collapsed')]: 1, [exchanged('ok')]: 1 },
  },
  'a request for a token whose refresh is due: due, and one refresh': {
    before: due,
    happens: askAndRefresh,
    moves: { [issued]: 1, [served('due')]: 1, [refreshed('replaced')]: 1, [exchanged('ok')]: 1 },
  },
  'a refresh that returns no token that lives longer: not_yet': {
    before: async broker => {
      await due(broker)
      emulator.configure({ expiresIn: 600 })
    },
    happens: askAndRefresh,
    moves: { [issued]: 1, [served('due')]: 1, [refreshed('not_yet')]: 1, [exchanged('ok')]: 1 },
  },
  'a refresh that fails: the reason': {
    before: async broker => {
      await due(broker)
      emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    },
    happens: askAndRefresh,
    moves: { [issued]: 1, [served('due')]: 1, [refreshed('federation')]: 1, [exchanged('federation')]: 1 },
  },
  'a refresh that hits the negative cache: no exchange, and no event': {
    before: async broker => {
      await due(broker)
      emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
      await ask(broker, { ...contoso, tenant: 'tailspin' })
    },
    happens: askAndRefresh,
    moves: { [issued]: 1, [served('due')]: 1, [refreshed('federation')]: 1 },
  },
  'a request after a failed refresh, before the next one: refresh-failed': {
    before: failing,
    happens: ask,
    moves: { [issued]: 1, [served('refresh-failed')]: 1 },
  },
  'a request for a token that has expired: expired': {
    before: async broker => {
      await ask(broker)
      clock.advance(3540)
    },
    happens: ask,
    moves: { [issued]: 1, [served('expired')]: 1, [exchanged('ok')]: 1 },
  },
  'a request with a min_expires_in above the remaining life: request': {
    before: async broker => {
      await ask(broker)
      clock.advance(2000)
    },
    happens: broker => ask(broker, { ...contoso, min_expires_in: 1800 }),
    moves: { [issued]: 1, [served('request')]: 1, [exchanged('ok')]: 1 },
  },
  'a request with a min_expires_in that no token has: no token, so no cache result': {
    before: async () => emulator.configure({ expiresIn: 600 }),
    happens: broker => ask(broker, { ...contoso, min_expires_in: 1800 }),
    moves: { 'token_broker_requests_total{endpoint="tokens",outcome="upstream_unavailable"}': 1, [exchanged('ok')]: 1 },
  },
  'a token for which another is evicted: an eviction': {
    // Fabrikam's is there.
    environment: { BROKER_CACHE_MAX_ENTRIES: '1' },
    happens: ask,
    moves: { [issued]: 1, [served('miss')]: 1, [exchanged('ok')]: 1, token_broker_cache_evictions_total: 1 },
  },
  'a token that is not a JWT: opaque': {
    before: async () => emulator.configure({ opaqueTokens: true }),
    happens: ask,
    moves: { [issued]: 1, [served('miss')]: 1, [exchanged('ok')]: 1, token_broker_opaque_tokens_total: 1 },
  },
  'a request that Entra refuses: no token, so no cache result': {
    happens: broker => ask(broker, { ...contoso, tenant: 'tailspin' }),
    moves: {
      'token_broker_requests_total{endpoint="tokens",outcome="consent_required"}': 1,
      [exchanged('consent')]: 1,
    },
  },
  'the same request again: the failure is served from the negative cache, without an exchange': {
    before: broker => ask(broker, { ...contoso, tenant: 'tailspin' }),
    happens: broker => ask(broker, { ...contoso, tenant: 'tailspin' }),
    moves: {
      'token_broker_requests_total{endpoint="tokens",outcome="consent_required"}': 1,
      [recalled('consent')]: 1,
    },
  },
  'a purge of two tokens': {
    before: ask,
    happens: async ({ url }) => {
      const authorization = `Bearer ${observer}`
      await send(`${url}/tokens?all=true`, { method: 'DELETE', headers: { authorization } })
    },
    moves: { 'token_broker_requests_total{endpoint="purge",outcome="ok"}': 1, token_broker_cache_purged_total: 2 },
  },
  'a purge that removes nothing': {
    happens: async ({ url }) => {
      const authorization = `Bearer ${observer}`
      await send(`${url}/tokens?tenant=tailspin`, { method: 'DELETE', headers: { authorization } })
    },
    moves: { 'token_broker_requests_total{endpoint="purge",outcome="ok"}': 1 },
  },
}

describe('these counters move by exactly one, and no others move', () => {
  for (const [what, row] of Object.entries(rows))
    test(what, async (t: TestContext) => {
      const broker = await startBroker(t, { policy: { rules }, environment: row.environment ?? {} })
      await row.before?.(broker)
      assert.deepEqual(await moves(broker, () => row.happens(broker)), row.moves)
    })
})

test('ten cold requests at once: one miss, nine collapsed, one exchange', async t => {
  const broker = await startBroker(t)
  emulator.configure({ latency: { token: 200 } })
  const all = () => Promise.all(Array.from({ length: 10 }, () => ask(broker)))
  assert.deepEqual(await moves(broker, all), {
    [issued]: 10,
    [served('miss')]: 1,
    [served('collapsed')]: 9,
    [exchanged('ok')]: 1,
  })
})
