import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { type Reply, graph, sampleCaller, startWorld, until } from '../../support/broker.ts'

const second = '3b000000-0000-4000-8000-00000000000b'
const northwind = 'ab000000-0000-4000-8000-0000000000cd'
const arm = 'https://management.azure.com/.default'

const world = await startWorld({
  applications: [{ clientId: sample.application }, { clientId: second }],
  tenants: [{ id: sample.contoso }, { id: sample.fabrikam }, { id: northwind }],
})
const { emulator, clock } = world

const startBroker = (t: TestContext, environment?: Record<string, string>) =>
  world.broker(t, {
    ...(environment && { environment }),
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
      ],
    },
  })

const claimsOf = ({ json }: Reply) => decodeJws(String(json['access_token']))?.payload ?? {}
const exchanges = () => emulator.counts().endpoints.token.total

test('a response has exactly the fields and headers of the contract', async t => {
  const broker = await startBroker(t)
  const { status, headers, json } = await broker.requestToken({ tenant: 'contoso', scope: graph })
  assert.equal(status, 200)
  const { access_token: token, ...rest } = json
  assert.deepEqual(rest, {
    token_type: 'Bearer',
    expires_in: 3599,
    expires_on: clock.now() / 1000 + 3599,
    // 75 % of the token's life, without jitter.
    refresh_in: 2699,
    tenant: sample.contoso,
    scope: graph,
    application: 'default',
  })
  assert.equal(decodeJws(String(token))?.payload['tid'], sample.contoso)
  assert.equal(headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers.pragma, 'no-cache')
  assert.equal(headers['cache-status'], 'token-broker; fwd=miss')
})

test('the second request is served from the cache, with the seconds that are left', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken()
  clock.advance(10)
  const later = await broker.requestToken()
  assert.equal(later.headers['cache-status'], 'token-broker; hit; ttl=3529')
  assert.deepEqual(later.json, { ...first.json, expires_in: 3589, refresh_in: 2689 })
  assert.equal(exchanges(), 1)
})

test('refresh_in is the time that Entra suggests', async t => {
  const broker = await startBroker(t)
  emulator.configure({ refreshIn: 1000 })
  assert.equal((await broker.requestToken()).json['refresh_in'], 1000)
})

test('a tenant is the same by its name and by its id in any case', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken({ tenant: 'northwind', scope: graph })
  for (const tenant of [northwind, northwind.toUpperCase()]) {
    const { status, json, headers } = await broker.requestToken({ tenant, scope: graph })
    assert.equal(status, 200)
    assert.equal(json['tenant'], northwind)
    assert.equal(json['access_token'], first.json['access_token'])
    assert.match(String(headers['cache-status']), /; hit; /)
  }
  assert.equal(exchanges(), 1)
})

test('the application may be named, and is "default" if it is not', async t => {
  const broker = await startBroker(t)
  const [silent, named] = [
    await broker.requestToken({ tenant: 'contoso', scope: graph }),
    await broker.requestToken({ tenant: 'contoso', scope: graph, application: 'default' }),
  ]
  assert.equal(named.json['access_token'], silent.json['access_token'])
})

const base = { tenant: 'contoso', scope: graph, application: 'default' }
const otherKeys = [
  { part: 'tenant', request: { ...base, tenant: 'fabrikam' }, claims: { tid: sample.fabrikam } },
  { part: 'scope', request: { ...base, scope: arm }, claims: { aud: 'https://management.azure.com' } },
  { part: 'application', request: { ...base, application: 'second' }, claims: { appid: second } },
]
for (const { part, request, claims } of otherKeys)
  test(`another ${part} never gets the token of the first`, async t => {
    const broker = await startBroker(t)
    const first = await broker.requestToken(base)
    const other = await broker.requestToken(request)
    assert.equal(other.headers['cache-status'], 'token-broker; fwd=miss')
    assert.notEqual(other.json['access_token'], first.json['access_token'])
    assert.partialDeepStrictEqual(claimsOf(other), claims)
    assert.equal(exchanges(), 2)
    const again = await broker.requestToken(base)
    assert.equal(again.json['access_token'], first.json['access_token'])
  })

