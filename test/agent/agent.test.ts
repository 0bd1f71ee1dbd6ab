import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, type Reply, send, startWorld } from '../support/broker.ts'
import { sendRaw } from '../http/server/raw.ts'
import { secret, startAgent } from './world.ts'

const world = await startWorld()
const { emulator, clock } = world
const broker = await world.broker({ after }, { policy: { scopes: { graph } } })
const agent = await startAgent({ after }, world, broker)
const withMetadata = await startAgent({ after }, world, broker, ['--metadata', '--sidecar'])
const tidOf = ({ json }: Reply) => decodeJws(String(json['access_token']))?.payload['tid']

describe('it issues to the workload what the broker grants', () => {
  test('by the identity protocol, without a tenant in the path', async () => {
    const reply = await agent.identity()
    assert.equal(reply.status, 200, reply.text)
    assert.equal(tidOf(reply), sample.contoso)
    const { access_token: _, ...rest } = reply.json
    assert.deepEqual(Object.entries(rest), [
      ['expires_on', String(clock.now() / 1000 + 3599)],
      ['expires_in', '3599'],
      ['resource', 'https://graph.microsoft.com'],
      ['token_type', 'Bearer'],
    ])
  })

  test('by POST /tokens, from its cache', async () => {
    const first = await agent.requestToken()
    const issued = broker.events('token.issued').length
    const reply = await agent.requestToken()
    assert.equal(tidOf(reply), sample.contoso)
    assert.match(String(reply.headers['cache-status']), /^token-broker; hit; ttl=\d+$/)
    assert.equal(reply.json['access_token'], first.json['access_token'])
    assert.equal(broker.events('token.issued').length, issued, 'no request to the broker')
  })

  test("by a scope's name, which only the broker knows", async () => {
    const reply = await agent.requestToken({ scope: 'graph' })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(decodeJws(String(reply.json['access_token']))?.payload['aud'], 'https://graph.microsoft.com')
    const unknown = await agent.requestToken({ scope: 'storage' })
    assert.match(
      String(unknown.json['detail']),
      /scope "storage", application "default"\. The broker recognised the caller/,
    )
  })

  test('of the application whose client id the SDK names: the broker knows it', async () => {
    const reply = await agent.identity({ client_id: sample.application })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(decodeJws(String(reply.json['access_token']))?.payload['appid'], sample.application)
    assert.equal(reply.json['client_id'], sample.application)
  })

  test('in the name of the workload: the broker saw its credential, not the secret', () => {
    assert.deepEqual(broker.events('token.issued')[0]?.['caller'], {
      kind: 'jwt',
      issuer: 'emulator',
      subject: 'sample-caller',
    })
    assert.ok(!broker.logText().includes(secret))
  })
})

