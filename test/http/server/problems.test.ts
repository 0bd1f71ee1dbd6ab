import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Json } from '../../../emulator/jws.ts'
import { type Reply, graph, send, startWorld } from '../../support/broker.ts'
import { sendRaw } from './raw.ts'

const world = await startWorld()
const { emulator } = world
const broker = await world.broker({ after })
const body = JSON.stringify({ tenant: 'contoso', scope: graph })
const authorization = `Bearer ${await emulator.mintCallerToken()}`
const json = { authorization, 'content-type': 'application/json' }

/** What every problem has, whatever its code. */
function assertProblem(reply: Reply, status: number, code: string): Json {
  const { headers, json: problem } = reply
  assert.deepEqual([reply.status, problem['code']], [status, code], reply.text)
  assert.match(String(headers['content-type']), /^application\/problem\+json(; charset=utf-8)?$/)
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(problem['type'], `urn:token-broker:error:${code}`)
  assert.equal(problem['status'], status)
  for (const field of ['title', 'detail', 'request_id']) assert.match(String(problem[field]), /^\S.*\S$/, field)
  return problem
}

interface Row {
  readonly what: string
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly expected: readonly [status: number, code: string]
  readonly allow?: string
}
const mediaType = [415, 'unsupported_media_type'] as const
const badRequest = [400, 'invalid_request'] as const
const notFound = [404, 'not_found'] as const
const notAllowed = [405, 'method_not_allowed'] as const
const rows: readonly Row[] = [
  { what: 'an unknown path', path: '/nothing', expected: notFound },
  { what: 'an unknown path under one that is known', path: '/tokens/contoso', expected: notFound },
  { what: 'a path with a slash too many', path: '/tokens/', expected: notFound },
  { what: 'a path in another case', path: '/Tokens', expected: notFound },
  { what: 'a path like a property of every object', path: '/constructor', expected: notFound },
  { what: 'no path', path: '/', expected: notFound },
  { what: 'a GET of the tokens', path: '/tokens', method: 'GET', expected: notAllowed, allow: 'POST, DELETE' },
  {
    what: 'a PUT of the tokens, with a body',
    path: '/tokens',
    method: 'PUT',
    headers: json,
    body,
    expected: notAllowed,
    allow: 'POST, DELETE',
  },
  {
    what: 'a GET of the tokens with a query',
    path: '/tokens?x=/y',
    method: 'GET',
    expected: notAllowed,
    allow: 'POST, DELETE',
  },
  {
    what: 'an OPTIONS of the tokens: CORS is not supported',
    path: '/tokens',
    method: 'OPTIONS',
    expected: notAllowed,
    allow: 'POST, DELETE',
  },
  { what: 'a POST to a probe', path: '/livez', expected: notAllowed, allow: 'GET' },
  { what: 'bad percent-encoding in the path', path: '/%zz', expected: badRequest },
  { what: 'percent-encoding that is not UTF-8', path: '/%ff', method: 'GET', expected: badRequest },
  { what: 'no content type', headers: { authorization }, body, expected: mediaType },
  { what: 'text/plain', headers: { ...json, 'content-type': 'text/plain' }, body, expected: mediaType },
  {
    what: 'a form',
    headers: { ...json, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'tenant=contoso',
    expected: mediaType,
  },
  { what: 'an invalid content type', headers: { ...json, 'content-type': 'json' }, body, expected: mediaType },
  {
    what: 'JSON of another kind',
    headers: { ...json, 'content-type': 'application/jsonx' },
    body,
    expected: mediaType,
  },
  { what: 'malformed JSON', headers: json, body: '{"tenant":', expected: badRequest },
  { what: 'JSON with something after it', headers: json, body: `${body}x`, expected: badRequest },
  { what: 'a trailing comma', headers: json, body: body.replace('}', ',}'), expected: badRequest },
  { what: 'an empty body', headers: json, body: '', expected: badRequest },
  {
    what: 'a body of one byte too many',
    headers: json,
    body: body.padEnd(16 * 1024 + 1),
    expected: [413, 'too_large'],
  },
  { what: 'a body far too large', headers: json, body: body.padEnd(1_000_000), expected: [413, 'too_large'] },
]
for (const { what, path = '/tokens', method = 'POST', headers = {}, body: sent, expected, allow } of rows)
  test(`${what} is ${expected.join(' ')}`, async () => {
    const reply = await send(broker.url + path, { method, headers, ...(sent !== undefined && { body: sent }) })
    assertProblem(reply, ...expected)
    assert.equal(reply.headers.allow, allow)
  })

const accepted = [
  ['a body of 16 KiB', json, body.padEnd(16 * 1024)],
  ['a content type with a charset', { ...json, 'content-type': 'application/json; charset=utf-8' }, body],
  ['a content type in upper case', { ...json, 'content-type': 'Application/JSON' }, body],
] as const
for (const [what, headers, sent] of accepted)
  test(`${what} is accepted`, async () => {
    assert.equal((await send(`${broker.url}/tokens`, { method: 'POST', headers, body: sent })).status, 200)
  })

const post = (headers: string, sent: string) =>
  `POST /tokens HTTP/1.1\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\n${headers}\r\n${sent}`
const close = 'Host: x\r\nConnection: close\r\n'
const rawRows: readonly (readonly [what: string, request: string, status: number, code: string])[] = [
  [
    'headers over 16 KiB',
    `GET /livez HTTP/1.1\r\nHost: x\r\nX-Y: ${'a'.repeat(17_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  ['a path over 16 KiB', `GET /${'a'.repeat(17_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'headers_too_large'],
  ['something that is not HTTP', 'HELO there\r\n\r\n', ...badRequest],
  ['a TLS handshake', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n', ...badRequest],
  ['an unknown HTTP version', 'GET /livez HTTP/3.7\r\nHost: x\r\n\r\n', ...badRequest],
  ['a blank before the colon of a header', `GET /livez HTTP/1.1\r\nHost : x\r\n\r\n`, ...badRequest],
  ['a folded header', `GET /livez HTTP/1.1\r\nHost: x\r\nX-Y: a\r\n b\r\nConnection: close\r\n\r\n`, ...badRequest],
  [
    'an expectation that the broker does not support',
    `GET /livez HTTP/1.1\r\n${close}Expect: tea\r\n\r\n`,
    ...badRequest,
  ],
  ['a proxy request', 'CONNECT graph.microsoft.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', ...badRequest],
  [
    'two credentials',
    `POST /tokens HTTP/1.1\r\n${close}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`,
    401,
    'invalid_token',
  ],
  ['no Host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', ...badRequest],
  [
    'a length and chunks at once: request smuggling',
    post(`${close}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n`, '0\r\n\r\n'),
    ...badRequest,
  ],
  ['two lengths: request smuggling', post(`${close}Content-Length: 1\r\nContent-Length: 2\r\n`, '{}'), ...badRequest],
  ['a length that is not a number', post(`${close}Content-Length: two\r\n`, '{}'), ...badRequest],
  ['a length that cuts the body', post(`${close}Content-Length: ${body.length - 1}\r\n`, body), ...badRequest],
  ['invalid chunks', post(`${close}Transfer-Encoding: chunked\r\n`, 'zz\r\n\r\n'), ...badRequest],
]
for (const [what, request, status, code] of rawRows)
  test(`on the wire, ${what} is ${status} ${code}`, async () => {
    const reply = await sendRaw(broker.url, request)
    assertProblem(reply, status, code)
    assert.equal(reply.headers.connection, 'close')
  })

test('the probes return nothing but the verdict', async () => {
  const { status, headers, text } = await send(`${broker.url}/livez`)
  assert.deepEqual([status, text, headers['cache-control']], [200, '{"status":"ok"}', 'no-store'])
  assert.deepEqual((await send(`${broker.url}/readyz`)).text, '{"status":"not ready"}')
})

test('a request id is never repeated, and never chosen by the caller', async () => {
  const request = () => send(`${broker.url}/nothing`, { headers: { 'request-id': 'mine', 'x-request-id': 'mine' } })
  const ids = await Promise.all([1, 2, 3].map(async () => String((await request()).json['request_id'])))
  assert.equal(new Set(ids).size, 3)
  assert.ok(!ids.includes('mine'))
})

test('an unexpected error is 500 without details, and the log has it with the request id', async t => {
  const here = await world.broker(t)
  const token = await emulator.mintCallerToken()
  assert.equal((await here.requestToken(body, { token })).status, 200)
  // The one part that a test can break from outside: the cache reads the clock for every request.
  const { monotonic } = world.clock
  t.after(() => Object.assign(world.clock, { monotonic }))
  world.clock.monotonic = () => {
    throw new TypeError('the-secret-of-the-bug')
  }
  const reply = await here.requestToken(body, { token })
  world.clock.monotonic = monotonic
  const problem = assertProblem(reply, 500, 'internal_error')
  assert.ok(!reply.text.includes('secret-of-the-bug') && !reply.text.includes('TypeError'))
  const lines = here.logLines().filter(line => line['request_id'] === problem['request_id'])
  assert.ok(JSON.stringify(lines).includes('the-secret-of-the-bug'))
  assert.ok(JSON.stringify(lines).includes('problems.test.ts'), 'the stack is in the log')
  assert.equal((await here.requestToken()).status, 200)
})
