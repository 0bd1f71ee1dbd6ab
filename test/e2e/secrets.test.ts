import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import type { Fault, FaultKind } from '../../emulator/faults.ts'
import { graph, send, startWorld, type TestBroker, until } from '../support/broker.ts'
import { encode, jwtBearer } from '../support/token-endpoints.ts'
import { hostileAuthority, type Said } from '../outbound/entra/authority.ts'
import { Leaks } from './leaks.ts'

const world = await startWorld()
const { emulator } = world
const environment = { LOG_LEVEL: 'trace', BROKER_UPSTREAM_TIMEOUT_MS: '300' }
const contoso = { tenant: 'contoso', scope: graph }

async function callerToken(leaks: Leaks, ...options: Parameters<typeof emulator.mintCallerToken>): Promise<string> {
  const token = await emulator.mintCallerToken(...options)
  leaks.secret("a caller's token", token)
  return token
}

/** The identity's token as Entra receives it: the emulator does not expose it, but the test's own authority receives it. */
async function learnAssertion(t: TestContext, leaks: Leaks): Promise<void> {
  const authority = await hostileAuthority(t, ({ method }) =>
    method === 'POST' ? { status: 400, body: '' } : undefined,
  )
  const broker = await world.broker(t, { environment: { BROKER_AUTHORITY: authority.url } })
  await broker.requestToken()
  const assertion = new URLSearchParams(authority.received.at(-1)?.body).get('client_assertion')
  assert.ok(assertion)
  leaks.secret('the assertion', assertion)
}

test('the search finds a secret', async () => {
  const leaks = new Leaks()
  const token = await callerToken(leaks)
  leaks.output('nothing', `eyJhbGciOi ${token.split('.')[0]}`)
  assert.deepEqual(leaks.found(), [])
  leaks.output('the signature', String(token.split('.')[2]))
  leaks.output('a piece', token.slice(-60, -20))
  leaks.output('the whole', token)
  assert.deepEqual(
    leaks.found(),
    ['the signature', 'the whole'].map(where => `a caller's token in ${where}`),
  )
})

test('no secret is in any log line, error or header, whatever callers send', async t => {
  const leaks = new Leaks()
  await learnAssertion(t, leaks)
  leaks.secret('IDENTITY_HEADER', emulator.identityHeader)
  const broker = await world.broker(t, { environment })
  void broker.service.warmUp()
  await until('ready', () => broker.service.isReady())

  const token = await callerToken(leaks)
  const json = { 'content-type': 'application/json' }
  const body = JSON.stringify(contoso)
  const bearer = `Bearer ${token}`
  const good = { ...json, authorization: bearer }
  const expired = await callerToken(leaks, {}, { expiresIn: -600 })
  const foreign = await callerToken(leaks, {}, { key: 'foreign' })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const oauth = { ...contoso, grant_type: 'client_credentials', client_assertion_type: jwtBearer }
  const basic = (user: string, password = user) => `Basic ${btoa(`${user}:${password}`)}`
  leaks.secret('HTTP Basic', btoa(token))
  const unsigned = await callerToken(leaks, {}, { header: { alg: 'none' } })
  const stranger = await callerToken(leaks, { sub: 'a-stranger' })
  const requests: readonly (readonly [body: string, headers: Record<string, string>, path?: string])[] = [
    [body, good],
    [body, good],
    [JSON.stringify({ ...contoso, tenant: 'tailspin' }), good],
    [JSON.stringify({ ...contoso, tenant: 'unknown' }), good],
    [body, { ...json, authorization: `Bearer ${expired}` }],
    [body, { ...json, authorization: `Bearer ${foreign}` }],
    [body, { ...json, authorization: `Bearer ${unsigned}` }],
    [body, { ...json, authorization: `Bearer ${stranger}` }],
    [body, { ...json, authorization: `Bearer ${token}x` }],
    [body, { ...json, authorization: `Bearer ${token.split('.')[2]}` }],
    [body, { ...json, authorization: `Basic ${token}` }],
    [body, { ...json, authorization: token }],
    [JSON.stringify({ ...contoso, tenant: token }), good],
    [JSON.stringify({ ...contoso, scope: `${token}/.default` }), good],
    [JSON.stringify({ ...contoso, application: token }), good],
    [JSON.stringify({ ...contoso, [token]: 1 }), good],
    [`${body}${token}`, good],
    [token, { ...good, 'content-type': 'text/plain' }],
    [body, { ...good, 'content-type': `application/${token}` }],
    [body, { ...good, 'x-forwarded-for': token }],
    [body, good, `/tokens?access_token=${token}`],
    [body, good, `/${token}`],
    [body, good, `/%zz${token}`],
    [encode({ ...oauth, client_secret: token }), form, '/oauth2/token'],
    [encode({ ...oauth, client_id: token, client_assertion: token }), form, '/oauth2/token'],
    [encode(oauth), { ...form, authorization: basic(token) }, '/oauth2/token'],
    [encode({ ...oauth, client_assertion: token }), { ...form, authorization: basic(token, '') }, '/oauth2/token'],
    [encode({ ...oauth, client_secret: token }), { ...form, authorization: basic(token) }, '/oauth2/token'],
    [encode({ ...oauth, client_secret: token }), form, '/contoso/oauth2/v2.0/token'],
    [encode(oauth), { ...form, authorization: `Basic ${token}` }, '/contoso/oauth2/v2.0/token'],
  ]
  for (const [sent, headers, path = '/tokens'] of requests) {
    leaks.response(
      `${path.slice(0, 20)} ${sent.slice(0, 60)}`,
      await send(broker.url + path, { method: 'POST', headers, body: sent }),
    )
  }
  await tryRaw(broker, leaks, `POST /tokens HTTP/1.1\r\nHost: x\r\nAuthorization : ${bearer}\r\n\r\n`)
  await tryRaw(broker, leaks, `POST /tokens HTTP/9.9\r\nHost: ${token}\r\nAuthorization: ${bearer}\r\n\r\n`)
  await tryRaw(broker, leaks, `GET /x HTTP/1.1\r\nHost: x\r\nAuthorization: ${bearer}${token.repeat(60)}\r\n\r\n`)
  assert.equal(broker.events('token.issued').length, 6)
  leaks.output('the log', broker.logText())
  assert.deepEqual(leaks.found(), [])
})

