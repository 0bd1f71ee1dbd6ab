import assert from 'node:assert/strict'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import type { FastifyReply } from 'fastify'
import type { ServerSpans } from '../../../../src/broker/lib/spans.ts'
import { buildApp } from '../../../../src/http/server/app.ts'
import { createLogs } from '../../../../src/telemetry/log.ts'
import { until } from '../../../support/broker.ts'

const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

interface Served {
  /** Connects a client, which reads what it gets. */
  readonly connect: () => Socket
  /** The spans that began so far, and `status route` of each end, in order. */
  readonly began: () => number
  readonly ended: readonly string[]
  /** The requests to `/waits`, which wait until the test responds. */
  readonly waiting: readonly FastifyReply[]
}

/** A server whose spans only note how they end. */
async function serve(t: TestContext, arrivalMs?: number): Promise<Served> {
  const ended: string[] = []
  const waiting: FastifyReply[] = []
  let began = 0
  const spans: ServerSpans = {
    begin: () => {
      began += 1
      return { traceId: '', run: work => work(), end: (status, route) => void ended.push(`${status} ${route}`) }
    },
  }
  const options = { log, isDraining: () => false, responded: () => undefined, observation: { spans } }
  const app = buildApp({ ...options, ...(arrivalMs !== undefined && { arrivalMs }) }, [
    scope => {
      const config = { body: { mediaType: 'text/plain', parse: String } }
      scope.get('/waits', (_request, reply) => void waiting.push(reply))
      scope.get('/responds', (_request, reply) => reply.send('{}'))
      scope.post('/reads', { config }, (_request, reply) => reply.send('{}'))
    },
  ])
  t.after(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    connect: () => {
      const socket = connect(port, '127.0.0.1')
      t.after(() => socket.destroy())
      return socket.on('error', () => undefined).resume()
    },
    began: () => began,
    ended,
    waiting,
  }
}

describe('the span of a request whose connection closes before the response is written ends without a status', () => {
  for (const [how, giveUp] of [
    ['resets the connection', (socket: Socket) => void socket.resetAndDestroy()],
    ['closes the connection', (socket: Socket) => void socket.destroy()],
  ] as const)
    test(`once, if the client ${how}, also if the broker responds later`, async t => {
      const { connect: open, waiting, ended } = await serve(t)
      const socket = open()
      socket.write(get('/waits'))
      await until('the request waits', () => waiting.length === 1)
      assert.deepEqual(ended, [])
      giveUp(socket)
      await until('the span ends', () => ended.length > 0)
      waiting[0]?.send('{}')
      open().write(get('/responds'))
      await until('the span of another request ends', () => ended.length > 1)
      assert.deepEqual(ended, ['undefined /waits', '200 /responds'])
    })

  test('of each pipelined request, also of those that wait for the response before theirs', async t => {
    const { connect: open, began, ended } = await serve(t)
    const socket = open()
    socket.write(get('/waits') + get('/responds') + get('/nothing'))
    await until('all requests are read', () => began() === 3)
    socket.destroy()
    await until('the spans end', () => ended.length === 3)
    assert.deepEqual(ended, ['undefined /waits', 'undefined /responds', 'undefined undefined'])
  })

  for (const [what, arrivalMs, end] of [
    ['the client closes the connection in the middle of the body', undefined, (socket: Socket) => socket.destroy()],
    ['the broker closes the connection because the body does not arrive', 300, () => undefined],
  ] as const)
    test(what, async t => {
      const { connect: open, began, ended } = await serve(t, arrivalMs)
      const socket = open()
      socket.write('POST /reads HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nx')
      await until('the request is read', () => began() === 1)
      end(socket)
      await until('the span ends', () => ended.length > 0)
      assert.deepEqual(ended, ['undefined /reads'])
    })
})

test('requests of one connection have the status of their response, and their spans do not end again with it', async t => {
  const { connect: open, began, ended } = await serve(t)
  const socket = open()
  for (const [nth, path] of ['/responds', '/nothing', '/responds'].entries()) {
    socket.write(get(path))
    await until('the response is written', () => ended.length === nth + 1)
  }
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.end()
  await closed
  assert.deepEqual(ended, ['200 /responds', '404 undefined', '200 /responds'])
  assert.equal(began(), 3)
})
