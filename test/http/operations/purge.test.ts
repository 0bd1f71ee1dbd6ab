import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { type BrokerOptions, graph, sampleCaller, send, startWorld, type TestBroker } from '../../support/broker.ts'

const second = '3b000000-0000-4000-8000-00000000000b'
const northwind = 'ab000000-0000-4000-8000-0000000000cd'
const arm = 'https://management.azure.com/.default'
const { emulator, broker: startBroker } = await startWorld({
  applications: [{ clientId: sample.application }, { clientId: second }],
  tenants: [{ id: sample.contoso }, { id: sample.fabrikam }, { id: northwind }],
})

const start = (t: TestContext, environment: BrokerOptions['environment'] = {}) =>
  startBroker(t, {
    environment,
    policy: {
      applications: { default: sample.application, second },
      tenants: { contoso: sample.contoso, fabrikam: sample.fabrikam, northwind },
      rules: [
        {
          name: 'everything here',
          callers: [sampleCaller],
          tenants: ['contoso', 'fabrikam', 'northwind'],
          scopes: [graph, arm],
          applications: ['default', 'second'],
        },
        { name: 'operators', callers: [{ ...sampleCaller, subject: 'operator' }], permissions: ['purge'] },
        { name: 'dashboards', callers: [{ ...sampleCaller, subject: 'dashboard' }], permissions: ['observe'] },
      ],
    },
  })

/** `DELETE /tokens` by an operator, or by another caller. */
async function purge({ url }: TestBroker, query: string, sub = 'operator') {
  const authorization = `Bearer ${await emulator.mintCallerToken({ sub })}`
  return send(`${url}/tokens${query}`, { method: 'DELETE', headers: { authorization } })
}

const tokenRequest = { tenant: 'contoso', scope: graph, application: 'default' }
/** Four keys by a name, and the request that fills each. */
const keys = {
  contoso: tokenRequest,
  'contoso arm': { ...tokenRequest, scope: arm },
  northwind: { ...tokenRequest, tenant: 'northwind' },
  'contoso second': { ...tokenRequest, application: 'second' },
}
const cacheStatus = async (broker: TestBroker, body: typeof tokenRequest) =>
  String((await broker.requestToken(body)).headers['cache-status'])
const exchanges = () => emulator.counts().endpoints.token.total

describe('what matches is dropped, and the rest stays cached', () => {
  const northwindUpper = northwind.toUpperCase()
  const table: readonly [query: string, gone: readonly (keyof typeof keys)[], why: string][] = [
    ['?tenant=contoso', ['contoso', 'contoso arm', 'contoso second'], 'a tenant by its name'],
    [`?tenant=${northwind}`, ['northwind'], 'by its id'],
    [`?tenant=${northwindUpper}`, ['northwind'], 'in upper case'],
    [`?scope=${encodeURIComponent(arm)}`, ['contoso arm'], 'a scope'],
    ['?application=second', ['contoso second'], 'an application'],
    [`?tenant=contoso&scope=${graph}&application=default`, ['contoso'], 'all three parameters'],
    ['?tenant=fabrikam', [], 'a tenant without tokens'],
    ['?tenant=unknown', [], 'a name that the policy does not know'],
    ['?application=unknown', [], 'an application that the policy does not know'],
    [`?tenant=${sample.homeTenant}`, [], 'an id without a token'],
    ['?scope=https://GRAPH.microsoft.com/.default', [], 'a scope is compared byte for byte'],
    ['?all=true', ['contoso', 'contoso arm', 'northwind', 'contoso second'], 'everything'],
  ]
  for (const [query, gone, why] of table) {
    test(`${query}: ${why}`, async t => {
      const broker = await start(t)
      for (const body of Object.values(keys)) await broker.requestToken(body)
      const { status, headers, json } = await purge(broker, query)
      assert.equal(status, 200)
      assert.deepEqual(json, { dropped: gone.length, replicas: 'this' })
      assert.equal(headers['cache-control'], 'no-store')
      for (const [name, body] of Object.entries(keys)) {
        const dropped = gone.some(each => each === name)
        assert.match(await cacheStatus(broker, body), dropped ? /fwd=miss$/ : /; hit; /, name)
      }
      assert.equal(exchanges(), 4 + gone.length)
    })
  }

  test('a dropped token is replaced by a new one', async t => {
    const broker = await start(t)
    const before = await broker.requestToken(tokenRequest)
    await purge(broker, '?all=true')
    const after = await broker.requestToken(tokenRequest)
    assert.equal(after.status, 200)
    assert.notEqual(after.json['access_token'], before.json['access_token'])
    assert.match(await cacheStatus(broker, tokenRequest), /; hit; /)
  })

  test('a second purge finds nothing left', async t => {
    const broker = await start(t)
    await broker.requestToken(tokenRequest)
    assert.equal((await purge(broker, '?all=true')).json['dropped'], 1)
    assert.equal((await purge(broker, '?all=true')).json['dropped'], 0)
  })
})

