import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, type Reply, startWorld } from '../support/broker.ts'
import { secret, startAgent } from './world.ts'

const world = await startWorld()
const { emulator } = world
const scopes = { graph, vault: 'https://vault.azure.net/.default', default: graph }
const broker = await world.broker({ after }, { policy: { scopes } })
const plain = await startAgent({ after }, world, broker)
const agent = await startAgent({ after }, world, broker, ['--sidecar'])

type Headers = Readonly<Record<string, string>>
const bearer = { authorization: `Bearer ${secret}` }
const open = (rest = 'graph', headers: Headers = {}) =>
  agent.send(`/AuthorizationHeaderUnauthenticated/${rest}`, { headers })
const closed = (rest = 'graph', headers: Headers = bearer) => agent.send(`/AuthorizationHeader/${rest}`, { headers })
const claimsOf = ({ json }: Reply) => decodeJws(String(json['authorizationHeader']).slice('Bearer '.length))?.payload
const requestsToBroker = () => broker.events('token.issued').length + broker.events('token.denied').length

describe('it answers as the Entra sidecar does, with the token that the broker grants', () => {
  for (const [where, request] of [
    ['without a credential', () => open()],
    ['with the local secret', () => closed()],
    ['for the name that SDKs use by default', () => open('default')],
  ] as const)
    test(where, async () => {
      const reply = await request()
      assert.equal(reply.status, 200, reply.text)
      assert.deepEqual(Object.keys(reply.json), ['authorizationHeader'])
      assert.match(String(reply.json['authorizationHeader']), /^Bearer eyJ[\w.-]+$/)
      assert.deepEqual(
        [claimsOf(reply)?.['tid'], claimsOf(reply)?.['aud']],
        [sample.contoso, scopes.graph.slice(0, -9)],
      )
      assert.equal(reply.headers['cache-control'], 'no-store')
      assert.match(String(reply.headers['content-type']), /^application\/json/)
    })

  test('from the cache, which it shares with the other endpoints of the agent', async () => {
    const { json } = await agent.requestToken({ scope: 'graph' })
    const before = requestsToBroker()
    assert.equal((await open()).json['authorizationHeader'], `Bearer ${String(json['access_token'])}`)
    assert.equal(requestsToBroker(), before)
  })

  test('and counts the two paths apart, because only one of them is authenticated', async () => {
    await Promise.all([open(), closed()])
    const { text } = await agent.send('/metrics')
    for (const endpoint of ['authorization_header', 'authorization_header_unauthenticated'])
      assert.match(text, new RegExp(`token_broker_requests_total\\{endpoint="${endpoint}",outcome="issued"\\} [1-9]`))
  })
})

describe('it is off by default', () => {
  for (const path of ['/AuthorizationHeaderUnauthenticated/graph', '/AuthorizationHeader/graph', '/healthz'])
    test(`${path} is 404, also for the holder of the secret`, async () => {
      const { status, json } = await plain.send(path, { headers: bearer })
      assert.deepEqual([status, json['code']], [404, 'not_found'])
    })
})

describe('a name that is', () => {
  const names: readonly (readonly [why: string, name: string, expected: string])[] = [
    ['unknown to the broker', 'storage', '403 not_permitted'],
    ['known, and not granted', 'vault', '403 not_permitted'],
    ['in upper case, as names of DownstreamApis often are', 'Graph', '400 invalid_scope'],
    ['a scope', encodeURIComponent(graph), '400 invalid_scope'],
    ['the exchange itself', encodeURIComponent('api://AzureADTokenExchange/.default'), '400 invalid_scope'],
    ['a GUID', sample.application, '400 invalid_scope'],
    ['a path out of it', '..%2f..%2ftokens', '400 invalid_scope'],
    ['with a space, as the agent writes an expectation', `graph%20${encodeURIComponent(graph)}`, '400 invalid_scope'],
    ['64 characters', 'a'.repeat(64), '400 invalid_scope'],
    ['8,000 characters', 'a'.repeat(8000), '400 invalid_scope'],
    ['not UTF-8', '%ff', '400 invalid_request'],
    ['empty', '', '400 invalid_scope'],
    ['followed by more', 'graph/x', '404 not_found'],
    ['followed by a slash', 'graph/', '404 not_found'],
  ]
  for (const [why, name, expected] of names)
    test(`${why}: ${expected}`, async () => {
      for (const { status, json, text } of await Promise.all([open(name), closed(name)])) {
        assert.equal(`${status} ${String(json['code'])}`, expected, text)
        assert.ok(text.length < 2000, 'what is repeated is short')
      }
    })
})

