import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { fingerprint } from '../../../src/broker/lib/fingerprint.ts'
import { graph, observers, sampleCaller, startWorld, type TestBroker, until } from '../../support/broker.ts'

const arm = 'https://management.azure.com/.default'
const mixed = 'ab000000-0000-4000-8000-0000000000cd'
const many = Array.from({ length: 101 }, (_, n) => `40000000-0000-4000-8000-000000000${100 + n}`)
const numbered = many.slice(0, 12)
const tenantIds = [...many, sample.contoso, mixed]
const world = await startWorld({ tenants: tenantIds.map(id => ({ id })) })
const { emulator, clock } = world
const policy = {
  tenants: { contoso: sample.contoso, mixed: mixed.toUpperCase(), empty: sample.fabrikam },
  rules: [
    { name: 'all', callers: [sampleCaller], tenants: [...tenantIds, sample.fabrikam], scopes: [graph, arm] },
    observers,
  ],
}

async function entriesOf(broker: TestBroker, query = '') {
  const { status, json, text } = await broker.get(`/cache/entries${query}`)
  assert.equal(status, 200, text)
  assert.deepEqual(Object.keys(json), ['entries', 'next_cursor'])
  return { entries: json['entries'] as readonly Json[], next: json['next_cursor'] as string | null }
}

async function walk(
  broker: TestBroker,
  limit: number,
  between: (pages: number) => Promise<void> = async () => undefined,
) {
  const pages: (readonly Json[])[] = []
  let query = `?limit=${limit}`
  for (;;) {
    const { entries, next } = await entriesOf(broker, query)
    pages.push(entries)
    if (next === null) return pages
    await between(pages.length)
    query = `?limit=${limit}&cursor=${next}`
  }
}
const tenantsOf = (pages: readonly (readonly Json[])[]) => pages.flat().map(({ tenant }) => tenant)

describe('an entry', () => {
  test('shows everything about a token except the token', async t => {
    const broker = await world.broker(t, { policy })
    const { json } = await broker.requestToken()
    const { entries, next } = await entriesOf(broker)
    assert.equal(next, null)
    const [{ trace_id: traceId, correlation_id: correlationId, ...entry } = {}, ...more] = entries
    assert.deepEqual(more, [])
    assert.deepEqual(entry, {
      tenant: sample.contoso,
      tenant_name: 'contoso',
      scope: graph,
      application: 'default',
      client_id: sample.application,
      agent: null,
      agent_id: null,
      state: 'fresh',
      at_risk: false,
      expires_on: json['expires_on'],
      usable_seconds: 3539,
      refresh_in: 2700,
      failed_refreshes: 0,
      last_failure: null,
      // As in the audit log.
      token: fingerprint(String(json['access_token'])),
    })
    const [line] = broker.events('token.issued')
    assert.equal(entry['token'], line?.['token'])
    assert.deepEqual(line?.['upstream'], { trace_id: traceId, correlation_id: correlationId })
  })

  test('is fresh, then due, then failing, then expired, and never shown as servable when it is not', async t => {
    const broker = await world.broker(t, { policy })
    await broker.requestToken()
    const shown = async () => (await entriesOf(broker)).entries[0]
    // 75 % of 3599 s; in its last minute a token is not issued.
    clock.advance(2699)
    assert.partialDeepStrictEqual(await shown(), { state: 'fresh', usable_seconds: 840, refresh_in: 1 })
    clock.advance(1)
    assert.partialDeepStrictEqual(await shown(), { state: 'due', usable_seconds: 839, refresh_in: 0 })

    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    const failedAt = new Date(clock.now()).toISOString()
    await broker.requestToken()
    await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
    assert.partialDeepStrictEqual(await shown(), {
      state: 'due',
      usable_seconds: 839,
      failed_refreshes: 1,
      last_failure: { code: 'federation_misconfigured', reason: 'federation', at: failedAt },
    })
    clock.advance(838)
    assert.partialDeepStrictEqual(await shown(), { state: 'due', usable_seconds: 1, refresh_in: 0 })
    clock.advance(1)
    assert.partialDeepStrictEqual(await shown(), { state: 'expired', usable_seconds: 0, refresh_in: 0 })
    clock.advance(7200)
    assert.partialDeepStrictEqual(await shown(), { state: 'expired', usable_seconds: 0, refresh_in: 0 })

    emulator.clearFaults()
    assert.equal((await broker.requestToken()).status, 200)
    assert.partialDeepStrictEqual(await shown(), { state: 'fresh', failed_refreshes: 0, last_failure: null })
  })

  test('of an application with two names shows one of them, and its client id', async t => {
    const broker = await world.broker(t, {
      policy: { ...policy, applications: { default: sample.application, again: sample.application } },
    })
    await broker.requestToken()
    const { entries } = await entriesOf(broker)
    assert.equal(entries.length, 1)
    assert.equal(entries[0]?.['client_id'], sample.application)
    assert.ok(['default', 'again'].includes(String(entries[0]?.['application'])))
  })
})