const refused: readonly (readonly [why: string, reply: () => Promise<Reply>, status: number, code: string])[] = [
  [
    'what the broker does not grant',
    () => agent.identity({ resource: 'https://vault.azure.net' }),
    403,
    'not_permitted',
  ],
  ['an unknown application', () => agent.identity({ client_id: sample.homeTenant }), 403, 'not_permitted'],
  ['no secret', () => agent.identity({}, {}), 401, 'unauthenticated'],
  ['another secret', () => agent.identity({}, { 'x-identity-header': `${secret}x` }), 401, 'invalid_token'],
  [
    'a token that the broker would accept',
    async () => agent.identity({}, { 'x-identity-header': await emulator.mintCallerToken() }),
    401,
    'invalid_token',
  ],
  [
    'the secret where it does not belong',
    () => agent.identity({}, { authorization: `Bearer ${secret}` }),
    401,
    'unauthenticated',
  ],
  ['no resource', () => agent.identity({ resource: '' }), 400, 'invalid_request'],
  ['a path that there is at the broker', () => agent.send('/identity/contoso/token'), 400, 'not_found'],
]
describe('it refuses, in the words of the protocol', () => {
  for (const [why, request, status, code] of refused)
    test(`${status} ${code}: ${why}`, async () => {
      const reply = await request()
      assert.deepEqual(
        [reply.status, reply.json['error'], reply.json['statusCode']],
        [status, code, status],
        reply.text,
      )
    })

  test('another tenant than its own, and says which that is', async () => {
    for (const tenant of ['fabrikam', sample.contoso, sample.homeTenant]) {
      const { status, json } = await agent.requestToken({ tenant })
      assert.deepEqual([status, json['code']], [403, 'not_permitted'])
      assert.match(String(json['detail']), new RegExp(`one tenant only: contoso\\. The request is for "${tenant}"\\.$`))
    }
  })

  test('POST /tokens without the secret', async () => {
    const reply = await agent.send('/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    assert.equal(reply.status, 401)
  })

  test("whatever is no way in of its own: it is not the broker's other endpoints", async () => {
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const path of ['/oauth2/token', '/contoso/oauth2/v2.0/token'])
      assert.equal((await agent.send(path, { method: 'POST', headers: form, body: 'a=b' })).status, 404)
  })

  test("says what the broker has against the workload's credential", async t => {
    const here = await startAgent(t, world, broker)
    await writeFile(here.tokenFile, await emulator.mintCallerToken({}, { audience: 'another' }))
    const { status, json } = await here.identity()
    assert.equal(status, 401)
    assert.match(String(json['message']), /rejected the workload's credential: The token is for another audience/)
  })
})

const local = { 'x-identity-header': secret }
const foreign: readonly (readonly [why: string, headers: Record<string, string>])[] = [
  ["another's name: DNS rebinding", { host: 'evil.example' }],
  ["another's name on its port", { host: 'evil.example:8081' }],
  ['a name that begins like loopback', { host: '127.0.0.1.evil.example' }],
  ['a name that begins like localhost', { host: 'localhost.evil.example' }],
  ['a private address', { host: '10.0.0.1' }],
  ["the cloud's metadata address", { host: '169.254.169.254' }],
  ['every address', { host: '0.0.0.0' }],
  ['a user name before it', { host: 'localhost@evil.example' }],
  ['X-Forwarded-For', { 'x-forwarded-for': '127.0.0.1' }],
  ['Forwarded', { forwarded: 'for=127.0.0.1' }],
  ['X-Forwarded-Host', { 'x-forwarded-host': 'localhost' }],
  ['Via, which every proxy should add (RFC 9110 §7.6.3)', { via: '1.1 proxy' }],
]
const paths = [
  '/identity/token?resource=https://graph.microsoft.com',
  '/metadata/identity/oauth2/token?resource=a',
  '/AuthorizationHeader/graph',
  '/AuthorizationHeaderUnauthenticated/graph',
  '/healthz',
  '/livez',
  '/readyz',
  '/metrics',
]
describe('it serves its own host only, even to a holder of the secret', () => {
  for (const [why, headers] of foreign)
    test(`refused: ${why}`, async () => {
      for (const path of paths) {
        const reply = await withMetadata.send(path, { headers: { ...local, metadata: 'true', ...headers } })
        assert.equal(reply.status, 400, `${path} ${reply.text}`)
        assert.ok(!reply.text.includes('access_token'))
      }
      const post = { ...local, ...headers, authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
      assert.equal((await agent.send('/tokens', { method: 'POST', headers: post, body: '{}' })).status, 400)
    })
  test('refused: no name at all, which only old or raw clients send', async () => {
    for (const host of ['Host:\r\n', ''])
      assert.equal((await sendRaw(agent.url, `GET /livez HTTP/1.0\r\n${host}\r\n`)).status, 400)
  })
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1:8081', '127.1.2.3', '[::1]', '[::1]:8081'])
    test(`accepted: ${host}`, async () => {
      assert.equal((await agent.identity({}, { ...local, host })).status, 200)
    })
})

describe('the metadata protocol', () => {
  const path = '/metadata/identity/oauth2/token'
  const query = '?api-version=2018-02-01&resource=https://graph.microsoft.com'
  const metadata = { metadata: 'true' }
  test('is off by default, because it has no secret, and responds 400: SDKs retry 404 for a minute', async () => {
    for (const at of [path, `${path}/`, '/metadata/instance']) {
      const { status, json, text } = await agent.send(at + query, { headers: metadata })
      assert.deepEqual([status, json['error']], [400, 'not_found'], text)
    }
    assert.match((await agent.send(path + query, { headers: metadata })).text, /Start it with --metadata/)
  })
  for (const slash of ['', '/'])
    test(`responds with${slash ? '' : 'out'} a slash at the end as a virtual machine does`, async () => {
      const reply = await withMetadata.send(path + slash + query, { headers: metadata })
      assert.equal(reply.status, 200, reply.text)
      assert.equal(tidOf(reply), sample.contoso)
      const { access_token: _, ...rest } = reply.json
      assert.deepEqual(rest, {
        expires_in: '3599',
        expires_on: String(clock.now() / 1000 + 3599),
        resource: 'https://graph.microsoft.com',
        token_type: 'Bearer',
      })
    })
  const bad: readonly (readonly [why: string, path: string, headers: Record<string, string>])[] = [
    ['without Metadata: true, as a browser or a simple proxy sends it', path + query, {}],
    ['with Metadata of another value', path + query, { metadata: '1' }],
    ['without a resource', path, metadata],
    ['at another path of the metadata service', '/metadata/instance', metadata],
  ]
  for (const [why, at, headers] of bad)
    test(`is 400 ${why}: SDKs try 404 again for a minute`, async () => {
      const reply = await withMetadata.send(at, { headers })
      assert.deepEqual([reply.status, reply.json['statusCode']], [400, 400], reply.text)
    })
})

describe('who looks at it', () => {
  test('finds probes and metrics open', async () => {
    assert.equal((await agent.send('/livez')).status, 200)
    const { status, text } = await agent.send('/metrics')
    assert.equal(status, 200)
    assert.match(text, /token_broker_requests_total\{endpoint="identity",outcome="issued"\} \d/)
  })
  test('needs the secret for the rest', async () => {
    assert.equal((await agent.send('/health')).status, 401)
    const { status, json } = await agent.send('/health', { headers: { authorization: `Bearer ${secret}` } })
    assert.equal(status, 200)
    assert.partialDeepStrictEqual(json, { upstreams: [{ kind: 'authority', name: broker.url }] })
  })
  test('finds neither secret nor token in the log', async () => {
    const { json } = await agent.requestToken()
    assert.ok(agent.logText().includes('token.issued'))
    for (const text of [secret, String(json['access_token'])]) assert.ok(!agent.logText().includes(text))
  })
})

test('it is ready once the broker responds, and stays ready', async t => {
  const here = await world.broker(t)
  const own = await startAgent(t, world, here)
  assert.equal((await own.send('/readyz')).status, 503)
  await own.service.warmUp()
  assert.equal((await own.send('/readyz')).status, 200)
  await here.service.close()
  assert.equal((await send(`${own.url}/readyz`)).status, 200)
})
