import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { graph, observers, type Reply, sampleCaller, startWorld } from '../../support/broker.ts'
import { endpointRows, errorIn, type Fields, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** Client secrets and HTTP Basic (RFC 6749 §2.3) at every endpoint whose credential can be in a form. */

const world = await startWorld()
const key = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHabcdef'
const foreign = 'made elsewhere: ä+b/c%d:e=='
const expired = 'tb_expired'
const date = (days: number): string => new Date(world.clock.now() + days * 86_400_000).toISOString().slice(0, 10)
const keyOf = (text: string, days: number) => ({ sha256: hash('sha256', text, 'hex'), expires: date(days) })
const broker = await world.broker(
  { after },
  {
    policy: {
      apiKeys: { erp: keyOf(key, 30), foreign: keyOf(foreign, 30), old: keyOf(expired, 0) },
      rules: [
        {
          name: 'all',
          callers: [sampleCaller, { apiKey: 'erp' }, { apiKey: 'foreign' }],
          tenants: ['contoso'],
          scopes: [graph],
        },
        observers,
      ],
    },
  },
)
const endpoints = await tokenEndpointsOf(world, broker)
const { token } = endpoints
const id = sample.application
const base64 = (text: string): string => Buffer.from(text).toString('base64')
/** HTTP Basic as RFC 6749 §2.3.1 has it. */
const basic = (user: string, password = ''): string =>
  `Basic ${base64([user, password].map(text => new URLSearchParams([['', text]]).toString().slice(1)).join(':'))}`
const bearer = `Bearer ${token}`
/** Without a token in the form. */
const none = { client_assertion: undefined, client_assertion_type: undefined, client_id: id }
const withId = { client_id: id }
const withoutId = { client_id: undefined }

type Caller = Readonly<Record<string, unknown>>
const byKey = (name: string): Caller => ({ kind: 'apiKey', key: name, expires: date(30) })
const byToken = { kind: 'jwt' }
const accepted: readonly (readonly [why: string, fields: Fields, authorization: string | undefined, caller: Caller])[] =
  [
    ['an API key as client_secret', { ...none, client_secret: key }, undefined, byKey('erp')],
    ['an API key that was made elsewhere', { ...none, client_secret: foreign }, undefined, byKey('foreign')],
    ['an API key as the password of HTTP Basic', none, basic(id, key), byKey('erp')],
    ['the same, with client_id there only', { ...none, ...withoutId }, basic(id, key), byKey('erp')],
    ['characters that HTTP Basic has form-encoded', none, basic(id, foreign), byKey('foreign')],
    ['the scheme in another case, and two blanks', none, basic(id, key).replace('Basic ', 'bAsIc  '), byKey('erp')],
    ['HTTP Basic without a password beside an assertion', withId, basic(id), byToken],
    ['the same, as requests-oauthlib sends it: client_id there only', withoutId, basic(id), byToken],
    ['an empty client_secret beside an assertion', { ...withId, client_secret: '' }, undefined, byToken],
    ['an empty client_secret, and HTTP Basic without a password', { ...withId, client_secret: '' }, basic(id), byToken],
    [
      'an empty client_secret, and an API key in HTTP Basic',
      { ...none, client_secret: '' },
      basic(id, key),
      byKey('erp'),
    ],
  ]

const tooMany = /Send exactly one credential/
const notBasic = /must have the base64 of <client_id>:<client_secret>/
const wrongUser = /The user of Authorization: Basic must be the client_id/
const noKey = /The client secret is not an API key of this broker. Send an API key .* or a token as client_assertion/
const noCredential = /as client_assertion .*or an API key as client_secret/
const b400 = '400 invalid_request'
const b401 = '401 invalid_client'
const refused: readonly (readonly [
  why: string,
  fields: Fields,
  authorization: string | undefined,
  error: string,
  text: RegExp,
])[] = [
  ['nothing', none, undefined, b401, noCredential],
  ['HTTP Basic without a password alone', none, basic(id), b401, noCredential],
  ['HTTP Basic that is empty', none, basic(''), b401, noCredential],
  ['a client_secret that is no API key', { ...none, client_secret: 'wrong-secret' }, undefined, b401, noKey],
  ['an API key with a blank behind it', { ...none, client_secret: `${key} ` }, undefined, b401, noKey],
  ['a token as client_secret', { ...none, client_secret: token }, undefined, b401, noKey],
  ['a password that is no API key', none, basic(id, 'wrong-secret'), b401, noKey],
  ['a token as the password', none, basic(id, token), b401, noKey],
  ['an API key that was not form-encoded', none, `Basic ${base64(`${id}:a+b`)}`, b401, noKey],
  ['an API key that has expired', { ...none, client_secret: expired }, undefined, b401, /The API key has expired/],
  ['the same in HTTP Basic', none, basic(id, expired), b401, /The API key has expired/],
  ['a good client_secret and an assertion', { ...withId, client_secret: key }, undefined, b400, tooMany],
  [
    'a good client_secret in the form and in HTTP Basic',
    { ...none, client_secret: key },
    basic(id, key),
    b400,
    tooMany,
  ],
  ['a good client_secret twice', { ...none, client_secret: [key, key] }, undefined, b400, tooMany],
  ['a client_secret twice, one empty', { ...none, client_secret: ['', key] }, undefined, b400, tooMany],
  ['a client_secret and a bearer token', { ...none, client_secret: key }, bearer, b400, tooMany],
  ['HTTP Basic with a password beside an assertion', withId, basic(id, key), b400, /unless its password is empty/],
  ['HTTP Basic without a password, of another client', withId, basic('another'), b400, wrongUser],
  ['the same with the right client behind it', withId, basic(`${id} `), b400, wrongUser],
  ['HTTP Basic with neither user nor password', withId, basic(''), b400, wrongUser],
  ['an API key in HTTP Basic of another client', none, basic('another', key), b400, wrongUser],
  ['HTTP Basic without a value', withId, 'Basic', b400, notBasic],
  ['HTTP Basic that is not base64', withId, 'Basic *', b400, notBasic],
  ['HTTP Basic without a colon', withId, `Basic ${base64(id)}`, b400, notBasic],
  ['HTTP Basic with a percent sign that encodes nothing', none, `Basic ${base64(`${id}:%`)}`, b400, notBasic],
  ['two Authorization headers', withId, `${basic(id)}, ${bearer}`, b400, notBasic],
  ['another scheme beside an assertion', withId, 'Negotiate abc', b401, noCredential],
]

for (const { endpoint, send } of endpointRows.filter(({ endpoint: { bodyCredential } }) => bodyCredential)) {
  const request = (fields: Fields, authorization: string | undefined): Promise<Reply> =>
    send(endpoints, { fields, ...(authorization !== undefined && { headers: { authorization } }) })

  describe(`${endpoint.name}: a client authenticates with exactly one credential`, () => {
    for (const [why, fields, authorization, caller] of accepted)
      test(why, async () => {
        const reply = await request(fields, authorization)
        assert.equal(reply.status, 200, reply.text)
        assert.partialDeepStrictEqual(broker.events('token.issued').at(-1), { endpoint: endpoint.name, caller })
      })
  })

  describe(`${endpoint.name}: is refused, with what to send, and repeats no credential`, () => {
    for (const [why, fields, authorization, error, text] of refused)
      test(`${error}: ${why}`, async () => {
        const reply = await request(fields, authorization)
        assert.equal(errorIn(reply), error, reply.text)
        assert.match(String(reply.json['error_description']), text)
        const scheme = /^(basic)/i.test(authorization ?? '') ? /^Basic realm="token-broker"$/ : /^Bearer /
        if (reply.status === 401) assert.match(String(reply.headers['www-authenticate']), scheme)
        for (const secret of [key, token, expired, 'wrong-secret', base64(id)]) assert.ok(!reply.text.includes(secret))
      })
  })

  test(`${endpoint.name}: the credential is checked before the form, and the form before the policy`, async () => {
    const bad = { ...none, grant_type: 'x' }
    assert.equal((await request({ ...bad, client_secret: 'wrong-secret' }, undefined)).status, 401)
    assert.equal((await request(bad, basic('another', 'wrong-secret'))).status, 401)
    assert.equal((await request({ ...bad, client_secret: key }, undefined)).status, 400)
  })
}

test('in a token exchange, HTTP Basic names the client, and a client secret is refused', async () => {
  const { exchange } = endpoints
  assert.equal((await exchange({ client_id: id }, { authorization: basic(id) })).status, 200)
  const noSubject = { subject_token: undefined }
  const wrong: readonly (readonly [text: RegExp, reply: Promise<Reply>])[] = [
    [tooMany, exchange({ client_secret: key })],
    [tooMany, exchange({}, { authorization: basic(id, key) })],
    [wrongUser, exchange({ client_id: id }, { authorization: basic('another') })],
    [/must be in subject_token/, exchange({ ...noSubject, client_secret: key })],
    [/must be in subject_token/, exchange(noSubject, { authorization: basic(id, key) })],
  ]
  for (const [text, sent] of wrong) {
    const reply = await sent
    assert.equal(errorIn(reply), b400, reply.text)
    assert.match(reply.text, text)
  }
})

test('the reason in the log is client_secret, and no secret is in the log', () => {
  const reasons = new Set(broker.events('caller.refused').map(({ reason }) => reason))
  assert.deepEqual(reasons, new Set(['unauthenticated', 'client_secret', 'expired']))
  for (const secret of [key, foreign, expired, 'wrong-secret', token, base64(key)])
    assert.ok(!broker.logText().includes(secret), secret)
})

test('a refused client secret is counted as one', async () => {
  const { text } = await broker.get('/metrics')
  assert.match(text, /token_broker_caller_verifications_total\{issuer="",outcome="client_secret"\} [1-9]/)
})
