import assert from 'node:assert/strict'
import { decodeJwt } from 'jose'
import { test, type TestContext } from 'node:test'
import { sample } from '../../../../emulator/options.ts'
import { createAssertionCache } from '../../../../src/broker/tokens/assertion-cache.ts'
import { managedIdentity } from '../../../../src/outbound/entra/managed-identity.ts'
import { entraCredentials, redisResource } from '../../../../src/outbound/redis/connection/entra-credentials.ts'
import { startWorld, until } from '../../../support/broker.ts'
import { startRespServer } from '../../../support/resp-server.ts'
import { connected, connection } from './world.ts'

const { emulator, clock } = await startWorld()
/** In seconds. */
const hour = 3_600
const unsigned = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`

/** When a token ends that the server accepts: one of Entra for Redis, of the user who presents it. */
function endOf(username: string, password: string): number | undefined {
  const { aud, oid, exp = 0 } = decodeJwt(password)
  return aud === redisResource && oid === username && oid === sample.identity.objectId ? exp * 1000 : undefined
}

async function start(t: TestContext) {
  emulator.clearFaults()
  emulator.configure({ identityTokenLife: 3600 })
  emulator.renewIdentityToken()
  const server = await startRespServer(t, clock.now, endOf)
  const endpoint = emulator.environment()['IDENTITY_ENDPOINT'] ?? ''
  const identity = { clientId: sample.identity.clientId, audience: redisResource, endpoint }
  const options = { clock, random: () => 0.5, timeoutMs: 5_000, fetched: () => undefined }
  const tokens = createAssertionCache(managedIdentity(identity, clock), options)
  let looks = 0
  const get = (signal: AbortSignal) => {
    looks++
    return tokens.get(signal)
  }
  const redis = connection(t, server, entraCredentials({ get }, 20))
  return { server, redis, looks: () => looks }
}

test("Redis gets a token of the broker's identity, for Redis, with its object id as user name", async t => {
  const { server, redis } = await start(t)
  await connected(redis)
  assert.equal(await redis.one('PING'), 'PONG')
  const [first] = server.authentications
  assert.equal(first?.username, sample.identity.objectId)
  assert.equal(decodeJwt(first.password).aud, 'https://redis.azure.com')
  assert.equal(first.by, 'HELLO')
})

test('once three quarters of its life are over, live connections get a new one; after its end they are still open', async t => {
  const { server, redis, looks } = await start(t)
  await until('both connected', () => new Set(server.authentications.map(each => each.connection)).size === 2)
  await connected(redis)
  const [old] = server.authentications
  emulator.renewIdentityToken()
  clock.advance(0.7 * hour)
  const before = looks()
  await until('looked at', () => looks() > before + 3)
  assert.equal(server.authentications.length, 2, 'not earlier')
  clock.advance(0.1 * hour)
  await until('authenticated again', () => server.authentications.length === 4)
  const renewed = server.authentications.slice(2)
  assert.deepEqual(renewed.map(({ by, connection: nth }) => `${by} ${nth}`).toSorted(), ['AUTH 1', 'AUTH 2'])
  assert.notEqual(renewed[0]?.password, old?.password)
  await until('accepted', async () => (await redis.one('PING')) === 'PONG')
  clock.advance(0.3 * hour)
  assert.equal(server.dropExpired(), 0)
  assert.equal(await redis.one('PING'), 'PONG')
})

test('a connection that was closed because its token has expired is opened again with a new one', async t => {
  const { server, redis } = await start(t)
  await connected(redis)
  emulator.fault({ at: 'identity', kind: 'refused' })
  clock.advance(1.1 * hour)
  assert.ok(server.dropExpired() > 0)
  await until('reported', () => /identity endpoint/.test(redis.trouble() ?? ''))
  assert.equal(redis.isConnected(), false)
  emulator.clearFaults()
  emulator.renewIdentityToken()
  await until('connected again', () => {
    clock.advance(1)
    return redis.isConnected()
  })
})

for (const [what, claims] of [
  ['no object id', { aud: redisResource }],
  ['an object id that is none', { oid: 'x y' }],
] as const)
  test(`a token with ${what} is not sent, and not repeated`, async () => {
    const token = unsigned(claims)
    const credentials = entraCredentials({
      get: () => Promise.resolve({ token, expiresAt: clock.now() + 1000 * hour }),
    })
    const thrown: unknown = await credentials.get().catch((error: unknown) => error)
    credentials.close?.()
    assert.match(String(thrown), /has no object id/)
    assert.ok(!String(thrown).includes(token))
  })

test('after close, no token is requested', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let requests = 0
  const token = unsigned({ oid: sample.identity.objectId })
  const get = () => Promise.resolve({ token, expiresAt: ++requests })
  const credentials = entraCredentials({ get })
  await credentials.get()
  t.mock.timers.tick(30_000)
  assert.equal(requests, 2)
  credentials.close?.()
  t.mock.timers.tick(300_000)
  assert.equal(requests, 2)
})
