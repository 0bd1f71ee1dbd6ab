import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createSigningKey, type Json, signJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, sampleCaller, startWorld, until } from '../../support/broker.ts'

const cluster = { issuer: 'https://cluster.example', subject: 'system:serviceaccount:token-broker:token-broker' }
const key = await createSigningKey('RS256', 'cluster-key')
const world = await startWorld({
  federatedIssuers: [{ issuer: cluster.issuer, jwks: { keys: [key.jwk] } }],
  applications: [{ clientId: sample.application, federatedCredentials: [cluster] }],
})
const { emulator, clock } = world

const serviceAccountToken = (jti: string, claims: Json = {}) => {
  const seconds = clock.now() / 1000
  const own = {
    iss: cluster.issuer,
    sub: cluster.subject,
    aud: [sample.audience],
    iat: seconds,
    exp: seconds + 3600,
    jti,
  }
  // Kubernetes writes the audience as a list; the emulator, as Entra, compares a text.
  return signJws({ alg: 'RS256', kid: key.kid }, { ...own, aud: sample.audience, ...claims }, key)
}

/** A broker that reads its assertion from a file, with the file's path. */
async function brokerWithFile(t: TestContext, content: string | undefined, policy: Json = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'token')
  if (content !== undefined) await writeFile(file, content)
  const environment = {
    BROKER_IDENTITY_SOURCE: 'workload-identity',
    AZURE_FEDERATED_TOKEN_FILE: file,
    AZURE_TENANT_ID: sample.homeTenant,
    LOG_LEVEL: 'trace',
  }
  return { broker: await world.broker(t, { environment, policy }), file, folder }
}
const assertions = () =>
  emulator
    .requests()
    .filter(({ endpoint }) => endpoint === 'token')
    .map(({ assertion }) => assertion?.payload['jti'])

test('the token of the file is the assertion, without a request to an identity endpoint', async t => {
  const { broker } = await brokerWithFile(t, `${await serviceAccountToken('first')}\n`)
  assert.equal((await broker.requestToken()).status, 200)
  const counts = emulator.counts().endpoints
  assert.deepEqual([counts.token.total, counts.identity.total], [1, 0])
  assert.equal(emulator.requests().at(-1)?.assertion?.payload['sub'], cluster.subject)
})

test('a token that the kubelet has replaced is used for the next exchange', async t => {
  const { broker, file, folder } = await brokerWithFile(t, undefined)
  // As the kubelet does it: the file is a link, and the link is swapped.
  const paths = { first: join(folder, 'data-1'), second: join(folder, 'data-2') }
  await writeFile(paths.first, await serviceAccountToken('first'))
  await writeFile(paths.second, await serviceAccountToken('second'))
  await symlink(paths.first, file)
  assert.equal((await broker.requestToken()).status, 200)
  await unlink(file)
  await symlink(paths.second, file)
  assert.equal((await broker.requestToken({ tenant: 'fabrikam', scope: graph })).status, 200)
  assert.deepEqual(assertions().slice(-2), ['first', 'second'])
})

const unusable: readonly (readonly [what: string, content: () => Promise<string | undefined>])[] = [
  ['missing', async () => undefined],
  ['empty', async () => ''],
  ['no JWT', async () => 'not-a-token-but-a-secret'],
  ['without an expiry', () => serviceAccountToken('x', { exp: undefined })],
  ['too large', async () => 'x'.repeat(70_000)],
]
for (const [what, content] of unusable)
  test(`a token file that is ${what} is 503 identity_unavailable with a remedy, and heals`, async t => {
    const { broker, file } = await brokerWithFile(t, await content())
    const { status, json, headers } = await broker.requestToken()
    assert.deepEqual([status, json['code']], [503, 'identity_unavailable'])
    assert.match(String(json['remedy']), /AZURE_FEDERATED_TOKEN_FILE/)
    assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    assert.equal(emulator.counts().endpoints.token.total, 0)
    assert.ok(!broker.logText().includes('not-a-token-but-a-secret'))
    await writeFile(file, await serviceAccountToken('healed'))
    clock.advance(61)
    assert.equal((await broker.requestToken()).status, 200)
  })

const ends: readonly (readonly [seconds: number, status: number, why: string])[] = [
  [1, 200, 'ends in a second'],
  [0, 503, 'ends now'],
  [-1, 503, 'ended a second ago'],
  [-86_400, 503, 'ended yesterday'],
]
for (const [seconds, status, why] of ends)
  test(`a token that ${why} is ${status === 200 ? '' : 'not '}sent`, async t => {
    const { broker } = await brokerWithFile(t, await serviceAccountToken('x', { exp: clock.now() / 1000 + seconds }))
    assert.equal((await broker.requestToken()).status, status)
    assert.equal(emulator.counts().endpoints.token.total, status === 200 ? 1 : 0)
  })

test('an expired token is identity_unavailable, and the next request after its renewal is served, at once', async t => {
  const { broker, file } = await brokerWithFile(t, await serviceAccountToken('good'))
  const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
  assert.equal((await broker.requestToken(undefined, { token })).status, 200)
  clock.advance(3601)
  for (const tenant of ['contoso', 'fabrikam']) {
    const { status, json } = await broker.requestToken({ tenant, scope: graph }, { token })
    assert.deepEqual([status, json['code']], [503, 'identity_unavailable'])
    assert.match(String(json['remedy']), /AZURE_FEDERATED_TOKEN_FILE.*clock/)
  }
  assert.equal(broker.events('token.failed')[0]?.['reason'], 'expired')
  assert.equal(emulator.counts().endpoints.token.total, 1)
  await writeFile(file, await serviceAccountToken('renewed'))
  for (const tenant of ['contoso', 'fabrikam'])
    assert.equal((await broker.requestToken({ tenant, scope: graph }, { token })).status, 200)
})

test('the remedy for a federated credential that does not fit has the values of the file’s token', async t => {
  const { broker } = await brokerWithFile(
    t,
    await serviceAccountToken('x', { sub: 'system:serviceaccount:other:other' }),
  )
  const { json } = await broker.requestToken()
  assert.equal(json['code'], 'federation_misconfigured')
  assert.match(String(json['remedy']), /exactly system:serviceaccount:other:other/)
})

test('the home tenant is known without an exchange: a rule for "*" does not include it, but the other tenants', async t => {
  const rules = [{ name: 'all', callers: [sampleCaller], tenants: '*', scopes: [graph] }]
  const { broker } = await brokerWithFile(t, await serviceAccountToken('first'), { rules })
  assert.equal((await broker.requestToken({ tenant: sample.homeTenant, scope: graph })).status, 403)
  assert.equal((await broker.requestToken()).status, 200)
})

test('it is ready once the file and the keys could be read', async t => {
  const { broker } = await brokerWithFile(t, await serviceAccountToken('first'))
  assert.equal(broker.service.isReady(), false)
  void broker.service.warmUp()
  await until('ready', () => broker.service.isReady())
})
