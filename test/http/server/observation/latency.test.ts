import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, test, type TestContext } from 'node:test'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { buildApp, type AppOptions } from '../../../../src/http/server/app.ts'
import { mostTimed, reportResponses, RequestTiming } from '../../../../src/http/server/observation/latency.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { createLogs } from '../../../../src/telemetry/log.ts'
import { send, TestClock, until } from '../../../support/broker.ts'

const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])

interface Served {
  readonly clock: TestClock
  readonly port: number
  /** The next `endpoint class seconds`, as it is reported. */
  readonly next: () => Promise<string>
  /** The number of requests that were reported. */
  readonly timed: () => number
  /** Settles when the server begins to read a body. */
  readonly reads: Promise<void>
}

/** A server whose clock moves only as its routes, or the test, say. */
async function serve(t: TestContext): Promise<Served> {
  const clock = new TestClock()
  const reported: string[] = []
  let count = 0
  const waiting: ((text: string) => void)[] = []
  const reading = Promise.withResolvers<void>()
  const responseReady: NonNullable<NonNullable<AppOptions['observation']>['timing']>['responseReady'] = (...facts) => {
    count += 1
    const line = `${facts[0]} ${facts[1]} ${facts[2]}`
    const listener = waiting.shift()
    if (listener) listener(line)
    else reported.push(line)
  }
  const timing = { monotonic: clock.monotonic, responseReady }
  const app = buildApp({ log, isDraining: () => false, responded: () => undefined, observation: { timing } }, [
    scope => {
      reportResponses(scope)
      scope.addHook('onRequest', (request, _reply, done) => {
        clock.advance(1)
        if (request.method === 'POST') scope.timing?.waitForBody(request)
        setImmediate(done)
        reading.resolve()
      })
      const twoSeconds = {
        url: '/two-seconds',
        config: { endpoint: 'tokens' },
        handler: (_request: FastifyRequest, reply: FastifyReply) => {
          clock.advance(2)
          return reply.send('{}')
        },
      }
      scope.route({ ...twoSeconds, method: 'GET' })
      const body = { mediaType: 'text/plain', parse: String }
      scope.route({ ...twoSeconds, method: 'POST', config: { ...twoSeconds.config, body } })
      scope.get('/:status', { config: { endpoint: 'health' } }, ({ params }) => {
        const { status } = params as { status: string }
        throw status === '503' ? new BrokerError('overloaded', 'Full.') : new Error('a bug')
      })
    },
  ])
  t.after(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const next = () =>
    new Promise<string>(resolve => {
      const line = reported.shift()
      if (line === undefined) waiting.push(resolve)
      else resolve(line)
    })
  return { clock, port: (app.server.address() as AddressInfo).port, next, timed: () => count, reads: reading.promise }
}

async function open(t: TestContext, { port }: Served, bytes: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  socket.write(bytes)
  return socket
}

const post = (length: number) =>
  `POST /two-seconds HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n`

test('a server begins a new tenth of a second by itself', async t => {
  const served = await serve(t)
  for (let sent = 0; sent < 3 * mostTimed; sent += 1)
    await until('a request is timed', async () => {
      const { timed } = served
      const before = timed()
      await send(`http://127.0.0.1:${served.port}/two-seconds`)
      return timed() > before
    })
})

test('a hundred requests are timed in a tenth of a second, and the rest is not', () => {
  let reported = 0
  const timing = new RequestTiming({ monotonic: () => 1, responseReady: () => (reported += 1) })
  const request = (): void => {
    const fields = { began: Number.NaN, waitsSince: Number.NaN } as FastifyRequest
    timing.begin(fields)
    timing.report(fields, 'tokens', 'cached')
  }
  for (const expected of [100, 200]) {
    for (let sent = 0; sent <= mostTimed; sent += 1) request()
    assert.equal(reported, expected)
    timing.refill()
  }
})

describe('the duration of a request is what the broker itself needs for it', () => {
  const rows: readonly (readonly [what: string, bytes: string, expected: string])[] = [
    ['authentication and handler, without a body', 'GET /two-seconds HTTP/1.1\r\nHost: x\r\n\r\n', 'tokens ok 3'],
    ['authentication and handler, with a body', `${post(2)}hi`, 'tokens ok 3'],
    ['a path that no endpoint has', 'GET /no/where HTTP/1.1\r\nHost: x\r\n\r\n', 'none client_error 0'],
    ['a request that is refused first of all', 'GET /two-seconds HTTP/1.1\r\n\r\n', 'tokens client_error 0'],
    ['an error of the broker', 'GET /503 HTTP/1.1\r\nHost: x\r\n\r\n', 'health server_error 1'],
    ['a bug', 'GET /500 HTTP/1.1\r\nHost: x\r\n\r\n', 'health server_error 1'],
    [
      'a method that the endpoint does not have',
      'DELETE /two-seconds HTTP/1.1\r\nHost: x\r\n\r\n',
      'none client_error 0',
    ],
  ]
  for (const [what, bytes, expected] of rows)
    test(what, async t => {
      const served = await serve(t)
      await open(t, served, bytes)
      assert.equal(await served.next(), expected)
    })

  test('a client that sends its body slowly does not make the broker look slow', async t => {
    const served = await serve(t)
    const socket = await open(t, served, post(2))
    await served.reads
    served.clock.advance(14)
    socket.write('hi')
    assert.equal(await served.next(), 'tokens ok 3')
  })

  test('nor does one whose body is refused after it was awaited', async t => {
    const served = await serve(t)
    const head = post(2).replace(/Content-Length: 2/, 'Transfer-Encoding: chunked')
    const socket = await open(t, served, head)
    await served.reads
    served.clock.advance(14)
    socket.write(`8000\r\n${'x'.repeat(0x8000)}\r\n0\r\n\r\n`)
    assert.equal(await served.next(), 'tokens client_error 1')
  })

  test('input that is no request, and a path that cannot be decoded, have no duration', async t => {
    const served = await serve(t)
    for (const input of ['NONSENSE', 'GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close']) {
      const socket = await open(t, served, `${input}\r\n\r\n`)
      assert.match(await text(socket), /^HTTP\/1\.1 400 /)
    }
    await open(t, served, 'GET /two-seconds HTTP/1.1\r\nHost: x\r\n\r\n')
    assert.equal(await served.next(), 'tokens ok 3')
  })
})
