import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { type Reply, graph, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { type Fields, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const second = '3b000000-0000-4000-8000-00000000000b'
const unknown = '3b000000-0000-4000-8000-0000000000ff'
const world = await startWorld({ applications: [{ clientId: sample.application }, { clientId: second }] })
const { emulator, clock } = world
const sampleApi = 'api://sample-api/.default'
const arm = 'https://management.azure.com/.default'
const policy = {
  applications: { default: sample.application, second },
  rules: [
    { name: 'one', callers: [sampleCaller], tenants: ['contoso', 'tailspin'], scopes: [graph] },
    { name: 'two', callers: [sampleCaller], tenants: ['contoso'], scopes: [sampleApi], applications: ['second'] },
  ],
}
const broker = await world.broker({ after }, { policy })
const { entra, token } = await tokenEndpointsOf(world, broker)

test('the response has the fields of Entra, with numbers where MSAL expects numbers', async () => {
  const { status, headers, json } = await entra()
  assert.equal(status, 200)
  const { access_token: issued, ...rest } = json
  assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, refresh_in: 2699 })
  assert.equal(decodeJws(String(issued))?.payload['tid'], sample.contoso)
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers['cache-status'], 'token-broker; fwd=miss')
})

test('a token that is due has no refresh_in, with which MSAL would send a request for every call', async t => {
  const here = await world.broker(t)
  const endpoints = await tokenEndpointsOf(world, here)
  await endpoints.entra()
  clock.advance(2700)
  const { headers, json } = await endpoints.entra({ client_assertion: await emulator.mintCallerToken() })
  assert.match(String(headers['cache-status']), /detail=due$/)
  assert.equal('refresh_in' in json, false)
})

const good: readonly (readonly [why: string, changes: Fields, tenant?: string])[] = [
  ['the tenant by its id', {}, sample.contoso],
  ['the scopes that MSAL for Go adds', { scope: `${graph} openid offline_access profile` }],
  ['the scopes that MSAL for Java adds, before its own', { scope: `openid profile offline_access ${graph}` }],
  ['client_id in upper case', { client_id: second.toUpperCase(), scope: sampleApi }],
  ['fields of the SDK', { 'x-client-SKU': 'msal.js.node', 'x-client-VER': '1', 'client-request-id': unknown }],
]
for (const [why, changes, tenant] of good)
  test(`a token for ${why}`, async () => {
    const reply = await entra(changes, tenant)
    assert.equal(reply.status, 200, reply.text)
  })

const scopes: readonly (readonly [why: string, scope: string])[] = [
  ['two resources', `${graph} ${sampleApi}`],
  ['nothing but scopes that act for a user', 'openid profile'],
  ['a scope that acts for a user and that no SDK adds', `${graph} email`],
  ['a single permission in addition', `${graph} User.Read`],
  ['two blanks, which would be an empty scope', `${graph}  openid`],
  ['another case', `${graph} OpenID`],
]
for (const [why, scope] of scopes)
  test(`no token for a scope with ${why}`, async () => {
    const reply = await entra({ scope })
    assert.deepEqual([reply.status, reply.json['error']], [400, 'invalid_scope'])
  })

test('the query, in which MSAL sends its request id, is ignored', async () => {
  const reply = await send(`${broker.url}/contoso/oauth2/v2.0/token?client-request-id=${unknown}`, { method: 'POST' })
  assert.deepEqual([reply.status, reply.json['error']], [401, 'invalid_client'])
})

const cp1 = { access_token: { xms_cc: { values: ['cp1'] } } }
const hint = { essential: false }
const idToken = { signin_state: hint, login_hint: hint, tenant_region_sub_scope: hint }
const claims: readonly (readonly [why: string, value: unknown, status: number])[] = [
  ['the capability to handle challenges', cp1, 200],
  ['what the SDK adds to it by itself', { ...cp1, id_token: idToken }, 200],
  ['nothing', {}, 200],
  ['an empty list for the access token', { access_token: {} }, 200],
  ['a challenge', { access_token: { nbf: { essential: true, value: '1795384800' } } }, 400],
  ['a challenge with the capability', { access_token: { ...cp1.access_token, acrs: { value: 'c1' } } }, 400],
  ['another document', { userinfo: {} }, 400],
  ['an access token that is not an object', { access_token: null }, 400],
  ['a list', [cp1], 400],
  ['a text', 'cp1', 400],
  ['null', null, 400],
]
describe('claims never reach Entra and never bypass the cache', () => {
  for (const [why, value, status] of claims)
    test(`${status}: ${why}`, async () => {
      await entra()
      const before = emulator.counts().endpoints.token.total
      const reply = await entra({ claims: JSON.stringify(value) })
      assert.equal(reply.status, status, reply.text)
      assert.equal(emulator.counts().endpoints.token.total, before)
      if (status === 400) assert.match(String(reply.json['error_description']), /^Claims challenges are not supported/)
    })
  test('400: text that is not JSON, and JSON that would set a prototype', async () => {
    assert.equal((await entra({ claims: '{' })).status, 400)
    assert.equal((await entra({ claims: '{"__proto__":{"access_token":{}}}' })).status, 400)
  })
  test('no claims were sent to Entra', () => {
    assert.deepEqual(
      emulator.requests().filter(({ form }) => 'claims' in form),
      [],
    )
  })
})

