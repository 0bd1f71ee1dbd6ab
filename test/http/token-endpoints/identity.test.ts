import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { type Reply, graph, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { type Fields, tokenEndpointsOf } from '../../support/token-endpoints.ts'
import { sendRaw } from '../server/raw.ts'

const second = '3b000000-0000-4000-8000-00000000000b'
const unknown = '3b000000-0000-4000-8000-0000000000ff'
const graphId = '00000003-0000-0000-c000-000000000000'
const world = await startWorld({ applications: [{ clientId: sample.application }, { clientId: second }] })
const { emulator, clock } = world
const rule = { callers: [sampleCaller], tenants: ['contoso', 'tailspin'] }
const policy = {
  applications: { default: sample.application, second, third: unknown.replace('ff', 'ee') },
  rules: [
    { ...rule, name: 'graph', scopes: [graph, `${graphId}/.default`], applications: ['default', 'second'] },
    { ...rule, name: 'others', scopes: ['api://sample-api/.default', 'https://management.azure.com//.default'] },
  ],
}
const broker = await world.broker({ after }, { policy })
const { identity, token } = await tokenEndpointsOf(world, broker)

test('the response is one that all Azure SDKs read: expires_on and then expires_in, as strings of seconds', async () => {
  const { status, headers, json } = await identity()
  assert.equal(status, 200)
  const { access_token: issued, ...rest } = json
  // MSAL.NET takes the last of the two, and an expiry in seconds from now is right whatever its clock says.
  assert.deepEqual(Object.entries(rest), [
    ['expires_on', String(clock.now() / 1000 + 3599)],
    ['expires_in', '3599'],
    ['resource', 'https://graph.microsoft.com'],
    ['token_type', 'Bearer'],
    ['client_id', sample.application],
  ])
  assert.equal(decodeJws(String(issued))?.payload['tid'], sample.contoso)
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers['cache-status'], 'token-broker; fwd=miss')
  assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], 'identity')
})

const good: readonly (readonly [why: string, changes: Fields, tenant?: string])[] = [
  ['a resource that is already a scope', { resource: graph }],
  ["a resource by its application's id", { resource: graphId }],
  ['a resource that begins with api://', { resource: 'api://sample-api' }],
  ['a resource that ends with a slash', { resource: 'https://management.azure.com/' }],
  ['the tenant by its id', {}, sample.contoso],
  ['an application by its client id in upper case', { client_id: second.toUpperCase() }],
  [
    'ids that only a real managed identity has',
    { object_id: unknown, principal_id: unknown, mi_res_id: '/subscriptions/x' },
  ],
  ['unknown parameters, also given twice', { xms_cc: 'cp1', token_sha256_to_refresh: 'abc', foo: ['a', 'b'] }],
  ['no version, or any version', { 'api-version': undefined }],
]
for (const [why, changes, tenant] of good)
  test(`a token for ${why}`, async () => {
    const reply = await identity(changes, tenant)
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.json['resource'], changes['resource'] ?? 'https://graph.microsoft.com')
  })

