import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createAuthority } from '../../../emulator/certificates.ts'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { graph, startWorld, until } from '../../support/broker.ts'
import { eventLoop } from '../../support/event-loop.ts'
import { sampleMs } from '../../../src/http/server/load-shedding.ts'
import { secret, startAgent } from '../../agent/world.ts'

const world = await startWorld()
const loop = eventLoop(false)
const ca = createAuthority('broker CA')
const { certPem, keyPem } = ca.issue()
const folder = mkdtempSync(join(tmpdir(), 'token-broker-early-'))
const tlsFiles = { TLS_CERT_FILE: join(folder, 'cert.pem'), TLS_KEY_FILE: join(folder, 'key.pem') }
writeFileSync(tlsFiles.TLS_CERT_FILE, certPem)
writeFileSync(tlsFiles.TLS_KEY_FILE, keyPem)
const broker = await world.broker({ after }, { environment: { MANAGEMENT_PORT: '0' } })
const secure = await world.broker({ after }, { environment: tlsFiles })
const shedding = await world.broker({ after }, { loop })
const agent = await startAgent({ after }, world, broker)
const token = await world.emulator.mintCallerToken()
const bearer = `Authorization: Bearer ${token}\r\n`
const json = 'Content-Type: application/json\r\n'
const form = 'Content-Type: application/x-www-form-urlencoded\r\n'

interface Connection {
  /** Everything received so far. */
  readonly received: () => string
  readonly ended: () => boolean
  readonly closed: () => boolean
  readonly write: (text: string) => void
}

/** Opens a connection that only closes if the server does. */
function open(t: { after: (end: () => void) => void }, url: string): Connection {
  const port = Number(new URL(url).port)
  const tls = url.startsWith('https:')
  const socket = tls
    ? connectTls({ port, host: '127.0.0.1', ca: ca.caPem })
    : connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => socket.destroy())
  const state = { text: '', ended: false, closed: false }
  socket.on('data', chunk => (state.text += chunk.toString()))
  socket.on('end', () => (state.ended = true))
  socket.on('error', () => (state.closed = true))
  socket.on('close', () => (state.closed = true))
  return {
    received: () => state.text,
    ended: () => state.ended,
    closed: () => state.closed,
    write: text => void (socket.writable && socket.write(text)),
  }
}

const length = 'Content-Length: 500\r\n'
const tooLong = 'Content-Length: 500000\r\n'
const chunked = 'Transfer-Encoding: chunked\r\n'
const urls = { broker: broker.url, management: broker.managementUrl, tls: secure.url, agent: agent.url }
const rows: readonly (readonly [
  what: string,
  at: keyof typeof urls,
  start: string,
  headers: string,
  status: number,
])[] = [
  ['no credential', 'broker', 'POST /tokens', json + length, 401],
  ['no credential, chunked', 'broker', 'POST /tokens', json + chunked, 401],
  ['a bad credential', 'broker', 'POST /tokens', `Authorization: Bearer x\r\n${json}${length}`, 401],
  ['a bad JWT', 'broker', 'POST /tokens', `Authorization: Bearer ${token.slice(0, -9)}AAAAAAAAA\r\n${length}`, 401],
  ['a form with a bad header', 'broker', 'POST /oauth2/token', `Authorization: Bearer x\r\n${form}${length}`, 401],
  ['another media type', 'broker', 'POST /tokens', `${bearer}${form}${length}`, 415],
  ['a body that is too long', 'broker', 'POST /tokens', `${bearer}${json}${tooLong}`, 413],
  ['a form that is too long', 'broker', 'POST /contoso/oauth2/v2.0/token', form + tooLong, 413],
  ['an unknown path', 'broker', 'POST /nothing', json + length, 404],
  ['another method', 'broker', 'PUT /tokens', json + length, 405],
  ['a path that is not a path', 'broker', 'POST /%zz', json + length, 400],
  ['a body where there is none: a GET', 'tls', 'GET /livez', length, 200],
  ['a body where there is none: an error', 'broker', 'GET /identity/contoso/token', length, 401],
  ['a DELETE', 'broker', 'DELETE /tokens?all=true', length, 401],
  ['no credential', 'management', 'GET /health', length, 401],
  ['a probe', 'management', 'GET /readyz', chunked, 503],
  ['an unknown path', 'management', 'POST /nothing', length, 404],
  ['no credential', 'tls', 'POST /tokens', json + length, 401],
  ['an unknown path', 'tls', 'POST /nothing', length, 404],
  ['no credential', 'agent', 'POST /tokens', json + length, 401],
  ['a body that is too long', 'agent', 'POST /tokens', `Authorization: Bearer ${secret}\r\n${json}${tooLong}`, 413],
  ['an unknown path', 'agent', 'POST /nothing', length, 404],
  ['a GET', 'agent', 'GET /identity/token', length, 401],
]

