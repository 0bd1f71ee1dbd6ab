import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { refusals } from '../../emulator/errors.ts'
import { createSigningKey, signJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { send, claims, emulate, goodForm, object, post } from './client.ts'

const elsewhere = '30000000-0000-4000-8000-00000000000'
const cluster = await createSigningKey('RS256', 'cluster-1')
const cloud = 'https://cluster.example'
let emulator: Emulator

before(async () => {
  emulator = await startEmulator({
    applications: [
      { clientId: sample.application },
      { clientId: `${elsewhere}2`, federatedCredentials: [] },
      { clientId: `${elsewhere}3`, homeTenant: sample.contoso },
      { clientId: `${elsewhere}4` },
      { clientId: `${elsewhere}5` },
      { clientId: `${elsewhere}6`, federatedCredentials: [{ issuer: cloud, subject: 'system:serviceaccount:a:b' }] },
    ],
    tenants: [
      { id: sample.contoso, disabled: [`${elsewhere}4`], unassigned: [`${elsewhere}5`] },
      { id: sample.tailspin, consented: [] },
    ],
    federatedIssuers: [{ issuer: cloud, jwks: { keys: [cluster.jwk] } }],
  })
})
after(() => emulator.close())

/** Changes to a valid request, and the AADSTS code that Entra returns for them. */
const seconds = Math.floor(Date.now() / 1000)
interface Row {
  readonly why: string
  readonly code: number
  readonly form?: Record<string, string | undefined>
  readonly assertion?: Record<string, unknown>
  readonly tenant?: string
}
const rows: readonly Row[] = [
  { why: 'no grant type', code: 900144, form: { grant_type: undefined } },
  { why: 'no client id', code: 900144, form: { client_id: undefined } },
  { why: 'no scope', code: 900144, form: { scope: undefined } },
  { why: 'empty scope', code: 900144, form: { scope: '' } },
  { why: 'no assertion type', code: 900144, form: { client_assertion_type: undefined } },
  { why: 'no assertion', code: 7000218, form: { client_assertion: undefined } },
  { why: 'another assertion type', code: 70002, form: { client_assertion_type: 'saml2' } },
  { why: 'another grant type', code: 70003, form: { grant_type: 'password' } },
  { why: 'two scopes', code: 70011, form: { scope: 'https://a.example/.default https://b.example/.default' } },
  { why: 'a scope without a resource', code: 70011, form: { scope: '/.default' } },
  { why: 'no /.default', code: 1002012, form: { scope: 'https://graph.microsoft.com/User.Read' } },
  { why: 'an unknown resource', code: 500011, form: { scope: 'https://unknown.example/.default' } },
  { why: 'a text that is not a tenant identifier', code: 900023, tenant: 'invalid' },
  { why: 'an unknown tenant', code: 90002, tenant: '40000000-0000-4000-8000-0000000000ff' },
  { why: 'an unknown domain', code: 90002, tenant: 'unknown.onmicrosoft.com' },
  { why: 'an unknown application', code: 700016, form: { client_id: `${elsewhere}f` } },
  { why: 'a tenant without consent', code: 7000229, tenant: sample.tailspin },
  { why: 'a disabled service principal', code: 7000112, form: { client_id: `${elsewhere}4` } },
  { why: 'no role assignment', code: 501051, form: { client_id: `${elsewhere}5` } },
  { why: 'no federated credential', code: 70025, form: { client_id: `${elsewhere}2` } },
  { why: 'a registration in another tenant', code: 700236, form: { client_id: `${elsewhere}3` } },
  { why: 'an assertion that is not a JWT', code: 50027, form: { client_assertion: 'a.b' } },
  { why: 'an assertion without expiry', code: 50027, assertion: { exp: undefined } },
  { why: 'another issuer', code: 700211, assertion: { iss: 'https://sts.example' } },
  { why: 'another subject', code: 700213, assertion: { sub: sample.contoso } },
  { why: 'the subject in capitals', code: 700213, assertion: { sub: sample.identity.objectId.toUpperCase() } },
  { why: 'another audience', code: 700212, assertion: { aud: 'api://other' } },
  { why: 'the audience in a list with another', code: 700212, assertion: { aud: [sample.audience, 'api://other'] } },
  { why: 'an expired assertion', code: 700024, assertion: { exp: seconds - 1 } },
  { why: 'an assertion from the future', code: 700024, assertion: { nbf: seconds + 3600 } },
]

for (const { why, code, form = {}, assertion, tenant = sample.contoso } of rows)
  test(`${why}: AADSTS${code}`, async () => {
    const client_assertion = await emulator.mintIdentityToken(assertion)
    const reply = await post(emulator, tenant, await goodForm(emulator, { client_assertion, ...form }))
    const body = object(reply.text)
    assert.deepEqual(body['error_codes'], [code])
    assert.equal(body['error'], refusals[code]?.error)
    assert.equal(reply.status, refusals[code]?.status)
    assert.match(
      String(body['error_description']),
      new RegExp(
        `^AADSTS${code}: .+ Trace ID: [\\w-]{36} Correlation ID: [\\w-]{36} Timestamp: \\d{4}-\\d\\d-\\d\\d [\\d:]{8}Z$`,
      ),
    )
    assert.equal(body['trace_id'], reply.headers['x-ms-request-id'])
    assert.equal(body['error_uri'], `https://login.microsoftonline.com/error?code=${code}`)
  })

test('invalid_client is 401 and every other client error is 400', () => {
  for (const [code, { error, status }] of Object.entries(refusals))
    if (status < 429) assert.equal(status, error === 'invalid_client' ? 401 : 400, code)
})

test('the audience in a list of its own is accepted, as in the tokens of Kubernetes', async () => {
  const client_assertion = await emulator.mintIdentityToken({ aud: [sample.audience] })
  const reply = await post(emulator, sample.contoso, await goodForm(emulator, { client_assertion }))
  assert.equal(reply.status, 200)
})

test('a valid request returns a v1.0 token that the published keys verify', async () => {
  const reply = await post(emulator, sample.contoso.toUpperCase(), await goodForm(emulator))
  const body = object(reply.text)
  assert.equal(reply.status, 200)
  assert.equal(body['expires_in'], 3599)
  assert.ok(!('refresh_in' in body))
  const keys = await send(`${emulator.entraUrl}/${sample.contoso}/discovery/v2.0/keys`, { ca: emulator.caPem })
  const { payload } = await jwtVerify(String(body['access_token']), createLocalJWKSet(JSON.parse(keys.text)))
  const { ver, iss, aud, tid, appid, idtyp } = claims(body['access_token'])
  assert.deepEqual(
    [ver, iss, aud],
    ['1.0', `https://sts.windows.net/${sample.contoso}/`, 'https://graph.microsoft.com'],
  )
  assert.deepEqual([tid, appid, idtyp], [sample.contoso, sample.application, 'app'])
  assert.equal(Number(payload.exp) - Number(payload.iat), 3599)
})

test('tokens for a v2.0 resource have its app id as audience, and no two tokens are the same', async () => {
  const form = await goodForm(emulator, { scope: 'api://sample-api/.default' })
  const [one, two] = await Promise.all([post(emulator, sample.contoso, form), post(emulator, sample.contoso, form)])
  const payload = claims(object(one.text)['access_token'])
  assert.equal(payload['ver'], '2.0')
  assert.equal(payload['aud'], '50000000-0000-4000-8000-000000000001')
  assert.equal(payload['azp'], sample.application)
  assert.equal(payload['iss'], `${emulator.entraUrl}/${sample.contoso}/v2.0`)
  assert.notEqual(object(one.text)['access_token'], object(two.text)['access_token'])
})

test('an assertion of another trusted issuer is accepted; one with a forged signature or an unknown key is not', async () => {
  const payload = { iss: cloud, sub: 'system:serviceaccount:a:b', aud: sample.audience, exp: seconds + 3600 }
  const forger = await createSigningKey('RS256', 'cluster-1')
  const outcomes = [
    [cluster, { alg: 'RS256', kid: 'cluster-1' }, undefined],
    [forger, { alg: 'RS256', kid: 'cluster-1' }, 700027],
    [cluster, { alg: 'RS256', kid: 'other' }, 50013],
    [cluster, { alg: 'none', kid: 'cluster-1' }, 50027],
    [cluster, { alg: 'HS256', kid: 'cluster-1' }, 50027],
  ] as const
  for (const [key, header, code] of outcomes) {
    const client_assertion = await signJws({ ...header }, payload, key)
    const reply = await post(
      emulator,
      sample.contoso,
      await goodForm(emulator, { client_id: `${elsewhere}6`, client_assertion }),
    )
    assert.deepEqual(object(reply.text)['error_codes'], code && [code], JSON.stringify(header))
  }
})

test('a duplicate field, a JSON body and a GET are refused', async () => {
  const form = await goodForm(emulator)
  form.append('scope', 'x/.default')
  const twice = await post(emulator, sample.contoso, form)
  assert.deepEqual(object(twice.text)['error_codes'], [9000411])
  const headers = { 'content-type': 'application/json' }
  const asJson = await post(emulator, sample.contoso, '{"grant_type":"client_credentials"}', { headers })
  assert.deepEqual(object(asJson.text)['error_codes'], [900144])
  const get = await post(emulator, sample.contoso, '', { method: 'GET' })
  assert.deepEqual(object(get.text)['error_codes'], [900561])
  const long = await post(emulator, sample.contoso, 'a'.repeat(65_537))
  assert.equal(long.status, 413)
})

test('a client-request-id is returned as the correlation id only if it is a GUID', async () => {
  const id = '60000000-0000-4000-8000-000000000001'
  const sent = await post(emulator, sample.tailspin, await goodForm(emulator), { headers: { 'client-request-id': id } })
  assert.equal(object(sent.text)['correlation_id'], id)
  assert.equal(sent.headers['client-request-id'], id)
  const other = await post(emulator, sample.tailspin, await goodForm(emulator, { 'client-request-id': 'invalid' }))
  assert.notEqual(object(other.text)['correlation_id'], 'invalid')
  assert.equal(other.headers['client-request-id'], undefined)
})

test('credentials, consent and settings can be changed while it runs', async t => {
  const world = await emulate(t)
  const codes = async (tenant: string): Promise<unknown> =>
    object((await post(world, tenant, await goodForm(world))).text)['error_codes']
  world.setConsent(sample.tailspin, sample.application, true)
  assert.equal(await codes(sample.tailspin), undefined)
  world.setConsent(sample.tailspin, sample.application, false)
  assert.deepEqual(await codes(sample.tailspin), [7000229])
  world.setFederatedCredentials(sample.application, [{ audience: 'api://own' }])
  assert.deepEqual(await codes(sample.contoso), [700212])
  world.setFederatedCredentials(sample.application, [{}])
  world.configure({ expiresIn: 60, refreshIn: 30, opaqueTokens: true })
  const body = object((await post(world, sample.contoso, await goodForm(world))).text)
  assert.deepEqual([body['expires_in'], body['refresh_in']], [60, 30])
  assert.doesNotMatch(String(body['access_token']), /\./)
  world.setIdentity({ objectId: sample.fabrikam })
  assert.deepEqual(await codes(sample.contoso), [700213])
  world.configure({ tokenVersion: 2 })
  assert.throws(() => world.configure({ expiresIn: -1 }), TypeError)
})

test('discovery names endpoints on its own host and refuses unknown tenants', async () => {
  const path = 'v2.0/.well-known/openid-configuration'
  const known = await send(`${emulator.entraUrl}/${sample.contoso}/${path}`, { ca: emulator.caPem })
  const base = `${emulator.entraUrl}/${sample.contoso}`
  assert.equal(object(known.text)['issuer'], `${base}/v2.0`)
  assert.equal(object(known.text)['token_endpoint'], `${base}/oauth2/v2.0/token`)
  const unknown = await send(`${emulator.entraUrl}/${sample.fabrikam}/${path}`, { ca: emulator.caPem })
  assert.deepEqual([unknown.status, object(unknown.text)['error_codes']], [400, [90002]])
})
