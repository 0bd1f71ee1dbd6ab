import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, observers, sampleCaller, startWorld } from '../support/broker.ts'

const { emulator, clock, broker: startBroker } = await startWorld()
const vault = 'https://vault.azure.net/.default'
const rules = [
  { name: 'all', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes: [graph, vault] },
  observers,
]

test('a tenant that has reached tenantLimit: a cached token is served all the same, another is 429, and it is reported', async t => {
  const broker = await startBroker(t, { policy: { tenantLimit: '1/h', rules } })
  const contoso = (scope: string) => broker.requestToken({ tenant: 'contoso', scope })
  assert.equal((await contoso(graph)).status, 200)
  const refused = await contoso(vault)
  assert.equal(refused.status, 429)
  assert.equal(refused.headers['retry-after'], '3600')
  assert.equal(refused.headers['ratelimit-policy'], '"tenant";q=1;w=3600')
  assert.partialDeepStrictEqual(refused.json, { code: 'rate_limited', retry_after: 3600 })
  assert.match(String(refused.json['remedy']), /tenantLimit/)
  assert.equal((await contoso(graph)).status, 200, 'a cached token')
  assert.equal((await broker.requestToken({ tenant: 'fabrikam', scope: graph })).status, 200, 'another tenant')

  const { json } = await broker.get('/cache/failures?tenant=contoso')
  const now = clock.now()
  assert.deepEqual(json, {
    failures: [
      {
        application: 'default',
        client_id: sample.application,
        tenant: sample.contoso,
        tenant_name: 'contoso',
        scope: null,
        level: 'tenant',
        code: 'rate_limited',
        reason: 'tenant',
        codes: [],
        presented: null,
        agent: null,
        agent_id: null,
        remedy: refused.json['remedy'],
        since: new Date(now).toISOString(),
        until: new Date(now + 3_600_000).toISOString(),
        count: 1,
      },
    ],
    next_cursor: null,
  })
  assert.partialDeepStrictEqual(broker.events('token.failed'), [{ outcome: 'rate_limited', reason: 'tenant' }])
  const metrics = (await broker.get('/metrics')).text
  assert.match(metrics, /^token_broker_limited_requests_total\{limit="tenant"\} 1$/m)
  const { counters } = (await broker.get('/cache')).json as {
    readonly counters: Readonly<Record<string, readonly Json[]>>
  }
  assert.deepEqual(counters['limited_requests'], [
    { limit: 'requests', count: 0 },
    { limit: 'exchanges', count: 0 },
    { limit: 'tenant', count: 1 },
  ])
  assert.equal(emulator.counts().endpoints.token.total, 2)
})
