import assert from 'node:assert/strict'
import { hash, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Leaf } from '../../../emulator/certificates.ts'
import { sample } from '../../../emulator/options.ts'
import { identityProtocol } from '../../../src/http/token-endpoints/identity-errors.ts'
import { graph, type Reply, send } from '../../support/broker.ts'
import {
  endpointRows,
  errorIn,
  expectedError,
  type TokenEndpoints,
  tokenEndpointsOf,
} from '../../support/token-endpoints.ts'
import { clients, leaf, others, server, spiffe, start, worker, world } from './certificates-world.ts'

/** Client certificates at every token endpoint, over real TLS: where they authenticate a caller, and where they must not. */

const operators = { name: 'operators', callers: [{ san: 'ops.example' }], permissions: ['observe', 'purge'] }
const { broker } = await start({ after }, clients.caPem, [operators])
const connection = (presented?: Leaf) => ({
  ca: server.caPem,
  ...(presented && { cert: presented.certPem, key: presented.keyPem }),
})
const through = (presented?: Leaf) => tokenEndpointsOf(world, broker, connection(presented))

const [withWorker, withForeign, withUnnamed, withoutOne] = await Promise.all([
  through(worker),
  through(leaf({}, others)),
  through(leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] })),
  through(),
])

type Headers = Readonly<Record<string, string>>
const noAssertion = { client_assertion: undefined, client_assertion_type: undefined }

/** Requests whose only credential is in their headers, by endpoint, and whether a certificate counts there. */
const requests = endpointRows.map(({ endpoint, send: request }) => {
  const isEnough = endpoint.bearerOnly !== true
  const errors = isEnough
    ? (['unauthenticated', 'invalid_token', 'not_permitted'] as const)
    : (['unauthenticated', 'unauthenticated', 'unauthenticated'] as const)
  return {
    endpoint: endpoint.name,
    isEnough,
    requestToken: (to: TokenEndpoints, headers: Headers) => request(to, { credential: null, headers }),
    refused: errors.map(code => expectedError(endpoint, code).error),
  }
})

test('a certificate counts at every endpoint except that of the identity protocol', () => {
  const notEnough = requests.filter(({ isEnough }) => !isEnough)
  assert.deepEqual(
    notEnough.map(({ endpoint }) => endpoint),
    endpointRows.filter(({ endpoint }) => endpoint.protocol === identityProtocol).map(({ endpoint }) => endpoint.name),
  )
})

for (const { endpoint, requestToken, isEnough, refused } of requests)
  describe(`a certificate alone, at ${endpoint}`, () => {
    const [none = '', bad = '', forbidden = ''] = refused
    if (isEnough) {
      test('authenticates its holder, and the audit line says so', async () => {
        const reply = await requestToken(withWorker, {})
        assert.equal(reply.status, 200, reply.text)
        const line = broker.events('token.issued').at(-1)
        assert.partialDeepStrictEqual(line, { endpoint, caller: { kind: 'certificate', name: spiffe } })
      })
    } else {
      test('does not authenticate: another party could cause such a request', async () => {
        assert.equal(errorIn(await requestToken(withWorker, {})), none)
      })
    }

    test('is refused in the protocol of the endpoint: no certificate, one of another authority, one that no rule names', async () => {
      assert.equal(errorIn(await requestToken(withoutOne, {})), none)
      assert.equal(errorIn(await requestToken(withForeign, {})), bad)
      assert.equal(errorIn(await requestToken(withUnnamed, {})), forbidden)
    })

    // A request with another credential, even a bad one, is not a request without a credential.
    for (const authorization of ['Basic dXNlcjpwYXNz', 'Bearer nonsense', 'Bearer', 'Negotiate abc', ''])
      test(`does not replace a bad Authorization header: "${authorization}"`, async () => {
        assert.equal((await requestToken(withWorker, { authorization })).status, 401)
      })
  })

describe('a page makes a browser that has a certificate send a request', () => {
  const sites: readonly (readonly [site: string, status: number, why: string])[] = [
    ['cross-site', 401, 'the page is of another site'],
    ['same-site', 401, 'the page is of another host of the same site'],
    ['same-origin, cross-site', 401, 'two headers make one invalid header'],
    ['same-origin', 200, "the page is the broker's own"],
    ['none', 200, 'the address was typed'],
  ]
  for (const [site, status, why] of sites)
    test(`${status}: ${why}`, async () => {
      for (const { endpoint, requestToken, isEnough } of requests)
        assert.equal(
          (await requestToken(withWorker, { 'sec-fetch-site': site })).status,
          isEnough ? status : 401,
          endpoint,
        )
      const { token } = withWorker
      const authorization = `Bearer ${token}`
      assert.equal((await withWorker.tokens({}, { authorization, 'sec-fetch-site': site })).status, 200, 'a bearer')
    })
})

