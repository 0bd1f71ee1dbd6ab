import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { requestIdentityToken, requestToken, claims, emulate, object, send } from './client.ts'

const none = /^No User Assigned or Delegated Managed Identity found for specified ClientId/
const rows = [
  ['an unknown client id', { client_id: sample.contoso }, undefined, 400, none],
  ['no identity named', { client_id: undefined }, undefined, 400, none],
  ['another API version', { 'api-version': '2017-09-01' }, undefined, 400, /api-version/],
  ['no resource', { resource: undefined }, undefined, 400, /resource/],
  ['a wrong header', {}, 'wrong', 401, /X-IDENTITY-HEADER/],
] as const
for (const [why, changes, header, status, message] of rows)
  test(`the identity endpoint refuses ${why}`, async t => {
    const emulator = await emulate(t)
    const reply = await requestIdentityToken(emulator, changes, header)
    assert.equal(reply.status, status)
    assert.match(String(object(reply.text)['message']), message)
  })

test('the response has the documented fields and a v2.0 token of the identity', async t => {
  const emulator = await emulate(t)
  const body = object((await requestIdentityToken(emulator)).text)
  assert.deepEqual(Object.keys(body), ['access_token', 'expires_on', 'resource', 'token_type', 'client_id'])
  assert.match(String(body['expires_on']), /^\d+$/)
  const { iss, sub, oid, aud, tid, azp, ver } = claims(body['access_token'])
  assert.equal(iss, `${emulator.entraUrl}/${sample.homeTenant}/v2.0`)
  assert.deepEqual([sub, oid], [sample.identity.objectId, sample.identity.objectId])
  assert.deepEqual([aud, tid, azp, ver], [sample.audience, sample.homeTenant, sample.identity.clientId, '2.0'])
  const byObject = await requestIdentityToken(emulator, { client_id: undefined, object_id: sample.identity.objectId })
  assert.equal(object(byObject.text)['access_token'], body['access_token'])
})

test('the same token is repeated until it expires or is renewed', async t => {
  let now = 1_800_000_000_000
  const emulator = await emulate(t, { now: () => now })
  const token = async (): Promise<unknown> => object((await requestIdentityToken(emulator)).text)['access_token']
  const first = await token()
  now += 86_399_000
  assert.equal(await token(), first)
  now += 1000
  const second = await token()
  assert.notEqual(second, first)
  emulator.renewIdentityToken()
  const third = await token()
  assert.notEqual(third, second)
  emulator.configure({ repeatIdentityToken: false })
  assert.notEqual(await token(), await token())
})

test('requests are recorded without secrets', async t => {
  const emulator = await emulate(t)
  await requestIdentityToken(emulator)
  await requestToken(emulator)
  const [identity, token] = emulator.requests()
  assert.equal(identity?.headers['x-identity-header'], '[secret]')
  assert.equal(identity?.query['resource'], sample.audience)
  assert.equal(token?.path, `/${sample.contoso}/oauth2/v2.0/token`)
  assert.deepEqual(Object.keys(token?.form ?? {}), ['grant_type', 'client_id', 'scope', 'client_assertion_type'])
  assert.equal(token?.assertion?.payload['sub'], sample.identity.objectId)
  const everything = JSON.stringify(emulator.requests())
  assert.ok(!everything.includes(emulator.identityHeader))
  emulator.resetCounts()
  assert.deepEqual(emulator.requests(), [])
  assert.equal(emulator.counts().endpoints.token.total, 0)
})

test('with the fault version-1, the token of the identity is one of v1.0', async t => {
  const emulator = await emulate(t)
  emulator.fault({ kind: 'version-1', at: 'identity' })
  const { iss, ver, appid, azp } = claims(object((await requestIdentityToken(emulator)).text)['access_token'])
  assert.deepEqual([iss, ver], [`https://sts.windows.net/${sample.homeTenant}/`, '1.0'])
  assert.deepEqual([appid, azp], [sample.identity.clientId, undefined])
})

test('a tenant of another cloud has a document that names that cloud, and the token endpoint refuses it', async t => {
  const cloud = 'https://login.microsoftonline.us'
  const emulator = await emulate(t, { tenants: [{ id: sample.contoso, cloud }] })
  const path = `/${sample.contoso}/v2.0/.well-known/openid-configuration`
  const document = object((await send(`${emulator.entraUrl}${path}`, { ca: emulator.caPem })).text)
  assert.equal(document['token_endpoint'], `${cloud}/${sample.contoso}/oauth2/v2.0/token`)
  assert.deepEqual(object((await requestToken(emulator)).text)['error_codes'], [90038])
})
