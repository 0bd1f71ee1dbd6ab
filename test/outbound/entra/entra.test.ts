import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { graph, startWorld } from '../../support/broker.ts'
import { EntraHttpClient } from '../../../src/outbound/entra/http-client.ts'
import { directEgress } from '../../../src/outbound/network/egress.ts'
import { hostileAuthority } from './authority.ts'

const world = await startWorld()
const { emulator, clock } = world
const fabrikam = { tenant: 'fabrikam', scope: graph }
const counts = () => {
  const { token, identity } = emulator.counts().endpoints
  return { token: token.total, identity: identity.total }
}

test('the first hop calls the identity endpoint as the platform documents it', async t => {
  const broker = await world.broker(t)
  assert.equal((await broker.requestToken()).status, 200)
  const hop = emulator.requests().find(({ endpoint }) => endpoint === 'identity')
  assert.equal(hop?.method, 'GET')
  assert.equal(hop.path, '/msi/token')
  assert.deepEqual(hop.query, {
    'api-version': '2019-08-01',
    resource: 'api://AzureADTokenExchange',
    client_id: sample.identity.clientId,
  })
  // Recorded as a placeholder: it is a secret.
  assert.equal(hop.headers['x-identity-header'], '[secret]')
})

test("the second hop is a client-credentials request with the identity's token as assertion, and nothing else", async t => {
  const broker = await world.broker(t)
  await broker.requestToken()
  const hop = emulator.requests().find(({ endpoint }) => endpoint === 'token')
  assert.equal(hop?.method, 'POST')
  assert.equal(hop.path, `/${sample.contoso}/oauth2/v2.0/token`)
  // What MSAL says about itself (x-client-…, telemetry) is ignored by Entra.
  const own = Object.entries(hop.form).filter(([name]) => !/^(x-client-|x-ms-lib-|client-request-id)/.test(name))
  assert.deepEqual(Object.fromEntries(own), {
    client_id: sample.application,
    scope: graph,
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  })
  assert.partialDeepStrictEqual(hop.assertion?.payload, {
    iss: `${emulator.entraUrl}/${sample.homeTenant}/v2.0`,
    sub: sample.identity.objectId,
    aud: 'api://AzureADTokenExchange',
  })
})

test('neither the identity header nor the credential of the caller travels to Entra', async t => {
  const broker = await world.broker(t)
  const token = await emulator.mintCallerToken()
  await broker.requestToken({ tenant: 'contoso', scope: graph }, { token })
  const hop = JSON.stringify(emulator.requests().find(({ endpoint }) => endpoint === 'token'))
  assert.ok(!hop.includes('x-identity-header') && !hop.includes(emulator.identityHeader))
  assert.ok(!hop.includes(token) && !hop.includes('"authorization"'))
})

test('one identity token serves many exchanges', async t => {
  const broker = await world.broker(t)
  await broker.requestToken()
  await broker.requestToken(fabrikam)
  clock.advance(3600)
  await broker.requestToken()
  assert.deepEqual(counts(), { token: 3, identity: 1 })
})

test("the ids of Entra's response are in the audit line, for Microsoft's support", async t => {
  const broker = await world.broker(t)
  await broker.requestToken()
  const [line] = broker.events('token.issued')
  const ids = Object.values(line?.['upstream'] ?? {}).map(String)
  assert.equal(ids.length, 2)
  for (const id of ids) assert.match(id, /^[\da-f-]{36}$/)
})

/** A broker whose identity token Entra will refuse from now on, as outside its validity (AADSTS700024). */
async function refusedAssertion(t: TestContext, options: { times?: number; platformHasAnother: boolean }) {
  const broker = await world.broker(t)
  await broker.requestToken()
  if (options.platformHasAnother) emulator.renewIdentityToken()
  emulator.fault({ kind: 'aadsts', code: 700024, at: 'token', ...(options.times && { times: options.times }) })
  emulator.resetCounts()
  return broker
}

