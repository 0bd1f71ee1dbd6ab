import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { type Reply, startWorld } from '../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const broker = await world.broker({ after })
const mint = (...options: Parameters<typeof emulator.mintCallerToken>) => emulator.mintCallerToken(...options)
const nowSeconds = () => clock.now() / 1000

/** The token's signature over the same claims, made as HMAC with a public value: the issuer's public key. */
async function hmacWithPublicKey(): Promise<string> {
  const [jwk] = emulator.callerJwks().keys
  const unsigned = await mint({}, { header: { alg: 'none', kid: jwk?.kid } })
  const [, claims = ''] = unsigned.split('.')
  const head = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: jwk?.kid })).toString('base64url')
  const signature = createHmac('sha256', JSON.stringify(jwk)).update(`${head}.${claims}`).digest('base64url')
  return `${head}.${claims}.${signature}`
}

async function withOtherClaims(): Promise<string> {
  const [head, , signature] = (await mint()).split('.')
  const [, claims] = (await mint({ sub: 'sample-caller', roles: ['admin'] })).split('.')
  return `${head}.${claims}.${signature}`
}

type Attack = readonly [what: string, make: () => Promise<string>]
const attacks: readonly Attack[] = [
  ['no signature (alg none)', () => mint({}, { header: { alg: 'none' } })],
  ['no signature (alg None)', () => mint({}, { header: { alg: 'None' } })],
  ['an HMAC under the public key (RFC 8725 §2.1)', hmacWithPublicKey],
  ['an algorithm that the key does not have', () => mint({}, { header: { alg: 'ES384' } })],
  ['a foreign key under a known key id', () => mint({}, { key: 'foreign' })],
  ['a key id that is not published', () => mint({}, { header: { kid: 'unknown' } })],
  [
    'a key of its own in the header (RFC 8725 §3.10)',
    () => mint({}, { key: 'foreign', header: { jwk: emulator.callerJwks().keys[0] } }),
  ],
  [
    'a key URL of its own in the header',
    () => mint({}, { key: 'foreign', header: { jku: `${emulator.localUrl}/evil/jwks` } }),
  ],
  ['claims of another token under this signature', withOtherClaims],
  ['an issuer the policy does not list', () => mint({}, { issuer: `${emulator.callerIssuer}/other` })],
  ['an issuer with a slash at its end', () => mint({}, { issuer: `${emulator.callerIssuer}/` })],
  ['an issuer in a list', () => mint({ iss: [emulator.callerIssuer] })],
  ['no issuer', () => mint({}, { omit: ['iss'] })],
  ['another audience', () => mint({}, { audience: 'another-service' })],
  ['an audience that begins like the right one', () => mint({}, { audience: 'token-broker-admin' })],
  ['no audience', () => mint({}, { omit: ['aud'] })],
  ['an empty list of audiences', () => mint({}, { audience: [] })],
  ['an expiry 31 s ago', () => mint({}, { expiresIn: -31 })],
  ['an expiry that is text', () => mint({ exp: '9999999999' })],
  ['no expiry', () => mint({}, { omit: ['exp'] })],
  ['a beginning in 31 s', () => mint({ nbf: nowSeconds() + 31 })],
  ['no subject', () => mint({}, { omit: ['sub'] })],
  ['an empty subject', () => mint({ sub: '' })],
  ['a subject that is a number', () => mint({ sub: 5 })],
  ['the type of a logout token', () => mint({}, { header: { typ: 'logout+jwt' } })],
  ['a type that is a number', () => mint({}, { header: { typ: 5 } })],
  ['an unknown critical header', () => mint({}, { header: { crit: ['x'], x: 1 } })],
  ['a binding to a key that the request does not prove to have', () => mint({ cnf: { jkt: 'x' } })],
  ['four parts', async () => `${await mint()}.x`],
  ['no dots', async () => 'nonsense'],
  ["the identity's token (its issuer is no caller's)", () => emulator.mintIdentityToken({ aud: 'token-broker' })],
]
/** RFC 6750 §3: the challenge names the error, and no part of the token. */
function assertRefused({ status, headers, json, text }: Reply, token: string): void {
  assert.deepEqual([status, json['code']], [401, 'invalid_token'], text)
  assert.match(
    String(headers['www-authenticate']),
    /^Bearer realm="token-broker", error="invalid_token", error_description="[^"\\]+"$/,
  )
  assert.ok(!text.includes(token))
}
for (const [what, make] of attacks)
  test(`a token with ${what} is 401 invalid_token`, async () => {
    const token = await make()
    assertRefused(await broker.requestToken(undefined, { token }), token)
  })

const accepted: readonly Attack[] = [
  ['an expiry 29 s ago: clocks differ', () => mint({}, { expiresIn: -29 })],
  ['a beginning in 29 s', () => mint({ nbf: nowSeconds() + 29 })],
  ['several audiences, one of them right', () => mint({}, { audience: ['another', 'token-broker'] })],
  ['the type at+jwt (RFC 9068)', () => mint({}, { header: { typ: 'at+jwt' } })],
  ['the type application/at+jwt', () => mint({}, { header: { typ: 'application/at+jwt' } })],
  ['no type', () => mint({}, { header: { typ: undefined } })],
]
for (const [what, make] of accepted)
  test(`a token with ${what} is accepted`, async () => {
    const { status, text } = await broker.requestToken(undefined, { token: await make() })
    assert.equal(status, 200, text)
  })

