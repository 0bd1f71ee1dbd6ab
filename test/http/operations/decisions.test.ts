import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, observers, sampleCaller, send, startWorld, type TestBroker } from '../../support/broker.ts'

const arm = 'https://management.azure.com/.default'
const world = await startWorld()
const { emulator, clock } = world

async function decisionsOf(broker: TestBroker, query = '') {
  const { status, json, text } = await broker.get(`/decisions${query}`)
  assert.equal(status, 200, text)
  assert.deepEqual(Object.keys(json), ['decisions', 'next_cursor'])
  return { decisions: json['decisions'] as readonly Json[], next: json['next_cursor'] as string | null }
}

test('a denial has the facts of its audit line', async t => {
  const broker = await world.broker(t)
  const { json } = await broker.requestToken({ tenant: 'contoso', scope: arm })
  const { decisions, next } = await decisionsOf(broker)
  const [line] = broker.events('token.denied')
  assert.equal(next, null)
  assert.deepEqual(decisions, [
    {
      time: new Date(clock.now()).toISOString(),
      outcome: 'denied',
      code: 'not_permitted',
      reason: line?.['reason'],
      caller: line?.['caller'],
      rule: null,
      permission: null,
      tenant: sample.contoso,
      tenant_name: 'contoso',
      scope: arm,
      application: 'default',
      agent: null,
      endpoint: 'tokens',
      address: line?.['address'],
      request_id: json['request_id'],
      trace_id: null,
      policy: line?.['policy'],
      codes: [],
      limit: null,
      remedy: null,
    },
  ])
})

test('a failure has its rule, the codes of Entra and the remedy', async t => {
  const broker = await world.broker(t)
  emulator.fault({ kind: 'aadsts', at: 'token', code: 7000229 })
  await broker.requestToken()
  const [failure] = (await decisionsOf(broker)).decisions
  assert.partialDeepStrictEqual(failure, {
    outcome: 'failed',
    code: 'consent_required',
    reason: 'consent',
    rule: 'sample',
    tenant: sample.contoso,
    tenant_name: 'contoso',
    codes: [7000229],
  })
  assert.match(String(failure?.['remedy']), /adminconsent/)
})

test('a request above a limit has the limit: that of its rule, or of the tenant', async t => {
  const rule = { name: 'sample', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph, arm] }
  const rows = [
    [{ rules: [{ ...rule, requestLimit: '1/m' }, observers] }, 'requests', { count: 1, seconds: 60 }],
    [{ rules: [{ ...rule, exchangeLimit: '1/h' }, observers] }, 'exchanges', { count: 1, seconds: 3600 }],
    [{ rules: [rule, observers], tenantLimit: '1/h' }, 'tenant', { count: 1, seconds: 3600 }],
  ] as const
  for (const [policy, reason, limit] of rows) {
    const broker = await world.broker(t, { policy })
    await broker.requestToken({ tenant: 'contoso', scope: graph })
    await broker.requestToken({ tenant: 'contoso', scope: arm })
    const [decision] = (await decisionsOf(broker)).decisions
    assert.partialDeepStrictEqual(decision, { code: 'rate_limited', reason, limit })
  }
})

test('a denied operation has its permission, and no tenant', async t => {
  const broker = await world.broker(t)
  await broker.get('/health', { token: await emulator.mintCallerToken({ sub: 'stranger' }) })
  const [decision] = (await decisionsOf(broker)).decisions
  assert.partialDeepStrictEqual(decision, {
    outcome: 'denied',
    permission: 'observe',
    endpoint: 'health',
    tenant: null,
    tenant_name: null,
    scope: null,
  })
})

test('issued tokens, malformed requests and unknown credentials are not listed: anyone could fill the list', async t => {
  const broker = await world.broker(t)
  assert.equal((await broker.requestToken()).status, 200)
  assert.equal((await broker.requestToken('{}')).status, 400)
  assert.equal((await broker.requestToken(undefined, { token: 'nonsense' })).status, 401)
  assert.equal((await send(`${broker.url}/health`)).status, 401)
  assert.deepEqual((await decisionsOf(broker)).decisions, [])
})

describe('filters', () => {
  const requests = [
    { tenant: 'contoso', scope: arm },
    { tenant: sample.contoso.toUpperCase(), scope: arm },
    { tenant: 'unknown', scope: arm },
    { tenant: 'fabrikam', scope: graph },
  ]
  const filled = async (t: TestContext) => {
    const broker = await world.broker(t)
    emulator.fault({ kind: 'aadsts', at: 'token', code: 7000229 })
    for (const request of requests) await broker.requestToken(request)
    await broker.get('/health', { token: await emulator.mintCallerToken({ sub: 'stranger' }) })
    return broker
  }
  const rows: readonly (readonly [query: string, shown: readonly unknown[], why: string])[] = [
    ['', [null, 'fabrikam', null, 'contoso', 'contoso'], 'the newest first'],
    ['?outcome=denied', [null, null, 'contoso', 'contoso'], 'what the policy does not permit'],
    ['?outcome=failed', ['fabrikam'], 'what was permitted and failed'],
    ['?tenant=contoso', ['contoso', 'contoso'], 'a name, however the requests wrote the tenant'],
    [`?tenant=${sample.contoso}`, ['contoso', 'contoso'], 'an id'],
    ['?tenant=fabrikam&outcome=denied', [], 'both must match'],
    ['?tenant=unknown', [null], 'a name that only the request used'],
    ['?tenant=tailspin', [], 'a tenant without decisions'],
  ]
  for (const [query, shown, why] of rows)
    test(`"${query}": ${why}`, async t => {
      const { decisions, next } = await decisionsOf(await filled(t), query)
      assert.deepEqual(
        decisions.map(decision => decision['tenant_name']),
        shown,
      )
      assert.equal(next, null)
    })

  for (const limit of [1, 2, 4, 5, 1000])
    test(`pages of ${limit}: every decision exactly once, also if there are new ones`, async t => {
      const broker = await filled(t)
      const listed: unknown[] = []
      for (let query: string | undefined = `?limit=${limit}`; query !== undefined;) {
        const { decisions, next } = await decisionsOf(broker, query)
        assert.ok(decisions.length <= limit)
        listed.push(...decisions.map(decision => decision['tenant_name']))
        query = next === null ? undefined : `?limit=${limit}&cursor=${next}`
        await broker.requestToken({ tenant: 'tailspin', scope: arm })
      }
      assert.deepEqual(listed, [null, 'fabrikam', null, 'contoso', 'contoso'])
    })
})