const withToken = { 'x-identity-header': token }
type Row = readonly [why: string, reply: () => Promise<Reply>, status: number, code: string]
const refused: readonly Row[] = [
  ['no credential', () => identity({}, 'contoso', {}), 401, 'unauthenticated'],
  ['no credential and no resource', () => identity({ resource: undefined }, 'contoso', {}), 401, 'unauthenticated'],
  ['a bad credential', () => identity({}, 'contoso', { 'x-identity-header': 'nonsense' }), 401, 'invalid_token'],
  [
    'a credential in another header',
    () => identity({}, 'contoso', { authorization: `Bearer ${token}` }),
    401,
    'unauthenticated',
  ],
  [
    'two credentials',
    () => identity({}, 'contoso', { ...withToken, authorization: `Bearer ${token}` }),
    400,
    'invalid_request',
  ],
  ['no resource', () => identity({ resource: undefined }), 400, 'invalid_request'],
  ['an empty resource', () => identity({ resource: '' }), 400, 'invalid_request'],
  ['two resources', () => identity({ resource: [graph, graph] }), 400, 'invalid_request'],
  ['two client ids', () => identity({ client_id: [second, second] }), 400, 'invalid_request'],
  ['a client id that is not a GUID', () => identity({ client_id: 'default' }), 400, 'invalid_request'],
  ['an empty client id', () => identity({ client_id: '' }), 400, 'invalid_request'],
  ['a client id of no application', () => identity({ client_id: unknown }), 403, 'not_permitted'],
  ['the same at a tenant that is unknown', () => identity({ client_id: unknown }, 'unknown'), 403, 'not_permitted'],
  [
    'an application that is not granted',
    () => identity({ client_id: unknown.replace('ff', 'ee') }),
    403,
    'not_permitted',
  ],
  [
    'a resource that is not granted',
    () => identity({ resource: 'https://management.azure.com' }),
    403,
    'not_permitted',
  ],
  ['a resource in another case', () => identity({ resource: 'https://GRAPH.microsoft.com' }), 403, 'not_permitted'],
  ['a tenant that is not granted', () => identity({}, 'fabrikam'), 403, 'not_permitted'],
  ['a tenant that is unknown', () => identity({}, 'unknown'), 403, 'not_permitted'],
  ['a tenant that has not consented', () => identity({}, 'tailspin'), 403, 'consent_required'],
  ['common', () => identity({}, 'common'), 400, 'invalid_tenant'],
  ['a resource with a blank', () => identity({ resource: 'https://graph microsoft' }), 400, 'invalid_scope'],
  ['another method', () => send(`${broker.url}/identity/contoso/token`, { method: 'POST' }), 400, 'method_not_allowed'],
  ['an unknown path below it', () => send(`${broker.url}/identity/contoso/token/x`), 400, 'not_found'],
  ['an endpoint without its tenant', () => send(`${broker.url}/identity/token`), 400, 'not_found'],
  ['a tenant that is too long', () => identity({}, 'a'.repeat(2000)), 400, 'invalid_tenant'],
]
describe('no error makes an Azure SDK wait: never 404, 405 or 410', () => {
  for (const [why, request, status, code] of refused)
    test(`${status} ${code}: ${why}`, async () => {
      const reply = await request()
      const { json, headers } = reply
      assert.deepEqual([reply.status, json['error']], [status, code], reply.text)
      assert.equal(json['statusCode'], status)
      assert.equal(json['message'], json['error_description'])
      assert.match(String(json['message']), /\w{5}.* \(request_id \S+\)$/)
      assert.ok(String(json['message']).includes(String(json['correlationId'])))
      assert.equal(headers['retry-after'], undefined)
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['www-authenticate'] !== undefined, status === 401)
    })
})

test('two credentials in one header are one invalid credential', async () => {
  const header = `X-IDENTITY-HEADER: ${token}\r\n`
  const path = '/identity/contoso/token?resource=https://graph.microsoft.com'
  const request = (headers: string) =>
    sendRaw(broker.url, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`)
  assert.equal((await request(header)).status, 200)
  assert.equal((await request(header + header)).status, 401)
})

type Fault = Parameters<typeof emulator.fault>[0]
const faults: readonly (readonly [why: string, fault: Fault, status: number, wait: string | undefined])[] = [
  ['Entra throttles for a long time', { kind: 'throttled', at: 'token', retryAfter: 120 }, 503, '2'],
  ['Entra is down', { kind: 'server-error', at: 'token' }, 503, '1'],
  ['the identity endpoint is down', { kind: 'reset', at: 'identity' }, 503, '1'],
  ['the federated credential is wrong', { kind: 'aadsts', at: 'token', code: 700213 }, 400, undefined],
  ["Entra returns another tenant's token", { kind: 'wrong-tenant', at: 'token' }, 400, undefined],
  ['Entra does not know the resource', { kind: 'aadsts', at: 'token', code: 500011 }, 400, undefined],
  [
    'Entra does not accept the scope',
    { kind: 'aadsts', at: 'token', code: 70011, error: 'invalid_scope' },
    400,
    undefined,
  ],
]
describe('when an upstream fails, only errors that can pass have a status that SDKs retry', () => {
  for (const [why, fault, status, wait] of faults)
    test(`${status}: ${why}`, async t => {
      const endpoints = await tokenEndpointsOf(world, await world.broker(t))
      emulator.fault(fault)
      const reply = await endpoints.identity()
      assert.deepEqual([reply.status, reply.headers['retry-after']], [status, wait], reply.text)
    })
})