test('a refused assertion is replaced, and the exchange tried again with the new one', async t => {
  const broker = await refusedAssertion(t, { times: 1, platformHasAnother: true })
  assert.equal((await broker.requestToken(fabrikam)).status, 200)
  assert.deepEqual(counts(), { token: 2, identity: 1 })
  const [refused, renewed] = emulator.requests().filter(({ endpoint }) => endpoint === 'token')
  assert.notEqual(renewed?.assertion?.payload['uti'], refused?.assertion?.payload['uti'])
})

test('a refused assertion is not sent again when the platform has no other', async t => {
  const broker = await refusedAssertion(t, { platformHasAnother: false })
  const { status, json } = await broker.requestToken(fabrikam)
  assert.equal(status, 502)
  assert.equal(json['code'], 'federation_misconfigured')
  assert.deepEqual(counts(), { token: 1, identity: 1 })
})

test('two assertions that are refused one after the other are enough', async t => {
  const broker = await refusedAssertion(t, { platformHasAnother: true })
  assert.equal((await broker.requestToken(fabrikam)).status, 502)
  assert.deepEqual(counts(), { token: 2, identity: 1 })
})

const elsewhere = [
  ['another host', 'https://attacker.invalid'],
  ['this host under another name', emulator.entraUrl.replace('localhost', '127.0.0.1')],
  ['another port of this host', 'https://localhost:1'],
  ['plain http', emulator.entraUrl.replace('https:', 'http:')],
] as const
for (const [where, origin] of elsewhere)
  test(`a request to ${where} is refused before anything is sent, whatever MSAL wants`, async () => {
    emulator.resetCounts()
    const { signal } = new AbortController()
    const client = new EntraHttpClient(emulator.entraUrl, directEgress(false), signal)
    const request = { headers: {}, body: 'client_assertion=secret' }
    const refused = { message: `refused to send a request to another origin than ${emulator.entraUrl}` }
    await assert.rejects(client.sendPostRequestAsync(`${origin}/t/oauth2/v2.0/token`, request), refused)
    await assert.rejects(client.sendGetRequestAsync(`${origin}/t/v2.0/.well-known/openid-configuration`), refused)
    assert.equal(counts().token, 0)
  })

test('an exchange is one request: no discovery document could name another token endpoint', async t => {
  const broker = await world.broker(t)
  emulator.resetCounts()
  await broker.requestToken()
  const { token, discovery } = emulator.counts().endpoints
  assert.deepEqual([token.total, discovery.total], [1, 0])
})

test('a redirect of the token endpoint is never followed', async t => {
  const broker = await world.broker(t)
  emulator.fault({ kind: 'redirect', at: 'token' })
  const { status, json } = await broker.requestToken()
  assert.equal(status, 502)
  assert.equal(json['code'], 'upstream_invalid')
  assert.equal(emulator.counts().redirectsFollowed, 0)
})

test('a variable for regions does not send the exchange to another host', async t => {
  const broker = await world.broker(t)
  emulator.resetCounts()
  for (const name of ['MSAL_FORCE_REGION', 'REGION_NAME', 'AZURE_REGIONAL_AUTHORITY_NAME'])
    process.env[name] = 'westeurope'
  t.after(() => {
    for (const name of ['MSAL_FORCE_REGION', 'REGION_NAME', 'AZURE_REGIONAL_AUTHORITY_NAME']) delete process.env[name]
  })
  assert.equal((await broker.requestToken()).status, 200)
  assert.equal(counts().token, 1)
})

for (const status of [301, 302, 303, 307, 308])
  test(`a ${status} to another server is not followed`, async t => {
    const target = await hostileAuthority(t, () => ({ status: 200, body: '{}' }))
    const authority = await hostileAuthority(t, ({ method }) =>
      method === 'POST' ? { status, headers: { location: `${target.url}/steal` }, body: '' } : undefined,
    )
    const broker = await world.broker(t, { environment: { BROKER_AUTHORITY: authority.url } })
    assert.equal((await broker.requestToken()).json['code'], 'upstream_invalid')
    assert.deepEqual(target.received, [])
  })
