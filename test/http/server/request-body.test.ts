import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, test, type TestContext } from 'node:test'
import { buildApp } from '../../../src/http/server/app.ts'
import { maxBodyBytes } from '../../../src/http/server/request-body.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { until } from '../../support/broker.ts'

const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])

/** A server with one route that returns the body it got, and the errors that it reports. */
async function listen(t: TestContext) {
  const errors: string[] = []
  const app = buildApp({ log, isDraining: () => false, responded: (_, code) => errors.push(code) }, [
    scope => {
      const config = { body: { mediaType: 'text/plain', parse: (bytes: Buffer) => bytes.toString() } }
      scope.post('/echo', { config }, ({ body }, reply) => reply.send(JSON.stringify(body ?? 'no body')))
    },
  ])
  t.after(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, errors }
}

const end = Buffer.from('Connection: close\r\n\r\n')
const head = 'POST /echo HTTP/1.1\r\nHost: x\r\n'
const typed = `${head}Content-Type: text/plain\r\n`
const chunk = (length: number) => `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`

/** Writes each part in a packet of its own, and returns the status and the body of the response. */
async function exchange(port: number, ...parts: readonly (string | Buffer)[]): Promise<[status: number, body: string]> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const response = text(socket)
  for (const part of parts) await new Promise(resolve => socket.write(part, () => setImmediate(resolve)))
  const [headers = '', body = ''] = (await response).split('\r\n\r\n')
  return [Number(headers.slice(9, 12)), body]
}

const whole = (length: number) => [typed, `Content-Length: ${length}\r\n`, end, 'x'.repeat(length)]
const chunked = (...lengths: readonly number[]) => [
  typed,
  'Transfer-Encoding: chunked\r\n',
  end,
  ...lengths.map(chunk),
  '0\r\n\r\n',
]
const euro = Buffer.from('€')
const read: readonly (readonly [what: string, parts: readonly (string | Buffer)[], body: string])[] = [
  ['a whole body', [typed, 'Content-Length: 2\r\n', end, 'ab'], 'ab'],
  ['a body in two packets', [typed, 'Content-Length: 2\r\n', end, 'a', 'b'], 'ab'],
  ['a character in two packets', [typed, 'Content-Length: 3\r\n', end, euro.subarray(0, 1), euro.subarray(1)], '€'],
  ['chunks', [typed, 'Transfer-Encoding: chunked\r\n', end, '1\r\na\r\n', '1\r\nb\r\n0\r\n\r\n'], 'ab'],
  ['an empty body with a type', [typed, 'Content-Length: 0\r\n', end], 'no body'],
  ['no body, with a type', [typed, end], 'no body'],
  ['chunks of which none has bytes', [typed, 'Transfer-Encoding: chunked\r\n', end, '0\r\n\r\n'], ''],
  ['no body and no type', [head, end], 'no body'],
  ['an empty body without a type', [head, 'Content-Length: 0\r\n', end], 'no body'],
  ['the longest body', whole(maxBodyBytes), 'x'.repeat(maxBodyBytes)],
  ['the longest body in chunks', chunked(maxBodyBytes - 1, 1), 'x'.repeat(maxBodyBytes)],
  ['chunks of one byte', chunked(...Array.from({ length: 3_000 }, () => 1)), 'x'.repeat(3_000)],
  ['chunks that grow', chunked(1, 2, 4, 8_000, 4_000, 3), 'x'.repeat(12_010)],
  ['a type with a parameter', [head, 'Content-Type: Text/Plain;charset=utf-8\r\nContent-Length: 1\r\n', end, 'a'], 'a'],
]
describe('reads', () => {
  for (const [what, parts, body] of read)
    test(what, async t => {
      assert.deepEqual(await exchange((await listen(t)).port, ...parts), [200, JSON.stringify(body)])
    })
})

const sized = (type: string) => [`${head}${type}Content-Length: 1\r\n`, end, 'a']
const refused: readonly (readonly [what: string, parts: readonly (string | Buffer)[], status: number])[] = [
  ['a longer body, by its Content-Length', whole(maxBodyBytes + 1), 413],
  ['a longer body in chunks', chunked(maxBodyBytes, 1), 413],
  ['a body without a type', sized(''), 415],
  ['chunks without a type', [head, 'Transfer-Encoding: chunked\r\n', end, '1\r\na\r\n0\r\n\r\n'], 415],
  ['another type', sized('Content-Type: text/html\r\n'), 415],
  ['a type that only begins like it', sized('Content-Type: text/plainer\r\n'), 415],
  ['a malformed type', sized('Content-Type: text/plain/x\r\n'), 415],
  ['an empty type', sized('Content-Type: \r\n'), 415],
  ['two types', sized('Content-Type: text/plain\r\nContent-Type: text/html\r\n'), 415],
]
describe('refuses', () => {
  for (const [what, parts, status] of refused)
    test(what, async t => {
      const [actual] = await exchange((await listen(t)).port, ...parts)
      assert.equal(actual, status)
    })
})

test('a client that goes before its body is complete ends the request once', async t => {
  const { port, errors } = await listen(t)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${typed}Content-Length: 2\r\n\r\na`)
  await once(socket, 'connect')
  socket.resetAndDestroy()
  await until('the request ended', () => errors.length > 0)
  assert.deepEqual(errors, ['invalid_request'])
  assert.deepEqual(await exchange(port, typed, 'Content-Length: 1\r\n', end, 'a'), [200, '"a"'])
  assert.deepEqual(errors, ['invalid_request'])
})

test('a POST route that does not say how it reads bodies is a bug', () => {
  const app = buildApp({ log, isDraining: () => false, responded: () => undefined }, [])
  assert.throws(() => app.post('/', (_request, reply) => reply.send('')), /config\.body/)
})