test('ten concurrent cold requests cost one exchange, and Cache-Status of the other nine says collapsed', async t => {
  const broker = await startBroker(t)
  emulator.configure({ latency: { token: 100 } })
  const token = await emulator.mintCallerToken()
  const replies = await Promise.all(Array.from({ length: 10 }, () => broker.requestToken(base, { token })))
  const said = Object.groupBy(replies, ({ headers }) => String(headers['cache-status']))
  assert.equal(said['token-broker; fwd=miss']?.length, 1)
  assert.equal(said['token-broker; fwd=miss; collapsed']?.length, 9)
  assert.equal(new Set(replies.map(({ json }) => json['access_token'])).size, 1)
  assert.equal(exchanges(), 1)
})

test('a due token is served at once and replaced in the background', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken()
  clock.advance(2700)
  const due = await broker.requestToken()
  assert.equal(due.headers['cache-status'], 'token-broker; hit; ttl=839; detail=due')
  assert.equal(due.json['access_token'], first.json['access_token'])
  assert.equal(due.json['refresh_in'], 0)
  await until('the refresh', () => emulator.counts().endpoints.token.outcomes['issued'] === 2)
  await until('the new token', () => exchanges() === 2)
  let next = await broker.requestToken()
  while (String(next.headers['cache-status']).endsWith('due')) next = await broker.requestToken()
  assert.equal(next.headers['cache-status'], 'token-broker; hit; ttl=3539')
  assert.notEqual(next.json['access_token'], first.json['access_token'])
  assert.equal(exchanges(), 2)
})

test('a failed refresh does not affect a valid token', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken()
  clock.advance(2700)
  emulator.fault({ kind: 'server-error', at: 'token' })
  await broker.requestToken()
  await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
  const { status, headers, json } = await broker.requestToken()
  assert.equal(status, 200)
  assert.equal(headers['cache-status'], 'token-broker; hit; ttl=839; detail=refresh-failed')
  assert.equal(json['access_token'], first.json['access_token'])
})

test('an expired token is not served but replaced first', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken()
  // 59 s are left: less than BROKER_MIN_REMAINING_SECONDS.
  clock.advance(3540)
  const { headers, json } = await broker.requestToken()
  assert.equal(headers['cache-status'], 'token-broker; fwd=stale')
  assert.notEqual(json['access_token'], first.json['access_token'])
  assert.equal(json['expires_in'], 3599)
})

test('BROKER_MIN_REMAINING_SECONDS moves the moment at which a token is expired', async t => {
  const broker = await startBroker(t, { BROKER_MIN_REMAINING_SECONDS: '300' })
  await broker.requestToken()
  assert.equal((await broker.requestToken()).headers['cache-status'], 'token-broker; hit; ttl=3299')
})

test('a request for more life than is left gets a new token', async t => {
  const broker = await startBroker(t)
  const first = await broker.requestToken()
  clock.advance(2000)
  const { headers, json } = await broker.requestToken({ ...base, min_expires_in: 1800 })
  assert.equal(headers['cache-status'], 'token-broker; fwd=request')
  assert.notEqual(json['access_token'], first.json['access_token'])
})

test('a request for more life than a new token has is refused with that life, and costs one exchange a minute', async t => {
  const broker = await startBroker(t)
  emulator.configure({ expiresIn: 600 })
  await broker.requestToken()
  for (let i = 0; i < 3; i++) {
    const { status, headers, json } = await broker.requestToken({ ...base, min_expires_in: 1200 })
    assert.equal(status, 503)
    assert.equal(json['code'], 'upstream_unavailable')
    assert.equal(json['available_expires_in'], 600)
    assert.equal(headers['retry-after'], String(json['retry_after']))
  }
  assert.equal(exchanges(), 2)
  assert.equal((await broker.requestToken()).status, 200)
})

test('an opaque token is served unchanged', async t => {
  const broker = await startBroker(t)
  emulator.configure({ opaqueTokens: true })
  const { status, json } = await broker.requestToken()
  assert.equal(status, 200)
  assert.equal(json['expires_in'], 3599)
})

test('the policy decides every request anew: a cached token is no permission', async t => {
  const broker = await startBroker(t)
  assert.equal((await broker.requestToken()).status, 200)
  const stranger = await emulator.mintCallerToken({ sub: 'someone-else' })
  const { status, json } = await broker.requestToken(base, { token: stranger })
  assert.equal(status, 403)
  assert.equal(json['code'], 'not_permitted')
  assert.ok(!('access_token' in json))
})