const badBearers: readonly (readonly [where: string, requestToken: () => Promise<Reply>])[] = [
  ['client_assertion, OAuth', () => withWorker.oauth({ client_assertion: 'nonsense' })],
  ['client_assertion, Entra', () => withWorker.entra({ client_assertion: 'nonsense' })],
  ['X-IDENTITY-HEADER', () => withWorker.identity({}, 'contoso', { 'x-identity-header': 'nonsense' })],
]
for (const [where, requestToken] of badBearers)
  test(`a certificate does not replace a bad credential: ${where}`, async () => {
    assert.equal((await requestToken()).status, 401)
  })

test('a certificate is not the subject of a token exchange, and does not replace a bad client secret', async () => {
  const exchanged = await withWorker.exchange({ subject_token: undefined })
  assert.equal(errorIn(exchanged), '400 invalid_request')
  assert.match(exchanged.text, /subject_token is missing/)
  assert.equal(errorIn(await withWorker.exchange({ subject_token: 'nonsense' })), '400 invalid_request')
  assert.equal(errorIn(await withWorker.oauth({ ...noAssertion, subject_token: 'nonsense' })), '400 invalid_request')
  assert.equal(errorIn(await withWorker.oauth({ ...noAssertion, client_secret: 'x' })), '401 invalid_client')
  assert.equal(errorIn(await withWorker.entra({ ...noAssertion, client_secret: 'x' })), '401 invalid_client')
})

test('a certificate counts beside HTTP Basic without a password, which names the client, where the form has a client', async () => {
  const named = (password = '') => ({ authorization: `Basic ${btoa(`${sample.application}:${password}`)}` })
  for (const { endpoint, send: request } of endpointRows) {
    const status = async (headers: Headers) => (await request(withWorker, { credential: null, headers })).status
    assert.equal(await status(named()), endpoint.bodyCredential ? 200 : 401, endpoint.name)
    assert.equal(await status(named('x')), 401, endpoint.name)
    assert.equal(await status({ ...named(), 'sec-fetch-site': 'cross-site' }), 401, endpoint.name)
  }
})

test('with a token and a certificate, the token says who the caller is', async () => {
  for (const requestToken of [withUnnamed.oauth, withUnnamed.exchange, withUnnamed.entra, withUnnamed.identity]) {
    const reply = await requestToken()
    assert.equal(reply.status, 200, reply.text)
    assert.partialDeepStrictEqual(broker.events('token.issued').at(-1), { caller: { kind: 'jwt' } })
  }
})

describe('a token that is bound to a certificate (RFC 8705) needs it at every token endpoint', () => {
  let token = ''
  before(async () => {
    const thumbprint = hash('sha256', new X509Certificate(worker.certPem).raw, 'base64url')
    token = await world.emulator.mintCallerToken({ cnf: { 'x5t#S256': thumbprint } })
  })
  const bound: readonly (readonly [
    where: string,
    requestToken: (to: TokenEndpoints) => Promise<Reply>,
    refused: string,
  ])[] = [
    ['tokens', to => to.tokens({}, { authorization: `Bearer ${token}` }), '401 invalid_token'],
    ['client credentials', to => to.oauth({ client_assertion: token }), '401 invalid_client'],
    ['token exchange', to => to.exchange({ subject_token: token }), '400 invalid_request'],
    ['Entra', to => to.entra({ client_assertion: token }), '401 invalid_client'],
    ['identity', to => to.identity({}, 'contoso', { 'x-identity-header': token }), '401 invalid_token'],
  ]
  for (const [where, requestToken, refused] of bound)
    test(where, async () => {
      assert.equal(errorIn(await requestToken(withoutOne)), refused)
      const reply = await requestToken(withWorker)
      assert.equal(reply.status, 200, reply.text)
      assert.equal(errorIn(await requestToken(withUnnamed)), refused, 'another certificate')
    })
})

test('documents are open, and the same for every caller', async () => {
  for (const path of ['/.well-known/oauth-authorization-server', '/contoso/v2.0/.well-known/openid-configuration']) {
    const [without, known, foreign] = await Promise.all(
      [undefined, worker, leaf({}, others)].map(each => send(broker.url + path, connection(each))),
    )
    assert.equal(without?.status, 200)
    assert.deepEqual([known?.text, foreign?.text], [without.text, without.text])
  }
})

describe('a certificate authenticates at the operations endpoints too', () => {
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

test('a certificate that a trusted proxy forwards counts where the certificate itself would', async t => {
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
    const header = { BROKER_CLIENT_CERT_HEADER: 'client-cert' }
    const environment = { BROKER_TRUSTED_PROXIES: proxies, TLS_CLIENT_CA_FILE: caFile, ...header }
    const endpoints = await tokenEndpointsOf(world, await world.broker(t, { policy: { rules }, environment }))
    for (const { endpoint, requestToken, isEnough } of requests)
      assert.equal(
        (await requestToken(endpoints, forwarded)).status,
        isEnough && isBelieved ? 200 : 401,
        `${endpoint} ${proxies}`,
      )
  }
})
