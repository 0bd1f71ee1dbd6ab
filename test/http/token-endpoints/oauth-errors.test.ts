import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { type Reply, graph, send, startWorld } from '../../support/broker.ts'
import { encode, jwtBearer, jwtType, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const world = await startWorld()
const { emulator } = world
const arm = 'https://management.azure.com/.default'
const broker = await world.broker({ after })
const { oauth, exchange, token } = await tokenEndpointsOf(world, broker)

type Row = readonly [why: string, reply: () => Promise<Reply>, status: number, error: string]
const rows: readonly Row[] = [
  ['no credential', () => oauth({ client_assertion: undefined }), 401, 'invalid_client'],
  [
    'no credential and a malformed form',
    () => oauth({ client_assertion: undefined, scope: 'x' }),
    401,
    'invalid_client',
  ],
  ['a bad assertion', () => oauth({ client_assertion: 'nonsense' }), 401, 'invalid_client'],
  [
    'a bad assertion and a malformed form',
    () => oauth({ client_assertion: 'x', grant_type: 'y' }),
    401,
    'invalid_client',
  ],
  [
    'a bad header and a malformed form',
    () => oauth({ scope: 'x' }, { authorization: 'Bearer x' }),
    401,
    'invalid_client',
  ],
  [
    'Basic with a secret',
    () => oauth({ client_assertion: undefined }, { authorization: 'Basic YTpi' }),
    401,
    'invalid_client',
  ],
  [
    'a client secret that is no API key',
    () => oauth({ client_assertion: undefined, client_secret: 'x' }),
    401,
    'invalid_client',
  ],
  ['a header and an assertion', () => oauth({}, { authorization: `Bearer ${token}` }), 400, 'invalid_request'],
  ['an assertion and a subject token', () => oauth({ subject_token: token }), 400, 'invalid_request'],
  ['an assertion and a client secret', () => oauth({ client_secret: 'x' }), 400, 'invalid_request'],
  [
    'a header and a subject token without a token exchange',
    () => oauth({ client_assertion: undefined, subject_token: token }, { authorization: `Bearer ${token}` }),
    400,
    'invalid_request',
  ],
  [
    'a subject token in the place of an assertion',
    () => oauth({ client_assertion: undefined, subject_token: token }),
    400,
    'invalid_request',
  ],
  [
    'an assertion in the place of a subject token',
    () => exchange({ subject_token: undefined, client_assertion: token }),
    400,
    'invalid_request',
  ],
  [
    'an exchange without a subject token, with a header',
    () => exchange({ subject_token: undefined }, { authorization: `Bearer ${token}` }),
    400,
    'invalid_request',
  ],
  [
    'a header and a client secret',
    () => oauth({ client_assertion: undefined, client_secret: 'x' }, { authorization: `Bearer ${token}` }),
    400,
    'invalid_request',
  ],
  ['two assertions', () => oauth({ client_assertion: [token, token] }), 400, 'invalid_request'],
  ['two assertions, the first without a value', () => oauth({ client_assertion: ['', token] }), 400, 'invalid_request'],
  ['an assertion without its type', () => oauth({ client_assertion_type: undefined }), 400, 'invalid_request'],
  ['another type of assertion', () => oauth({ client_assertion_type: 'saml2' }), 400, 'invalid_request'],
  ['a parameter twice', () => oauth({ scope: [graph, graph] }), 400, 'invalid_request'],
  ['an unknown parameter twice', () => oauth({ foo: ['a', 'b'] }), 400, 'invalid_request'],
  ['no grant type', () => oauth({ grant_type: undefined }), 400, 'invalid_request'],
  ['another grant', () => oauth({ grant_type: 'authorization_code' }), 400, 'unsupported_grant_type'],
  ['no tenant', () => oauth({ tenant: undefined }), 400, 'invalid_request'],
  ['no scope', () => oauth({ scope: undefined }), 400, 'invalid_request'],
  ['two scopes', () => oauth({ scope: `${graph} ${arm}` }), 400, 'invalid_scope'],
  ['what no rule grants', () => oauth({ scope: arm }), 400, 'unauthorized_client'],
  ['a tenant without consent', () => oauth({ tenant: 'tailspin' }), 400, 'unauthorized_client'],
  ['no subject token', () => exchange({ subject_token: undefined }), 400, 'invalid_request'],
  ['a bad subject token (RFC 8693 §2.2.2)', () => exchange({ subject_token: 'nonsense' }), 400, 'invalid_request'],
  ['a bad header in an exchange', () => exchange({}, { authorization: 'Bearer x' }), 401, 'invalid_client'],
  ['a header and a subject token', () => exchange({}, { authorization: `Bearer ${token}` }), 400, 'invalid_request'],
  ['a subject token without its type', () => exchange({ subject_token_type: undefined }), 400, 'invalid_request'],
  [
    'a subject token of another type',
    () => exchange({ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }),
    400,
    'invalid_request',
  ],
  [
    'an actor (RFC 8693 §2.2.2): delegation is not supported',
    () => exchange({ actor_token: token, actor_token_type: jwtType }),
    400,
    'invalid_request',
  ],
  ['the type of an actor', () => exchange({ actor_token_type: 'x' }), 400, 'invalid_request'],
  [
    'a refresh token is requested',
    () => exchange({ requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }),
    400,
    'invalid_request',
  ],
  [
    'an ID token is requested',
    () => exchange({ requested_token_type: 'urn:ietf:params:oauth:token-type:id_token' }),
    400,
    'invalid_request',
  ],
  [
    'a JWT is requested: only the resource knows whether the token is one',
    () => exchange({ requested_token_type: jwtType }),
    400,
    'invalid_request',
  ],
  ['an exchange that no rule grants', () => exchange({ scope: arm }), 400, 'invalid_target'],
]
describe('an error is one of RFC 6749 §5.2', () => {
  for (const [why, request, status, error] of rows)
    test(`${error}: ${why}`, async () => {
      const reply = await request()
      assert.deepEqual([reply.status, reply.json['error']], [status, error], reply.text)
      assert.match(String(reply.json['error_description']), /^[ !#-[\]-~]{10,} \(request_id [\w-]+\)$/)
      assert.match(String(reply.headers['content-type']), /^application\/json/)
      assert.equal(reply.headers['cache-control'], 'no-store')
      assert.equal(reply.headers['www-authenticate'] !== undefined, status === 401)
      assert.ok(!reply.text.includes(token) && !reply.text.includes('nonsense'))
    })
})

test('the response has the id of its audit line, and the line names the endpoint', async () => {
  const { json } = await oauth({ scope: arm })
  const line = broker.events('token.denied').find(({ request_id: id }) => id === json['request_id'])
  assert.equal(line?.['endpoint'], 'oauth_token')
})

const http: readonly (readonly [why: string, options: Parameters<typeof send>[1], status: number, error: string])[] = [
  ['JSON', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }, 415, 'invalid_request'],
  ['no content type', { method: 'POST', body: 'a=b' }, 415, 'invalid_request'],
  ['no body at all', { method: 'POST' }, 401, 'invalid_client'],
  [
    'a form of 1 MB',
    {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `a=${'a'.repeat(1_000_000)}`,
    },
    413,
    'invalid_request',
  ],
  ['a GET, with the credential in the URL, which logs keep', { method: 'GET' }, 405, 'invalid_request'],
]
for (const [why, options, status, error] of http)
  test(`${why} is ${status} ${error}`, async () => {
    const reply = await send(`${broker.url}/oauth2/token`, options)
    assert.deepEqual([reply.status, reply.json['error']], [status, error], reply.text)
    assert.equal(reply.headers.allow, status === 405 ? 'POST' : undefined)
  })

test('parameters of the query do not count as parameters of the form', async () => {
  const query = encode({ grant_type: 'client_credentials', client_assertion: token, client_assertion_type: jwtBearer })
  const reply = await send(`${broker.url}/oauth2/token?${query}`, { method: 'POST' })
  assert.equal(reply.status, 401)
})

describe('when an upstream fails', () => {
  const faults = [
    ['Entra throttles', { kind: 'throttled', at: 'token', retryAfter: 7 }, 503, 'temporarily_unavailable', '7'],
    ['Entra is down', { kind: 'server-error', at: 'token' }, 503, 'temporarily_unavailable', '1'],
    [
      'the federated credential is wrong',
      { kind: 'aadsts', at: 'token', code: 700213 },
      500,
      'server_error',
      undefined,
    ],
    ["Entra returns another tenant's token", { kind: 'wrong-tenant', at: 'token' }, 500, 'server_error', undefined],
    [
      'Entra does not know the resource',
      { kind: 'aadsts', at: 'token', code: 500011 },
      400,
      'invalid_target',
      undefined,
    ],
    [
      'Entra does not accept the scope',
      { kind: 'aadsts', at: 'token', code: 1002012, error: 'invalid_scope' },
      400,
      'invalid_scope',
      undefined,
    ],
  ] as const
  for (const [why, fault, status, error, retryAfter] of faults)
    test(`${error}: ${why}`, async t => {
      const here = await world.broker(t)
      const endpoints = await tokenEndpointsOf(world, here)
      emulator.fault(fault)
      const { headers, json, ...reply } = await endpoints.oauth()
      assert.deepEqual([reply.status, json['error'], headers['retry-after']], [status, error, retryAfter], reply.text)
    })
})