describe('the path with a credential accepts the local secret only', () => {
  const credentials: readonly (readonly [why: string, headers: Headers, code: string])[] = [
    ['no credential', {}, 'unauthenticated'],
    ['another last character', { authorization: `Bearer ${secret.slice(0, -1)}x` }, 'invalid_token'],
    ['a longer one', { authorization: `Bearer ${secret}x` }, 'invalid_token'],
    ['its beginning', { authorization: `Bearer ${secret.slice(0, 20)}` }, 'invalid_token'],
    ['Basic', { authorization: `Basic ${Buffer.from(`x:${secret}`).toString('base64')}` }, 'unauthenticated'],
    ['the header of the identity protocol', { 'x-identity-header': secret }, 'unauthenticated'],
    ['the header of the metadata protocol', { metadata: 'true' }, 'unauthenticated'],
  ]
  for (const [why, headers, code] of credentials)
    test(`401: ${why}`, async () => {
      const before = requestsToBroker()
      const reply = await closed('graph', headers)
      assert.deepEqual([reply.status, reply.json['code']], [401, code], reply.text)
      assert.match(String(reply.headers['www-authenticate']), /^Bearer /)
      assert.equal(requestsToBroker(), before)
    })

  test("401: a user's token, which the Entra sidecar would exchange, and which is not repeated or logged", async () => {
    const user = await emulator.mintCallerToken()
    const { status, text } = await closed('graph', { authorization: `Bearer ${user}` })
    assert.equal(status, 401)
    assert.ok(!text.includes(user) && !agent.logText().includes(user))
  })
})

describe('the path without a credential is not for', () => {
  const unsafe: readonly (readonly [why: string, headers: Headers])[] = [
    [
      "a user's token: the caller would get the rights of the application for the user's",
      { authorization: 'Bearer x' },
    ],
    ['the local secret, which is for the other path', bearer],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }],
    ['a page of this host on another port', { 'sec-fetch-site': 'same-site' }],
    ['a page that the agent would have served', { 'sec-fetch-site': 'same-origin' }],
    ['an address typed into a browser', { 'sec-fetch-site': 'none' }],
    ['fetch() of a page with CORS', { origin: 'https://evil.example' }],
    ['a page without an origin of its own', { origin: 'null' }],
  ]
  for (const [why, headers] of unsafe)
    test(why, async () => {
      const before = requestsToBroker()
      const reply = await open('graph', headers)
      assert.deepEqual([reply.status, reply.json['code']], [400, 'invalid_request'], reply.text)
      assert.equal(reply.headers['access-control-allow-origin'], undefined)
      assert.equal(requestsToBroker(), before)
    })

  test('and it is for fetch() of Node.js, which sends Sec-Fetch-Mode alone', async () => {
    assert.equal((await open('graph', { 'sec-fetch-mode': 'cors' })).status, 200)
  })
})

describe('errors are problem details with a title, which is all that SDKs show', () => {
  test('a refusal has the status of POST /tokens', async () => {
    const { status, headers, json } = await open('vault')
    assert.match(String(headers['content-type']), /^application\/problem\+json/)
    assert.deepEqual([json['status'], json['title']], [status, 'Not permitted by the policy'])
  })

  test('a broken set-up is 400, which SDKs do not retry for 14 s as they do any 5xx', async t => {
    const own = await world.broker(t, { policy: { scopes } })
    const here = await startAgent(t, world, own, ['--sidecar'])
    emulator.fault({ kind: 'aadsts', at: 'token', code: 700213 })
    t.after(() => emulator.clearFaults())
    const { status, json } = await here.send('/AuthorizationHeaderUnauthenticated/graph')
    assert.deepEqual([status, json['status'], json['code']], [400, 400, 'federation_misconfigured'])
  })

  test('what waiting can end is 503 with Retry-After', async t => {
    const own = await world.broker(t, { policy: { scopes } })
    const here = await startAgent(t, world, own, ['--sidecar'])
    emulator.fault({ kind: 'server-error', at: 'token' })
    t.after(() => emulator.clearFaults())
    const { status, headers } = await here.send('/AuthorizationHeaderUnauthenticated/graph')
    assert.equal(status, 503)
    assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
  })

  test('other methods are 405', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD'])
      for (const path of ['/AuthorizationHeader/graph', '/AuthorizationHeaderUnauthenticated/graph']) {
        const { status, headers } = await agent.send(path, { method, headers: bearer })
        assert.deepEqual([status, headers.allow], [405, 'GET'], `${method} ${path}`)
      }
  })
  for (const path of ['/Validate', '/DownstreamApi/graph', '/DownstreamApiUnauthenticated/graph', '/openapi/v1.json'])
    test(`${path} of the Entra sidecar is 404`, async () => {
      assert.equal((await agent.send(path, { headers: bearer })).status, 404)
    })
})

test('/healthz is as /readyz', async t => {
  const own = await startAgent(t, world, broker, ['--sidecar'])
  assert.equal((await own.send('/healthz')).status, 503)
  await own.service.warmUp()
  assert.equal((await own.send('/healthz')).status, 200)
})
