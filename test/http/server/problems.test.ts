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

/** What every problem has, whatever the occasion. */
function assertProblem(reply: Reply, status: number, code: string): Json {
  const { headers, json: problem } = reply
  assert.deepEqual([reply.status, problem['code']], [status, code], reply.text)
  assert.match(String(headers['content-type']), /^application\/problem\+json(; charset=utf-8)?$/)
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(problem['type'], `urn:token-broker:error:${code}`)
  assert.equal(problem['status'], status)
  for (const member of ['title', 'detail', 'request_id']) assert.match(String(problem[member]), /^\S.*\S$/, member)
  return problem
}

interface Row {
  readonly what: string
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly answer: readonly [status: number, code: string]
  readonly allow?: string
}
const mediaType = [415, 'unsupported_media_type'] as const
const badRequest = [400, 'invalid_request'] as const
const notFound = [404, 'not_found'] as const
const notAllowed = [405, 'method_not_allowed'] as const
const rows: readonly Row[] = [
  { what: 'an unknown path', path: '/nothing', answer: notFound },
  { what: 'an unknown path under one that is known', path: '/tokens/contoso', answer: notFound },
  { what: 'a path with a slash too many', path: '/tokens/', answer: notFound },
  { what: 'a path in another case', path: '/Tokens', answer: notFound },
  { what: 'a path like a member of every object', path: '/constructor', answer: notFound },
  { what: 'no path', path: '/', answer: notFound },
  { what: 'a GET of the tokens', path: '/tokens', method: 'GET', answer: notAllowed, allow: 'POST, DELETE' },
  {
    what: 'a PUT of the tokens, with a body',
    path: '/tokens',
    method: 'PUT',
    headers: json,
    body,
    answer: notAllowed,
    allow: 'POST, DELETE',
  },
  {
    what: 'a GET of the tokens with a query',
    path: '/tokens?x=/y',
    method: 'GET',
    answer: notAllowed,
    allow: 'POST, DELETE',
  },
  {
    what: 'an OPTIONS of the tokens: no browser is served',
    path: '/tokens',
    method: 'OPTIONS',
    answer: notAllowed,
    allow: 'POST, DELETE',
  },
  { what: 'a POST to a probe', path: '/livez', answer: notAllowed, allow: 'GET' },
  { what: 'bad percent-encoding in the path', path: '/%zz', answer: badRequest },
  { what: 'percent-encoding that is no UTF-8', path: '/%ff', method: 'GET', answer: badRequest },
  { what: 'no content type', headers: { authorization }, body, answer: mediaType },
  { what: 'text/plain', headers: { ...json, 'content-type': 'text/plain' }, body, answer: mediaType },
  {
    what: 'a form',
    headers: { ...json, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'tenant=contoso',
    answer: mediaType,
  },
  { what: 'a content type that is none', headers: { ...json, 'content-type': 'json' }, body, answer: mediaType },
  { what: 'JSON of another kind', headers: { ...json, 'content-type': 'application/jsonx' }, body, answer: mediaType },
  { what: 'malformed JSON', headers: json, body: '{"tenant":', answer: badRequest },
  { what: 'JSON with something behind it', headers: json, body: `${body}x`, answer: badRequest },
  { what: 'a trailing comma', headers: json, body: body.replace('}', ',}'), answer: badRequest },
  { what: 'an empty body', headers: json, body: '', answer: badRequest },
  { what: 'a body of one byte too many', headers: json, body: body.padEnd(16 * 1024 + 1), answer: [413, 'too_large'] },
  { what: 'a body far too large', headers: json, body: body.padEnd(1_000_000), answer: [413, 'too_large'] },
]
for (const { what, path = '/tokens', method = 'POST', headers = {}, body: sent, answer, allow } of rows)
  test(`${what} is ${answer.join(' ')}`, async () => {
    const reply = await send(broker.url + path, { method, headers, ...(sent !== undefined && { body: sent }) })
    assertProblem(reply, ...answer)
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
  ['what is no HTTP', 'HELO there\r\n\r\n', ...badRequest],
  ['what is TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n', ...badRequest],
  ['an unknown HTTP version', 'GET /livez HTTP/3.7\r\nHost: x\r\n\r\n', ...badRequest],
  ['a blank before the colon of a header', `GET /livez HTTP/1.1\r\nHost : x\r\n\r\n`, ...badRequest],
  [
    'a header that is folded',
    `GET /livez HTTP/1.1\r\nHost: x\r\nX-Y: a\r\n b\r\nConnection: close\r\n\r\n`,
    ...badRequest,
  ],
  ['an expectation that nobody meets', `GET /livez HTTP/1.1\r\n${close}Expect: tea\r\n\r\n`, ...badRequest],
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
  ['a length that is no number', post(`${close}Content-Length: two\r\n`, '{}'), ...badRequest],
  ['a length that cuts the body', post(`${close}Content-Length: ${body.length - 1}\r\n`, body), ...badRequest],
  ['chunks that are none', post(`${close}Transfer-Encoding: chunked\r\n`, 'zz\r\n\r\n'), ...badRequest],
]
for (const [what, request, status, code] of rawRows)
  test(`on the wire, ${what} is ${status} ${code}`, async () => {
    const reply = await sendRaw(broker.url, request)
    assertProblem(reply, status, code)
    assert.equal(reply.headers.connection, 'close')
  })

test('the probes say nothing but the verdict', async () => {
  const { status, headers, text } = await send(`${broker.url}/livez`)
  assert.deepEqual([status, text, headers['cache-control']], [200, '{"status":"ok"}', 'no-store'])
  assert.deepEqual((await send(`${broker.url}/readyz`)).text, '{"status":"not ready"}')
})

test('request ids are never twice the same, and never the caller’s', async () => {
  const ask = () => send(`${broker.url}/nothing`, { headers: { 'request-id': 'mine', 'x-request-id': 'mine' } })
  const ids = await Promise.all([1, 2, 3].map(async () => String((await ask()).json['request_id'])))
  assert.equal(new Set(ids).size, 3)
  assert.ok(!ids.includes('mine'))
})

test('an unforeseen bug is 500, says nothing about itself, and the log has it under the request id', async t => {
  const here = await world.broker(t)
  const token = await emulator.mintCallerToken()
  assert.equal((await here.ask(body, { token })).status, 200)
  // The one seam that a test can break from outside: the cache reads the clock for every request.
  const { monotonic } = world.clock
  t.after(() => Object.assign(world.clock, { monotonic }))
  world.clock.monotonic = () => {
    throw new TypeError('the-secret-of-the-bug')
  }
  const reply = await here.ask(body, { token })
  world.clock.monotonic = monotonic
  const problem = assertProblem(reply, 500, 'internal_error')
  assert.ok(!reply.text.includes('secret-of-the-bug') && !reply.text.includes('TypeError'))
  const lines = here.logLines().filter(line => line['request_id'] === problem['request_id'])
  assert.ok(JSON.stringify(lines).includes('the-secret-of-the-bug'))
  assert.ok(JSON.stringify(lines).includes('problems.test.ts'), 'the stack is in the log')
  assert.equal((await here.ask()).status, 200)
})
