import assert from 'node:assert/strict'
import { hash, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Leaf } from '../../../emulator/certificates.ts'
import { graph, type Reply, send } from '../../support/broker.ts'
import { type Ways, waysInto } from '../../support/dialects.ts'
import { clients, leaf, others, server, spiffe, start, worker, world } from './certificates-world.ts'

/** Client certificates at every way in, over real TLS: where they stand for a caller, and where they must not. */

const operators = { name: 'operators', callers: [{ san: 'ops.example' }], permissions: ['observe', 'purge'] }
const { broker } = await start({ after }, clients.caPem, [operators])
const connection = (presented?: Leaf) => ({
  ca: server.caPem,
  ...(presented && { cert: presented.certPem, key: presented.keyPem }),
})
const through = (presented?: Leaf) => waysInto(world, broker, connection(presented))

const [withWorker, withForeign, withUnnamed, withoutOne] = await Promise.all([
  through(worker),
  through(leaf({}, others)),
  through(leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] })),
  through(),
])

type Headers = Readonly<Record<string, string>>
const noAssertion = { client_assertion: undefined, client_assertion_type: undefined }

/** Requests without a credential but what is in their headers, by endpoint: where a certificate counts, and where not. */
const asked: readonly (readonly [
  endpoint: string,
  ask: (ways: Ways, headers: Headers) => Promise<Reply>,
  isEnough: boolean,
])[] = [
  ['tokens', (ways, headers) => ways.tokens({}, headers), true],
  ['oauth_token', (ways, headers) => ways.oauth(noAssertion, headers), true],
  ['entra_token', (ways, headers) => ways.entra(noAssertion, 'contoso', headers), true],
  ['identity', (ways, headers) => ways.identity({}, 'contoso', headers), false],
]
const told = ({ status, json }: Reply): string => `${status} ${String(json['error'] ?? json['code'])}`
const refusals: Readonly<Record<string, readonly [nobody: string, bad: string, forbidden: string]>> = {
  tokens: ['401 unauthenticated', '401 invalid_token', '403 not_permitted'],
  oauth_token: ['401 invalid_client', '401 invalid_client', '400 unauthorized_client'],
  entra_token: ['401 invalid_client', '401 invalid_client', '400 unauthorized_client'],
  identity: ['401 unauthenticated', '401 unauthenticated', '401 unauthenticated'],
}

for (const [endpoint, ask, isEnough] of asked)
  describe(`a certificate alone, at ${endpoint}`, () => {
    const [nobody = '', bad = '', forbidden = ''] = refusals[endpoint] ?? []
    if (isEnough) {
      test('authenticates its holder, and the audit line says so', async () => {
        const reply = await ask(withWorker, {})
        assert.equal(reply.status, 200, reply.text)
        const line = broker.events('token.issued').at(-1)
        assert.partialDeepStrictEqual(line, { endpoint, caller: { kind: 'certificate', name: spiffe } })
      })
    } else {
      test('authenticates nobody: others could cause such a request', async () => {
        assert.equal(told(await ask(withWorker, {})), nobody)
      })
    }

    test('is refused in the words of the protocol: none, one of another authority, one that no rule names', async () => {
      assert.equal(told(await ask(withoutOne, {})), nobody)
      assert.equal(told(await ask(withForeign, {})), bad)
      assert.equal(told(await ask(withUnnamed, {})), forbidden)
    })

    // A request whose sender meant another credential is not one without.
    for (const authorization of ['Basic dXNlcjpwYXNz', 'Bearer nonsense', 'Bearer', 'Negotiate abc', ''])
      test(`does not make good an Authorization header: "${authorization}"`, async () => {
        assert.equal((await ask(withWorker, { authorization })).status, 401)
      })
  })

describe('a page makes a browser that has a certificate ask', () => {
  const sites: readonly (readonly [site: string, status: number, why: string])[] = [
    ['cross-site', 401, 'the page is of another site'],
    ['same-site', 401, 'of another host of the same site'],
    ['same-origin, cross-site', 401, 'two headers are one that is none'],
    ['same-origin', 200, "of the broker's own"],
    ['none', 200, 'it was typed'],
  ]
  for (const [site, status, why] of sites)
    test(`${status}: ${why}`, async () => {
      for (const [endpoint, ask, isEnough] of asked)
        assert.equal((await ask(withWorker, { 'sec-fetch-site': site })).status, isEnough ? status : 401, endpoint)
      const { token } = withWorker
      const authorization = `Bearer ${token}`
      assert.equal((await withWorker.tokens({}, { authorization, 'sec-fetch-site': site })).status, 200, 'a bearer')
    })
})

const badBearers: readonly (readonly [where: string, ask: () => Promise<Reply>])[] = [
  ['client_assertion, OAuth', () => withWorker.oauth({ client_assertion: 'nonsense' })],
  ['client_assertion, Entra', () => withWorker.entra({ client_assertion: 'nonsense' })],
  ['X-IDENTITY-HEADER', () => withWorker.identity({}, 'contoso', { 'x-identity-header': 'nonsense' })],
]
for (const [where, ask] of badBearers)
  test(`a bad credential is not made good by a certificate: ${where}`, async () => {
    assert.equal((await ask()).status, 401)
  })