async function tryRaw({ url }: TestBroker, leaks: Leaks, request: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined)
  socket.setTimeout(10_000, () => socket.destroy())
  socket.write(request)
  leaks.output(`raw ${request.slice(0, 20)}`, await readText(socket))
}

const everywhere: readonly FaultKind[] = [
  'hung',
  'stalled-body',
  'reset',
  'throttled',
  'server-error',
  'html',
  'broken-json',
  'redirect',
  'huge-body',
]
const tampered: readonly FaultKind[] = [
  'wrong-tenant',
  'wrong-application',
  'wrong-audience',
  'no-expiry',
  'expired',
  'endless',
  'line-break',
  'wrong-type',
  'delegated',
]
const faults: readonly Fault[] = [
  ...(['token', 'callers'] as const).flatMap(at => everywhere.map(kind => ({ kind, at }))),
  ...tampered.map(kind => ({ kind, at: 'token' as const })),
  ...[700213, 700024, 7000229, 90002, 4242].map(code => ({ kind: 'aadsts' as const, at: 'token' as const, code })),
  { kind: 'refused', at: 'token' },
]

test('no secret is in any log line, error or header, whatever goes wrong upstream', async t => {
  const leaks = new Leaks()
  await learnAssertion(t, leaks)
  leaks.secret('IDENTITY_HEADER', emulator.identityHeader)
  for (const fault of faults) {
    const broker = await world.broker(t, { environment })
    if (fault.at !== 'callers')
      leaks.response('a successful response', await broker.requestToken({ tenant: 'fabrikam', scope: graph }))
    emulator.fault(fault)
    leaks.response(JSON.stringify(fault), await broker.requestToken(contoso, { token: await callerToken(leaks) }))
    emulator.clearFaults()
    leaks.output(`the log after ${JSON.stringify(fault)}`, broker.logText())
  }
  assert.deepEqual(leaks.found(), [])
})

const quoted = (text: string) => JSON.stringify(text).slice(1, -1)
const says = (status: number, fields: object): Said => ({ status, body: JSON.stringify(fields) })
const description = (status: number, text: string) =>
  says(status, { error: 'invalid_client', error_description: `AADSTS700213: ${text}`, error_codes: [700213] })
const page = (status: number, text: string): Said => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: `<html><body>${text}</body></html>`,
})
const opaque = 'opaque-access-token-that-no-scrubber-can-recognise'
const echoes: readonly (readonly [what: string, say: (assertion: string, form: string) => Said])[] = [
  ['the assertion in an error description', assertion => description(401, assertion)],
  ['its signature in an error description', assertion => description(401, String(assertion.split('.')[2]))],
  ['its claims in an error description', assertion => description(400, String(assertion.split('.')[1]))],
  ['it wrapped to lines', assertion => description(401, (assertion.match(/.{1,60}/g) ?? []).join('\n'))],
  ['it with spaces between its parts', assertion => description(401, assertion.replaceAll('.', ' . '))],
  ['it in a server error', assertion => description(503, String(assertion.split('.')[2]))],
  ['the form in an error description', (_, form) => description(400, form)],
  ['the form on a page with status 200', (_, form) => page(200, form)],
  ['the form on a page with status 502', (_, form) => page(502, form)],
  ['the signature on a page with status 404', assertion => page(404, String(assertion.split('.')[2]))],
  ['it as the OAuth error', assertion => says(400, { error: assertion, error_codes: [assertion] })],
  ['it as suberror and claims', assertion => says(400, { error: 'x', suberror: assertion, claims: assertion })],
  ['its parts as ids', a => says(400, { error: 'x', error_codes: [1], trace_id: a, correlation_id: a.split('.')[2] })],
  ['it in headers', a => ({ ...description(401, ''), headers: { 'x-ms-request-id': a, 'retry-after': a } })],
  ['an access token in broken JSON', () => ({ status: 200, body: `{"access_token":"${opaque}","expires_in":1` })],
  ['an access token without an expiry', () => says(200, { token_type: 'Bearer', access_token: opaque })],
  ['an access token beside an error', () => says(400, { error: opaque, access_token: opaque, error_codes: [1] })],
  ['an access token as a server error', () => says(500, { access_token: opaque, expires_in: 3599 })],
]
for (const [what, say] of echoes)
  test(`no secret that an upstream repeats appears: ${what}`, async t => {
    const leaks = new Leaks()
    leaks.secret('an access token', opaque)
    const authority = await hostileAuthority(t, ({ method, body }) => {
      if (method !== 'POST') return undefined
      const assertion = String(new URLSearchParams(body).get('client_assertion'))
      leaks.secret('the assertion', assertion)
      return say(assertion, quoted(body))
    })
    const broker = await world.broker(t, { environment: { ...environment, BROKER_AUTHORITY: authority.url } })
    const token = await callerToken(leaks)
    leaks.response('the response', await broker.requestToken(contoso, { token }))
    leaks.output('the log', broker.logText())
    assert.equal(broker.events('token.failed').length, 1)
    assert.deepEqual(leaks.found(), [])
  })