describe('a response that is sent before the body has arrived closes its connection', { concurrency: 8 }, () => {
  for (const [what, at, start, headers, status] of rows)
    test(`${status} for ${what}, at ${at}`, async t => {
      const connection = open(t, urls[at])
      connection.write(`${start} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`)
      await until('the response', () => connection.ended(), 5)
      assert.match(connection.received(), new RegExp(`^HTTP/1\\.1 ${status} `))
      assert.match(connection.received(), /\r\nconnection: close\r\n/i)
      // The peer has not ended its side. A write shows whether the server has.
      await until('the socket is destroyed', () => (connection.write('x'), connection.closed()), 5)
    })

  test('503 while requests are shed', async t => {
    loop.late = true
    const connection = open(t, shedding.url)
    await new Promise(resolve => setTimeout(resolve, 5 * sampleMs))
    connection.write(`POST /tokens HTTP/1.1\r\nHost: x\r\n${bearer}${json}${length}\r\n`)
    await until('the response', () => connection.ended(), 5)
    assert.match(connection.received(), /^HTTP\/1\.1 503 [^]*connection: close\r\n/i)
  })

  test('the response arrives although the whole body is sent after it', async t => {
    const connection = open(t, broker.url)
    connection.write(`POST /tokens HTTP/1.1\r\nHost: x\r\n${json}${tooLong}\r\n`)
    for (let sent = 0; sent < 500_000; sent += 10_000) connection.write('x'.repeat(10_000))
    await until('the response', () => connection.ended(), 5)
    assert.match(connection.received(), /"code":"unauthenticated"/)
  })
})

test('a response to a complete request keeps its connection, whatever it is', async t => {
  const body = JSON.stringify({ tenant: 'contoso', scope: graph })
  const connection = open(t, broker.url)
  const send = (headers: string) =>
    connection.write(
      `POST /tokens HTTP/1.1\r\nHost: x\r\n${json}${headers}Content-Length: ${body.length}\r\n\r\n${body}`,
    )
  send(bearer)
  await until('the first response', () => connection.received().includes('access_token'))
  connection.write('GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n')
  await until('the second response', () => connection.received().includes('not_found'))
  send(bearer)
  await until('the third response', () => connection.received().split('access_token').length > 2)
  assert.doesNotMatch(connection.received(), /connection: close/i)
})

describe(
  'a request in the bytes after an early response is neither answered nor carried out',
  { concurrency: 8 },
  () => {
    const stolen = `POST /tokens HTTP/1.1\r\nHost: x\r\n${bearer}${json}`
    const body = JSON.stringify({ tenant: 'contoso', scope: graph })
    const smuggled = `${stolen}Content-Length: ${body.length}\r\n\r\n${body}`
    const first = `POST /tokens HTTP/1.1\r\nHost: x\r\n${json}Content-Length: 10\r\n\r\n`
    const bytes: readonly (readonly [what: string, text: string])[] = [
      ['a good request', smuggled],
      ['a request that is not HTTP', 'HELLO\r\n\r\n'],
      ['CONNECT', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
      ['an expectation', 'GET /livez HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n'],
      ['a path that is not a path', 'GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n'],
    ]
    for (const [what, text] of bytes)
      for (const [when, waits] of [
        ['in the same packet', false],
        ['after the response', true],
      ] as const)
        test(`${what}, ${when}`, async t => {
          const here = await world.broker(t)
          const connection = open(t, here.url)
          connection.write(waits ? first : `${first}0123456789${text}`)
          await until('the response', () => connection.received().includes('unauthenticated'), 5)
          if (waits) connection.write(`0123456789${text}`)
          await until('the end', () => connection.ended(), 5)
          await until('the socket is destroyed', () => (connection.write('x'), connection.closed()), 5)
          assert.equal(connection.received().split('HTTP/1.1 ').length, 2, connection.received())
          assert.equal(here.events('token.issued').length, 0)
        })
  },
)