const nothing: readonly (readonly [what: string, headers: Record<string, string>])[] = [
  ['no Authorization', {}],
  ['an empty Authorization', { authorization: '' }],
  ['Basic credentials', { authorization: 'Basic dXNlcjpwYXNz' }],
  ['Bearer without a credential', { authorization: 'Bearer' }],
  ['Bearer with a blank', { authorization: 'Bearer ' }],
  ['a token without Bearer', { authorization: await mint() }],
]
for (const [what, headers] of nothing)
  test(`${what} is 401 unauthenticated, and the challenge names no error (RFC 6750 §3.1)`, async () => {
    const reply = await broker.requestToken(undefined, { headers: { ...headers, 'content-type': 'application/json' } })
    assert.deepEqual([reply.status, reply.json['code']], [401, 'unauthenticated'])
    assert.equal(reply.headers['www-authenticate'], 'Bearer realm="token-broker"')
  })

test('the scheme is read in any case (RFC 9110 §11.1)', async () => {
  const authorization = `bEARER ${await mint()}`
  const { status } = await broker.requestToken(undefined, {
    headers: { authorization, 'content-type': 'application/json' },
  })
  assert.equal(status, 200)
})

test('a token that was good is no longer accepted once it has expired', async t => {
  const here = await world.broker(t)
  const token = await mint({}, { expiresIn: 60 })
  assert.equal((await here.requestToken(undefined, { token })).status, 200)
  clock.advance(91)
  assertRefused(await here.requestToken(undefined, { token }), token)
})

test('a new key is accepted at once, and a dropped one no longer after the refresh', async t => {
  const here = await world.broker(t)
  const old = await mint()
  assert.equal((await here.requestToken(undefined, { token: old })).status, 200)
  await emulator.rotateCallerKeys({ drop: true })
  assert.equal((await here.requestToken()).status, 200)
  // The keys that know the new one no longer have the old one; at the latest they are fetched after five minutes.
  clock.advance(301)
  assert.equal((await here.requestToken()).status, 200)
  assertRefused(await here.requestToken(undefined, { token: old }), old)
})

test('tokens with unknown key ids do not make the broker call the issuer again and again', async t => {
  const here = await world.broker(t)
  await here.requestToken()
  emulator.resetCounts()
  for (let i = 0; i < 20; i++)
    await here.requestToken(undefined, { token: await mint({}, { header: { kid: `guess-${i}` } }) })
  // One refresh is a discovery document and a key set.
  assert.ok(emulator.counts().endpoints.callers.total <= 2)
})

for (const kind of ['refused', 'hung', 'server-error', 'html', 'broken-json', 'redirect', 'huge-body'] as const)
  test(`an unavailable issuer (${kind}) is 503 issuer_unavailable with Retry-After, and heals`, async t => {
    // As short as a busy machine allows, where the deadline is what ends it.
    const timeout = kind === 'hung' ? '2000' : '10000'
    const here = await world.broker(t, { environment: { BROKER_UPSTREAM_TIMEOUT_MS: timeout } })
    emulator.fault({ kind, at: 'callers' })
    const token = await mint()
    const { status, headers, json } = await here.requestToken(undefined, { token })
    assert.deepEqual([status, json['code']], [503, 'issuer_unavailable'])
    assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    assert.equal(emulator.counts().redirectsFollowed, 0)
    emulator.clearFaults()
    clock.advance(Number(headers['retry-after']))
    assert.equal((await here.requestToken(undefined, { token })).status, 200)
  })

test('callers are still accepted while their issuer is unavailable', async t => {
  const here = await world.broker(t)
  await here.requestToken()
  emulator.fault({ kind: 'server-error', at: 'callers' })
  clock.advance(600)
  assert.equal((await here.requestToken()).status, 200)
})

async function keysFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'jwks.json')
  await writeFile(file, JSON.stringify(emulator.callerJwks()))
  return file
}
const issuer = { issuer: emulator.callerIssuer, audiences: ['token-broker'] }
test('keys from a file need no network', async t => {
  const policy = { issuers: { emulator: { ...issuer, jwksFile: await keysFile(t) } } }
  const here = await world.broker(t, { policy })
  assert.equal((await here.requestToken()).status, 200)
  assert.equal(emulator.counts().endpoints.callers.total, 0)
  const foreign = await mint({}, { key: 'foreign' })
  assertRefused(await here.requestToken(undefined, { token: foreign }), foreign)
})

test('keys from a jwksUri need no discovery document', async t => {
  const policy = { issuers: { emulator: { ...issuer, jwksUri: `${emulator.callerIssuer}/jwks` } } }
  const here = await world.broker(t, { policy })
  assert.equal((await here.requestToken()).status, 200)
  assert.equal(emulator.counts().endpoints.callers.total, 1)
})

test('a rule for one issuer does not match the same subject of another', async t => {
  const other = { issuer: `${emulator.callerIssuer}/other`, audiences: ['token-broker'] }
  const here = await world.broker(t, { policy: { issuers: { emulator: issuer, other } } })
  const { status } = await here.requestToken(undefined, { token: await mint({}, { issuer: other.issuer }) })
  assert.equal(status, 403)
  assert.equal((await here.requestToken()).status, 200)
})