test('a certificate is the subject of no token exchange, nor what goes with a client secret', async () => {
  const exchanged = await withWorker.exchange({ subject_token: undefined })
  assert.equal(told(exchanged), '400 invalid_request')
  assert.match(exchanged.text, /subject_token is missing/)
  assert.equal(told(await withWorker.exchange({ subject_token: 'nonsense' })), '400 invalid_request')
  assert.equal(told(await withWorker.oauth({ ...noAssertion, subject_token: 'nonsense' })), '400 invalid_request')
  assert.equal(told(await withWorker.oauth({ ...noAssertion, client_secret: 'x' })), '400 invalid_request')
  assert.equal(told(await withWorker.entra({ ...noAssertion, client_secret: 'x' })), '400 invalid_request')
})

test('with a token, it is the token that says who asks', async () => {
  for (const ask of [withUnnamed.oauth, withUnnamed.exchange, withUnnamed.entra, withUnnamed.identity]) {
    const reply = await ask()
    assert.equal(reply.status, 200, reply.text)
    assert.partialDeepStrictEqual(broker.events('token.issued').at(-1), { caller: { kind: 'jwt' } })
  }
})

describe('a token that is bound to a certificate (RFC 8705) needs it at every way in', () => {
  let token = ''
  before(async () => {
    const thumbprint = hash('sha256', new X509Certificate(worker.certPem).raw, 'base64url')
    token = await world.emulator.mintCallerToken({ cnf: { 'x5t#S256': thumbprint } })
  })
  const bound: readonly (readonly [where: string, ask: (ways: Ways) => Promise<Reply>, refused: string])[] = [
    ['tokens', ways => ways.tokens({}, { authorization: `Bearer ${token}` }), '401 invalid_token'],
    ['client credentials', ways => ways.oauth({ client_assertion: token }), '401 invalid_client'],
    ['token exchange', ways => ways.exchange({ subject_token: token }), '400 invalid_request'],
    ['Entra', ways => ways.entra({ client_assertion: token }), '401 invalid_client'],
    ['identity', ways => ways.identity({}, 'contoso', { 'x-identity-header': token }), '401 invalid_token'],
  ]
  for (const [where, ask, refused] of bound)
    test(where, async () => {
      assert.equal(told(await ask(withoutOne)), refused)
      const reply = await ask(withWorker)
      assert.equal(reply.status, 200, reply.text)
      assert.equal(told(await ask(withUnnamed)), refused, 'another certificate')
    })
})

test('documents are open, and the same for everybody', async () => {
  for (const path of ['/.well-known/oauth-authorization-server', '/contoso/v2.0/.well-known/openid-configuration']) {
    const [nobody, somebody, foreign] = await Promise.all(
      [undefined, worker, leaf({}, others)].map(each => send(broker.url + path, connection(each))),
    )
    assert.equal(nobody?.status, 200)
    assert.deepEqual([somebody?.text, foreign?.text], [nobody.text, nobody.text])
  }
})

describe('operators may come with a certificate, as they could before there were other ways in', () => {
  const operator = leaf({ names: ['ops.example'] })
  for (const [method, path] of [
    ['GET', '/health'],
    ['GET', '/metrics'],
    ['GET', '/cache'],
    ['DELETE', '/tokens?tenant=contoso'],
  ] as const)
    test(`${method} ${path}`, async () => {
      const as = async (presented?: Leaf, headers: Headers = {}) =>
        (await send(broker.url + path, { method, headers, ...connection(presented) })).status
      assert.equal(await as(operator), 200)
      assert.equal(await as(operator, { authorization: 'Basic eDp5' }), 401)
      assert.equal(await as(worker), 403)
      assert.equal(await as(), 401)
    })
})

test('what a trusted proxy says of its peer counts where a certificate would', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const caFile = join(folder, 'ca.crt')
  await writeFile(caFile, clients.caPem)
  const rules = [{ name: 'mesh', callers: [{ san: spiffe }], tenants: ['contoso'], scopes: [graph] }]
  const forwarded = { 'client-cert': `:${new X509Certificate(worker.certPem).raw.toString('base64')}:` }
  for (const [proxies, isBelieved] of [
    ['127.0.0.1', true],
    ['10.0.0.0/8', false],
  ] as const) {
    const environment = { BROKER_TRUSTED_PROXIES: proxies, TLS_CLIENT_CA_FILE: caFile }
    const ways = await waysInto(world, await world.broker(t, { policy: { rules }, environment }))
    for (const [endpoint, ask, isEnough] of asked)
      assert.equal((await ask(ways, forwarded)).status, isEnough && isBelieved ? 200 : 401, `${endpoint} ${proxies}`)
  }
})
