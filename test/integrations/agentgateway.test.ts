import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { errorIn, type Fields, encode } from '../support/token-endpoints.ts'
import { type Reply, sampleCaller, send, startWorld } from '../support/broker.ts'
import { customers, documentsOf, valueAt } from './customers.ts'

/**
 * examples/gateways/agentgateway.yaml, with the request that agentgateway v1.4.1 makes of it: `build_token_request_form` and
 * `build_token_request` in crates/agentgateway/src/http/auth/oauth/transport.rs, and how `into_token` and
 * `classify_token_endpoint_error` there read the response. The gateway itself does not run here.
 */

const accessToken = 'urn:ietf:params:oauth:token-type:access_token'
const target = ['binds', 0, 'listeners', 0, 'routes', 0, 'backends', 0, 'mcp', 'targets', 0] as const
const [document] = documentsOf('gateways/agentgateway.yaml')
const example = valueAt(document, ...target, 'policies', 'backendAuth', 'oauthTokenExchange') as Exchange

/** The fields of `oauthTokenExchange` that make the request. */
interface Exchange {
  readonly host: string
  readonly path: string
  readonly audiences?: readonly string[]
  readonly scopes?: readonly string[]
  readonly resources?: readonly string[]
  readonly requestedTokenType?: string
  /** CEL expressions; here they are texts. */
  readonly additionalParams: Readonly<Record<string, string>>
  readonly clientAuth?: { readonly method?: string; readonly clientId: string; readonly clientSecret?: string }
  readonly actorToken?: { readonly tokenType?: string }
}

const world = await startWorld(customers)
const scope = 'api://orders/.default'
const rules = [{ name: 'agents', callers: [sampleCaller], tenants: ['contoso'], scopes: [scope] }]
const broker = await world.broker({ after }, { policy: { rules } })
const caller = await world.emulator.mintCallerToken()

/** The form's parameters in the gateway's order. v1.4.1 requests an access token by name unless its configuration says otherwise. */
function formOf(exchange: Exchange, subject: string): Fields {
  const { actorToken, requestedTokenType = accessToken, scopes, clientAuth } = exchange
  const inForm = clientAuth?.method === 'clientSecretPost' ? clientAuth : undefined
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subject,
    subject_token_type: accessToken,
    ...(actorToken && { actor_token: caller, actor_token_type: actorToken.tokenType ?? accessToken }),
    requested_token_type: requestedTokenType === '' ? undefined : requestedTokenType,
    audience: exchange.audiences,
    scope: scopes?.join(' '),
    resource: exchange.resources,
    ...Object.fromEntries(Object.entries(exchange.additionalParams).map(([name, cel]) => [name, textOf(cel)])),
    ...(inForm && { client_id: inForm.clientId, client_secret: inForm.clientSecret }),
  }
}

/** The value of a CEL expression that is a text alone. */
const textOf = (cel: string): string => JSON.parse(cel) as string

function request(changes: Partial<Exchange> = {}, subject = caller): Promise<Reply> {
  const exchange = { ...example, ...changes }
  const { method = 'clientSecretBasic', clientId, clientSecret = '' } = exchange.clientAuth ?? { clientId: '' }
  const isBasic = exchange.clientAuth !== undefined && method === 'clientSecretBasic'
  const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
  return send(broker.url, {
    path: exchange.path,
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      ...(isBasic && { authorization: `Basic ${basic}` }),
    },
    body: encode(formOf(exchange, subject)),
  })
}

describe('the example', () => {
  test("exchanges the caller's token for one of the customer's tenant, and the response is as the gateway reads it", async () => {
    const { status, json, text } = await request()
    assert.equal(status, 200, text)
    assert.deepEqual([json['token_type'], json['issued_token_type']], ['Bearer', accessToken])
    assert.ok(Number.isInteger(json['expires_in']) && Number(json['expires_in']) > 0)
    const claims = decodeJws(String(json['access_token']))?.payload
    assert.equal(claims?.['tid'], sample.contoso)
  })

  test('uses https, and the path of the token endpoint', () => {
    assert.match(example.host, /:443$/)
    assert.deepEqual(valueAt(example, 'policies', 'backendTLS'), {})
    assert.equal(example.path, '/oauth2/token')
  })

  test('the audit log has the caller of the gateway, not the gateway', async () => {
    await request()
    assert.partialDeepStrictEqual(broker.events('token.issued').at(-1)?.['caller'], { subject: 'sample-caller' })
  })
})

type Row = readonly [why: string, changes: Partial<Exchange>]
const accepted: readonly Row[] = [
  ['without requested_token_type, as after v1.4.1', { requestedTokenType: '' }],
  ['audiences in place of resources', { resources: [], audiences: ['api://orders'] }],
  ['scopes in place of resources', { resources: [], scopes: [scope] }],
  ['scopes besides resources, with openid', { scopes: ['openid', scope] }],
  [
    'clientSecretPost with a client id alone: it names the gateway',
    { clientAuth: { method: 'clientSecretPost', clientId: 'gateway' } },
  ],
]
describe('other settings that work', () => {
  for (const [why, changes] of accepted)
    test(why, async () => {
      const { status, json, text } = await request(changes)
      assert.deepEqual([status, json['scope']], [200, scope], text)
    })
})

/** The gateway reports 400 as an error of its caller, and 401, 403 and 5xx as one of its own set-up. */
const refused: readonly (readonly [...Row, error: string])[] = [
  [
    'clientSecretBasic: the secret would be a second credential',
    { clientAuth: { clientId: 'gateway', clientSecret: 'x' } },
    '400 invalid_request',
  ],
  [
    'clientSecretPost with a secret, for the same reason',
    { clientAuth: { method: 'clientSecretPost', clientId: 'gateway', clientSecret: 'x' } },
    '400 invalid_request',
  ],
  ['an actor: the broker does not delegate', { actorToken: {} }, '400 invalid_request'],
  [
    'a JWT by name: only the resource knows whether its token is one',
    { requestedTokenType: 'urn:ietf:params:oauth:token-type:jwt' },
    '400 invalid_request',
  ],
  ['two resources', { resources: ['api://orders', 'https://graph.microsoft.com'] }, '400 invalid_target'],
  ['a resource that is not granted', { resources: ['https://graph.microsoft.com'] }, '400 invalid_target'],
  ['a tenant that is not granted', { additionalParams: { tenant: '"fabrikam"' } }, '400 invalid_target'],
  ['no tenant', { additionalParams: {} }, '400 invalid_request'],
]
describe('what is refused, and with which error', () => {
  for (const [why, changes, error] of refused)
    test(`${error}: ${why}`, async () => assert.equal(errorIn(await request(changes)), error))

  const subjects: readonly (readonly [why: string, claims: Json])[] = [
    ["a token for the gateway's audience and not for the broker's", { aud: 'https://gateway.example' }],
    ['an expired token', { exp: 1 }],
  ]
  for (const [why, claims] of subjects)
    test(`400 invalid_request: ${why} as the subject`, async () => {
      const reply = await request({}, await world.emulator.mintCallerToken(claims))
      assert.equal(errorIn(reply), '400 invalid_request', reply.text)
    })
})
