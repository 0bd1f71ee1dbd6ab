import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, type Reply, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { encode, errorIn, type Fields, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** What differs from the v2.0 endpoint; client-credentials.test.ts and all-endpoints.test.ts have the rest. */

const second = '3b000000-0000-4000-8000-00000000000b'
const world = await startWorld({ applications: [{ clientId: sample.application }, { clientId: second }] })
const { clock, emulator } = world
const graphId = '00000003-0000-0000-c000-000000000000'
const rule = { callers: [sampleCaller], tenants: ['contoso', 'identity', 'oauth2'] }
const policy = {
  applications: { default: sample.application, second },
  tenants: { contoso: sample.contoso, identity: sample.contoso, oauth2: sample.contoso, fabrikam: sample.fabrikam },
  rules: [
    { ...rule, name: 'graph', scopes: [graph, `${graphId}/.default`] },
    { ...rule, name: 'arm', scopes: ['https://management.azure.com//.default'], applications: ['second'] },
  ],
}
const broker = await world.broker({ after }, { policy })
const { entraV1, entra, token } = await tokenEndpointsOf(world, broker)
const claimsOf = ({ json }: Reply) => decodeJws(String(json['access_token']))?.payload ?? {}

test('the response has the fields of Entra v1, all of them texts', async () => {
  const reply = await entraV1()
  assert.equal(reply.status, 200, reply.text)
  const { access_token: _, ...rest } = reply.json
  const now = clock.now() / 1000
  assert.deepEqual(rest, {
    token_type: 'Bearer',
    expires_in: '3599',
    ext_expires_in: '3599',
    expires_on: String(now + 3599),
    not_before: String(now),
    resource: 'https://graph.microsoft.com',
  })
  assert.equal(claimsOf(reply)['tid'], sample.contoso)
  assert.equal(reply.headers['cache-control'], 'no-store')
})

test('not_before is the moment of the response, at which the token is valid', async t => {
  const here = await world.broker(t, { policy })
  const first = await (await tokenEndpointsOf(world, here)).entraV1()
  clock.advance(600)
  const { json } = await (await tokenEndpointsOf(world, here)).entraV1()
  assert.equal(json['access_token'], first.json['access_token'])
  assert.deepEqual([json['expires_in'], json['not_before']], ['2999', String(clock.now() / 1000)])
  const { nbf } = decodeJws(String(json['access_token']))?.payload ?? {}
  assert.ok(Number(nbf) <= Number(first.json['not_before']), String(nbf))
})

const good: readonly (readonly [why: string, changes: Fields, tenant?: string])[] = [
  ['the tenant by its id', {}, sample.contoso],
  ["a resource by its application's id", { resource: graphId }],
  ['a slash at the end, which is part of the scope', { resource: 'https://management.azure.com/', client_id: second }],
  ['a scope, as ADAL sends it, which is ignored', { scope: 'openid' }],
  ['unknown parameters', { 'x-client-SKU': 'PCL.Desktop', 'client-request-id': second }],
]
for (const [why, changes, tenant] of good)
  test(`a token for ${why}`, async () => {
    const reply = await entraV1(changes, tenant)
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.json['resource'], changes['resource'] ?? 'https://graph.microsoft.com')
  })

const refused: readonly (readonly [why: string, changes: Fields, error: string])[] = [
  ['no resource', { resource: undefined }, '400 invalid_request'],
  ['an empty resource', { resource: '' }, '400 invalid_request'],
  ['a scope in place of a resource', { resource: undefined, scope: graph }, '400 invalid_request'],
  ['two resources', { resource: [graphId, graphId] }, '400 invalid_request'],
  ['a resource that is a scope: /.default is appended once more', { resource: graph }, '400 unauthorized_client'],
  ['a slash at the end that is not granted', { resource: 'https://graph.microsoft.com/' }, '400 unauthorized_client'],
  ['a resource with a blank', { resource: 'https://graph microsoft' }, '400 invalid_scope'],
  ['a resource of 481 characters', { resource: `https://${'a'.repeat(473)}` }, '400 invalid_scope'],
  ['no client_id', { client_id: undefined }, '400 invalid_request'],
  ['another grant', { grant_type: 'password' }, '400 unsupported_grant_type'],
  ['a claims challenge', { claims: '{"access_token":{"acrs":{"value":"c1"}}}' }, '400 invalid_request'],
]
describe('is refused as Entra refuses it', () => {
  for (const [why, changes, error] of refused)
    test(`${error}: ${why}`, async () => {
      const reply = await entraV1(changes)
      assert.equal(errorIn(reply), error, reply.text)
      assert.match(String(reply.json['trace_id']), /./)
    })
})

test('it shares the cache with the v2.0 endpoint', async () => {
  assert.equal((await entraV1()).json['access_token'], (await entra()).json['access_token'])
})

for (const [code, error] of [
  [500011, 'invalid_resource'],
  [70011, 'invalid_scope'],
] as const)
  test(`Entra's own error is returned: ${error}, also to a request with resource`, async t => {
    const here = await world.broker(t, { policy })
    emulator.fault({ kind: 'aadsts', at: 'token', code, error })
    t.after(() => emulator.clearFaults())
    const reply = await (await tokenEndpointsOf(world, here)).entraV1()
    assert.deepEqual([errorIn(reply), reply.json['error_codes']], [`400 ${error}`, [code]])
  })

test('a path that fits two endpoints belongs to the one with its method', async () => {
  assert.equal((await entraV1({}, 'identity')).status, 200)
  assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], 'entra_v1_token')
  const query = encode({ resource: 'https://graph.microsoft.com' })
  const reply = await send(`${broker.url}/identity/oauth2/token?${query}`, { headers: { 'x-identity-header': token } })
  assert.equal(reply.status, 200, reply.text)
  assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], 'identity')
})
