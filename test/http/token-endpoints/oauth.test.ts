import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, type Reply, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { accessTokenType, type Fields, tokenExchange, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const second = '3b000000-0000-4000-8000-00000000000b'
const world = await startWorld({ applications: [{ clientId: sample.application }, { clientId: second }] })
const arm = 'https://management.azure.com/.default'
const policy = {
  applications: { default: sample.application, second },
  rules: [
    { name: 'one', callers: [sampleCaller], tenants: ['contoso', 'tailspin'], scopes: [graph] },
    { name: 'two', callers: [sampleCaller], tenants: ['contoso'], scopes: [arm], applications: ['second'] },
  ],
}
const broker = await world.broker({ after }, { policy, environment: { BROKER_PUBLIC_URL: 'https://broker.example' } })
const { oauth, exchange, token } = await tokenEndpointsOf(world, broker)
const claimsOf = ({ json }: Reply) => decodeJws(String(json['access_token']))?.payload ?? {}

describe('client credentials', () => {
  test('the response is that of RFC 6749 §5.1, with no-store and Cache-Status', async () => {
    const { status, headers, json } = await oauth()
    assert.equal(status, 200)
    const { access_token: issued, expires_in: seconds, ...rest } = json
    assert.deepEqual(rest, { token_type: 'Bearer', scope: graph })
    assert.equal(seconds, 3599)
    assert.equal(decodeJws(String(issued))?.payload['tid'], sample.contoso)
    assert.deepEqual(
      [headers['content-type'], headers['cache-control'], headers.pragma, headers['cache-status']],
      ['application/json; charset=utf-8', 'no-store', 'no-cache', 'token-broker; fwd=miss'],
    )
  })

  test('it shares the cache with POST /tokens', async () => {
    const [first, other] = [await oauth(), await broker.requestToken()]
    assert.equal(first.json['access_token'], other.json['access_token'])
    assert.match(String(first.headers['cache-status']), /; hit; ttl=\d+$/)
  })

  test('the credential may be in Authorization instead', async () => {
    const without = { client_assertion: undefined, client_assertion_type: undefined }
    assert.equal((await oauth(without, { authorization: `Bearer ${token}` })).status, 200)
  })

  test('the tenant may be an id, the application a name or a client id', async () => {
    for (const application of ['second', second]) {
      const reply = await oauth({ tenant: sample.contoso, scope: arm, application })
      assert.equal(claimsOf(reply)['appid'], second, reply.text)
    }
  })

  const passedOver: readonly (readonly [why: string, changes: Fields])[] = [
    ['client_id', { client_id: 'whatever' }],
    ['unknown parameters (RFC 6749 §3.2)', { 'x-client-SKU': 'lib', foo: 'bar' }],
    [
      'parameters without a value count as absent (RFC 6749 §3.2)',
      { application: '', client_secret: '', resource: '' },
    ],
  ]
  for (const [why, changes] of passedOver)
    test(`ignored: ${why}`, async () => {
      const reply = await oauth(changes)
      assert.equal(reply.status, 200, reply.text)
    })
})

describe('token exchange', () => {
  for (const type of ['jwt', 'access_token'])
    test(`a subject token of type ${type} is exchanged, as RFC 8693 §2.2.1 says`, async () => {
      const { status, json } = await exchange({ subject_token_type: `urn:ietf:params:oauth:token-type:${type}` })
      assert.equal(status, 200)
      assert.equal(json['issued_token_type'], accessTokenType)
      assert.equal(json['token_type'], 'Bearer')
    })
  test('an access token may be requested by name', async () => {
    assert.equal((await exchange({ requested_token_type: accessTokenType })).status, 200)
  })
})

describe('the metadata (RFC 8414)', () => {
  const url = '/.well-known/oauth-authorization-server'
  test('describes the endpoint under the public URL whatever Host says', async () => {
    const { status, json, headers } = await send(broker.url + url, { headers: { host: 'evil.example' } })
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/json; charset=utf-8')
    assert.partialDeepStrictEqual(json, {
      issuer: 'https://broker.example',
      token_endpoint: 'https://broker.example/oauth2/token',
      grant_types_supported: ['client_credentials', tokenExchange],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ['private_key_jwt', 'client_secret_post', 'client_secret_basic', 'none'],
    })
  })
  test('is 404 without BROKER_PUBLIC_URL, with the reason', async t => {
    const { status, json } = await send((await world.broker(t)).url + url)
    assert.deepEqual([status, json['code']], [404, 'not_found'])
    assert.match(String(json['remedy']), /BROKER_PUBLIC_URL/)
  })
})
