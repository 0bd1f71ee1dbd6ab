import assert from 'node:assert/strict'
import { generateKeyPairSync, hash, X509Certificate } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, type TestContext, test } from 'node:test'
import { type Adapter, type ClientMetadata, type JWK, Provider } from 'oidc-provider'
import { createAuthority } from '../../emulator/certificates.ts'
import { graph, send, startWorld, type TestBroker } from '../support/broker.ts'

/** Callers whose issuer is a third-party authorization server: discovery, keys and tokens as `oidc-provider` makes them. */

const world = await startWorld()
const { clock } = world
const audience = 'token-broker'
/** What `oidc-provider` calls the broker (RFC 8707); it stands for another audience where it ends in `/other`. */
const resource = 'https://broker.example'
const { certPem } = createAuthority('clients CA').issue({ names: ['worker.example'], usage: 'client' })

function makeKey(kid: string): JWK {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' }
}
const [first, second] = [makeKey('first'), makeKey('second')]

const client = (id: string, metadata: Partial<ClientMetadata> = {}): ClientMetadata => ({
  client_id: id,
  client_secret: 'secret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: 'ES256',
  ...metadata,
})
const clients = [
  client('billing'),
  client('reports'),
  client('bound', { tls_client_certificate_bound_access_tokens: true }),
]

/** The server stores nothing, because no test needs it. */
const nothing = () => Promise.resolve(undefined)
const forgetful: Adapter = {
  upsert: nothing,
  find: nothing,
  findByUserCode: nothing,
  findByUid: nothing,
  consume: nothing,
  destroy: nothing,
  revokeByGrantId: nothing,
}

const providerWith = (issuer: string, keys: readonly JWK[]): Provider =>
  new Provider(issuer, {
    clients,
    jwks: { keys: [...keys] },
    cookies: { keys: ['a'] },
    adapter: () => forgetful,
    ttl: { ClientCredentials: 86_400 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      mTLS: { enabled: true, certificateBoundAccessTokens: true, getCertificate: () => certPem },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, indicator) => ({
          scope: '',
          audience: indicator.endsWith('/other') ? 'another-service' : audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 86_400,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  })

const server = createServer()
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
after(() => {
  server.close()
  server.closeAllConnections()
})
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
let paths: string[] = []
let handle = providerWith(issuer, [first]).callback()
server.on('request', (request, response) => {
  paths.push(String(request.url))
  void handle(request, response)
})
/** The server publishes these keys from now on, and signs with the first of them. */
const publish = (...keys: readonly JWK[]): void => {
  handle = providerWith(issuer, keys).callback()
}

/** A token by client credentials (RFC 6749 §4.4). Without a resource it is opaque. */
async function tokenOf(id = 'billing', of: string | undefined = resource): Promise<string> {
  const { status, json, text } = await send(`${issuer}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${id}:secret`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(of !== '' && { resource: of }) }).toString(),
  })
  assert.equal(status, 200, text)
  return String(json['access_token'])
}
const kidOf = (token: string): unknown =>
  (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: unknown }).kid

/** A broker that knows this issuer, and records the requests to the server from now on. */
async function start(t: TestContext): Promise<TestBroker> {
  publish(first)
  const broker = await world.broker(t, {
    policy: {
      issuers: { corp: { issuer, audiences: [audience] } },
      rules: [
        {
          name: 'corp',
          callers: [
            { issuer: 'corp', subject: 'billing' },
            { issuer: 'corp', claims: { client_id: 'bound' } },
          ],
          tenants: ['contoso'],
          scopes: [graph],
        },
      ],
    },
  })
  paths = []
  return broker
}
const discovery = '/.well-known/openid-configuration'
/** The requests for keys to the server. */
const keyRequests = (): readonly string[] => paths.filter(path => path !== '/token')
const reasons = (broker: TestBroker): unknown[] => broker.events('caller.refused').map(line => line['reason'])

test('its tokens authenticate, by its own discovery document and keys, which many callers cost it once', async t => {
  const broker = await start(t)
  const tokens = await Promise.all(Array.from({ length: 10 }, () => tokenOf()))
  const replies = await Promise.all(tokens.map(token => broker.requestToken(undefined, { token })))
  assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
  assert.deepEqual(keyRequests(), [discovery, '/jwks'])
  const caller = { kind: 'jwt', issuer: 'corp', subject: 'billing' }
  assert.partialDeepStrictEqual(broker.events('token.issued')[0], { caller })
})

const others: readonly (readonly [
  what: string,
  token: () => Promise<string>,
  status: number,
  reason: string | undefined,
])[] = [
  ['of another client', () => tokenOf('reports'), 403, undefined],
  ['for another resource', () => tokenOf('billing', `${resource}/other`), 401, 'audience'],
  ['for no resource (an opaque one)', () => tokenOf('billing', ''), 401, 'malformed'],
  ['bound to a certificate that does not come with it', () => tokenOf('bound'), 401, 'confirmation'],
]
for (const [what, make, status, reason] of others)
  test(`a token ${what} is ${status}`, async t => {
    const broker = await start(t)
    const reply = await broker.requestToken(undefined, { token: await make() })
    assert.equal(reply.status, status, reply.text)
    assert.deepEqual(reasons(broker), reason === undefined ? [] : [reason])
  })

test('the confirmation in its bound tokens is the one that the broker compares (RFC 8705 §3.1)', async () => {
  const [, claims = ''] = (await tokenOf('bound')).split('.')
  const { cnf } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { cnf: unknown }
  assert.deepEqual(cnf, { 'x5t#S256': hash('sha256', new X509Certificate(certPem).raw, 'base64url') })
})

test('it rotates its keys: the new one is accepted at once, the old one until it is removed, and not after that', async t => {
  const broker = await start(t)
  const statusOf = async (token: string) => (await broker.requestToken(undefined, { token })).status
  const [cached, unseen] = [await tokenOf(), await tokenOf()]
  assert.equal(await statusOf(cached), 200)
  assert.equal(kidOf(cached), 'first')

  publish(second, first)
  paths = []
  const tokens = await Promise.all(Array.from({ length: 10 }, () => tokenOf()))
  assert.equal(kidOf(tokens[0] ?? ''), 'second')
  assert.deepEqual(new Set(await Promise.all(tokens.map(statusOf))), new Set([200]))
  assert.deepEqual(keyRequests(), [discovery, '/jwks'], 'one fetch for all that have the unknown key id')
  assert.deepEqual([await statusOf(cached), await statusOf(unseen)], [200, 200])

  publish(second)
  paths = []
  assert.equal(await statusOf(cached), 200, 'the keys were not fetched since')
  clock.advance(331)
  const fresh = await tokenOf()
  assert.equal(await statusOf(fresh), 200)
  assert.deepEqual(keyRequests(), [discovery, '/jwks'])
  assert.deepEqual([await statusOf(cached), await statusOf(unseen)], [401, 401])
  assert.deepEqual(reasons(broker), ['key'])
  assert.equal(await statusOf(tokens[0] ?? ''), 200, 'the callers of the new key are still there')
  await broker.service.close()
  assert.equal(broker.events('caller.refused').at(-1)?.['repeated'], 1)
  assert.deepEqual(reasons(broker), ['key', 'key'])
})

test('a cached caller is refused once the key is removed, without any other request', async t => {
  const broker = await start(t)
  const token = await tokenOf()
  const status = async () => (await broker.requestToken(undefined, { token })).status
  assert.equal(await status(), 200)
  publish(second)
  clock.advance(331)
  assert.equal(await status(), 401)
})