describe('a malformed purge drops nothing', () => {
  const table: readonly [query: string, code: string, why: string][] = [
    ['', 'invalid_request', 'nothing is named'],
    ['?', 'invalid_request', 'nothing is named, with a question mark'],
    ['?all=true&tenant=contoso', 'invalid_request', 'everything, and a part of it'],
    [`?all=true&scope=${graph}`, 'invalid_request', 'everything, and a scope of it'],
    ['?all=false', 'invalid_request', 'all is "true" or absent'],
    ['?all=', 'invalid_request', 'all is empty'],
    ['?all=true&all=true', 'invalid_request', 'all twice'],
    ['?tennant=contoso', 'invalid_request', 'a misspelt parameter'],
    ['?tenant=contoso&force=1', 'invalid_request', 'an unknown parameter beside a good one'],
    ['?tenant=common', 'invalid_tenant', 'no tenant'],
    ['?tenant=', 'invalid_tenant', 'an empty one'],
    ['?tenant=contoso&tenant=northwind', 'invalid_tenant', 'two'],
    ['?scope=User.Read', 'invalid_scope', 'not a /.default'],
    ['?application=..%2F', 'invalid_request', 'not the name of an application'],
  ]
  for (const [query, code, why] of table) {
    test(`${query === '' ? 'no query' : query}: ${why}`, async t => {
      const broker = await start(t)
      await broker.requestToken(tokenRequest)
      const { status, json, headers } = await purge(broker, query)
      assert.deepEqual([status, json['code']], [400, code])
      assert.match(String(headers['content-type']), /^application\/problem\+json/)
      assert.match(await cacheStatus(broker, tokenRequest), /; hit; /)
      assert.deepEqual(broker.events('tokens.purged'), [])
    })
  }
})

describe('who may purge', () => {
  const table: readonly [sub: string, status: number][] = [
    ['operator', 200],
    ['dashboard', 403],
    ['sample-caller', 403],
    ['stranger', 403],
  ]
  for (const [sub, expected] of table) {
    test(`${sub}: ${expected}`, async t => {
      const broker = await start(t)
      await broker.requestToken(tokenRequest)
      const { status, json } = await purge(broker, '?all=true', sub)
      assert.equal(status, expected)
      assert.match(await cacheStatus(broker, tokenRequest), expected === 200 ? /fwd=miss/ : /; hit; /)
      if (expected !== 200) {
        assert.equal(json['code'], 'not_permitted')
        assert.partialDeepStrictEqual(broker.events('operation.denied'), [{ permission: 'purge', endpoint: 'purge' }])
      }
    })
  }

  test('without a credential: 401, whatever the query says', async t => {
    const broker = await start(t)
    for (const query of ['?all=true', '', '?nonsense=1']) {
      assert.equal((await send(`${broker.url}/tokens${query}`, { method: 'DELETE' })).status, 401)
    }
  })

  test('a malformed query does not reveal the permission: 403 comes before 400', async t => {
    const broker = await start(t)
    assert.equal((await purge(broker, '?nonsense=1', 'stranger')).status, 403)
  })
})

test('the audit trail says who dropped what', async t => {
  const broker = await start(t)
  await broker.requestToken(tokenRequest)
  await purge(broker, `?tenant=contoso&scope=${graph}&application=second`)
  await purge(broker, '?all=true')
  const [some, all] = broker.events('tokens.purged')
  assert.partialDeepStrictEqual(some, {
    level: 'warn',
    endpoint: 'purge',
    caller: { kind: 'jwt', issuer: 'emulator', subject: 'operator' },
    client_id: second,
    tenant: sample.contoso,
    scope: graph,
    dropped: 0,
  })
  assert.ok(typeof some?.['request_id'] === 'string' && typeof some['policy'] === 'string')
  assert.equal(all?.['dropped'], 1)
  assert.ok(!('tenant' in (all ?? {})))
})

describe('the purge also clears cached failures', () => {
  test('a tenant that has consented since is served at once', async t => {
    const broker = await start(t)
    emulator.setConsent(sample.contoso, sample.application, false)
    t.after(() => emulator.setConsent(sample.contoso, sample.application, true))
    assert.equal((await broker.requestToken(tokenRequest)).status, 403)
    emulator.setConsent(sample.contoso, sample.application, true)
    assert.equal((await broker.requestToken(tokenRequest)).status, 403, 'the failure is cached')
    assert.deepEqual((await purge(broker, '?tenant=contoso')).json, { dropped: 0, replicas: 'this' })
    assert.equal((await broker.requestToken(tokenRequest)).status, 200)
  })

  test('those of a whole application too, whichever of its tenants is named', async t => {
    const broker = await start(t)
    emulator.fault({ kind: 'aadsts', at: 'token', code: 700_213, times: 1 })
    assert.equal((await broker.requestToken(tokenRequest)).status, 502)
    assert.equal((await broker.requestToken(keys.northwind)).status, 502)
    await purge(broker, '?tenant=northwind')
    assert.equal((await broker.requestToken(keys.northwind)).status, 200)
  })

  test('but not those of another tenant', async t => {
    const broker = await start(t)
    emulator.fault({ kind: 'throttled', at: 'token', times: 1, retryAfter: 60 })
    assert.equal((await broker.requestToken(tokenRequest)).status, 503)
    await purge(broker, '?tenant=northwind')
    assert.equal((await broker.requestToken(tokenRequest)).status, 503)
    assert.equal(exchanges(), 1)
  })
})