describe('/cache', () => {
  test('counts', async t => {
    const broker = await world.broker(t, { policy, environment: { BROKER_CACHE_MAX_ENTRIES: '2' } })
    const nothing = {
      entries: 0,
      max_entries: 2,
      fetching: 0,
      exchanging: 0,
      waiting: 0,
      waiting_background: 0,
      failures: [],
      evictions: 0,
      at_risk: 0,
      at_risk_usable_seconds: null,
    }
    const statistics = async () => {
      const { time, replica, started_at, counters, ...rest } = (await broker.get('/cache')).json
      assert.deepEqual([time, started_at], [iso, iso])
      assert.equal(replica, (await broker.get('/health')).json['replica'])
      assert.ok(counters)
      return rest
    }
    const iso = new Date(clock.now()).toISOString()
    assert.deepEqual(await statistics(), nothing)
    for (const tenant of numbered.slice(0, 5)) await broker.requestToken({ tenant, scope: graph })
    assert.deepEqual(await statistics(), { ...nothing, entries: 2, evictions: 3 })
  })

  test('counts a running fetch', async t => {
    const broker = await world.broker(t, { policy })
    await broker.get('/cache')
    emulator.configure({ latency: { token: 200 } })
    const running = broker.requestToken()
    await until('the fetch', async () => (await broker.get('/cache')).json['fetching'] === 1)
    await running
    assert.equal((await broker.get('/cache')).json['fetching'], 0)
  })

  test('shows how many tokens are at risk, and how long the first of them is still usable', async t => {
    const broker = await world.broker(t, { policy })
    await broker.requestToken()
    clock.advance(2700)
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    await broker.requestToken()
    await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
    await broker.requestToken()
    clock.advance(0.4)
    assert.partialDeepStrictEqual((await broker.get('/cache')).json, { at_risk: 1, at_risk_usable_seconds: 838 })
    clock.advance(0.6)
  })
})

describe('pages', () => {
  const filled = async (t: TestContext, tenants = numbered) => {
    const broker = await world.broker(t, { policy })
    for (const tenant of tenants) assert.equal((await broker.requestToken({ tenant, scope: graph })).status, 200)
    return broker
  }

  for (const [limit, sizes] of [
    [1, Array.from({ length: 12 }, () => 1)],
    [5, [5, 5, 2]],
    [6, [6, 6]],
    [12, [12]],
    [1000, [12]],
  ] as const)
    test(`of ${limit}: every entry exactly once, in the order in which they were fetched`, async t => {
      const pages = await walk(await filled(t), limit)
      assert.deepEqual(
        pages.map(({ length }) => length),
        sizes,
      )
      assert.deepEqual(tenantsOf(pages), numbered)
    })

  test('a cache hit between two pages does not change the order', async t => {
    const broker = await filled(t)
    const requestToken = async () => void (await broker.requestToken({ tenant: numbered[0] ?? '', scope: graph }))
    assert.deepEqual(tenantsOf(await walk(broker, 5, requestToken)), numbered)
  })

  test('an entry that is refreshed between two pages appears again, with its new token, and no entry is missed', async t => {
    const here = await filled(t)
    clock.advance(2700)
    const [first = ''] = numbered
    const pages = await walk(here, 5, async page => {
      if (page > 1) return
      await here.requestToken({ tenant: first, scope: graph })
      await until('the refresh', async () => (await entriesOf(here)).entries.at(-1)?.['tenant'] === first)
    })
    assert.deepEqual(tenantsOf(pages), [...numbered, first])
    assert.deepEqual([pages.flat()[0]?.['state'], pages.flat().at(-1)?.['state']], ['due', 'fresh'])
  })

  test('have 100 entries by default', async t => {
    const here = await filled(t, many)
    const { entries, next } = await entriesOf(here)
    assert.deepEqual([entries.length, (await entriesOf(here, `?cursor=${next}`)).entries.length], [100, 1])
  })
})