const refusedAlike: readonly (readonly [why: string, changes: Fields, tenant?: string])[] = [
  ['a tenant that is not granted', {}, 'fabrikam'],
  ['a tenant name that is unknown', {}, 'unknown'],
  ['a tenant id that is unknown', {}, unknown],
  ['an application that is not granted', { client_id: second }],
  ['an application that is unknown', { client_id: unknown }],
  ['a scope that is not granted', { scope: arm }],
]
/** A response without the parts that differ from request to request, and without what the caller sent. */
const comparable = ({ status, headers, text, json: { trace_id: id, timestamp } }: Reply) => ({
  status,
  headers: { ...headers, date: undefined, 'content-length': undefined },
  text: text
    .replaceAll(String(id), 'ID')
    .replace(String(timestamp), 'TIME')
    .replace(/tenant '[^']+', scope '[^']+', application '[^']+'/, 'REQUESTED'),
})
for (const [why, changes, tenant] of refusedAlike)
  test(`refused without a reason and without an AADSTS code: ${why}`, async () => {
    const [reply, known] = [await entra(changes, tenant), await entra({}, 'fabrikam')]
    assert.deepEqual([reply.status, reply.json['error']], [400, 'unauthorized_client'])
    assert.deepEqual(comparable(reply), comparable(known))
    assert.ok(!reply.text.includes('AADSTS') && !('error_codes' in reply.json))
    assert.equal(reply.headers['retry-after'], undefined)
  })

type Fault = Parameters<typeof emulator.fault>[0]
const upstream: readonly (readonly [
  why: string,
  fault: Fault,
  status: number,
  error: string,
  codes: readonly number[] | undefined,
  wait: string | undefined,
])[] = [
  [
    'the tenant has not consented',
    { kind: 'aadsts', at: 'token', code: 7000229 },
    401,
    'invalid_client',
    [7000229],
    undefined,
  ],
  [
    'the tenant does not know the application',
    { kind: 'aadsts', at: 'token', code: 700016 },
    400,
    'unauthorized_client',
    [700016],
    undefined,
  ],
  [
    'Entra does not know the resource',
    { kind: 'aadsts', at: 'token', code: 500011 },
    400,
    'invalid_resource',
    [500011],
    undefined,
  ],
  [
    'Entra does not know the tenant',
    { kind: 'aadsts', at: 'token', code: 90002 },
    400,
    'invalid_request',
    [90002],
    undefined,
  ],
  [
    "the broker's federated credential is wrong",
    { kind: 'aadsts', at: 'token', code: 700213 },
    400,
    'invalid_request',
    [700213],
    undefined,
  ],
  [
    "Entra returns another tenant's token",
    { kind: 'wrong-tenant', at: 'token' },
    400,
    'invalid_request',
    undefined,
    undefined,
  ],
  [
    'Entra throttles for a long time',
    { kind: 'throttled', at: 'token', retryAfter: 120 },
    503,
    'temporarily_unavailable',
    undefined,
    '2',
  ],
  [
    'Entra throttles',
    { kind: 'throttled', at: 'token', retryAfter: 5 },
    503,
    'temporarily_unavailable',
    undefined,
    '2',
  ],
  ['Entra is down', { kind: 'server-error', at: 'token' }, 503, 'temporarily_unavailable', undefined, '1'],
  ['Entra resets the connection', { kind: 'reset', at: 'token' }, 503, 'temporarily_unavailable', undefined, '1'],
  [
    'the identity endpoint is down',
    { kind: 'server-error', at: 'identity' },
    503,
    'temporarily_unavailable',
    undefined,
    '1',
  ],
]
describe("Entra's own errors are returned as Entra returns them; all others have the same form", () => {
  for (const [why, fault, status, error, codes, wait] of upstream)
    test(`${status} ${error}: ${why}`, async t => {
      const here = await world.broker(t)
      const endpoints = await tokenEndpointsOf(world, here)
      emulator.fault(fault)
      const { json, headers, ...reply } = await endpoints.entra()
      assert.deepEqual([reply.status, json['error']], [status, error], reply.text)
      if (codes !== undefined) {
        assert.deepEqual(json['error_codes'], codes)
        assert.match(String(json['error_description']), new RegExp(`^AADSTS${codes[0]}: `))
        assert.match(String(json['trace_id']), /^[\da-f-]{36}$/)
      }
      assert.equal(headers['retry-after'], wait)
    })
})

test("a GET of the token endpoint is 405 in Entra's protocol", async () => {
  const { status, headers, json } = await send(`${broker.url}/contoso/oauth2/v2.0/token`)
  assert.deepEqual([status, headers.allow, json['error']], [405, 'POST', 'invalid_request'])
})

test('its requests have their own endpoint name in the audit log', async () => {
  await entra()
  assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], 'entra_token')
  assert.ok(!broker.logText().includes(token))
})
