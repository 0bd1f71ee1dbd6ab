import assert from 'node:assert/strict'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { connect } from 'node:tls'
import { createAuthority } from '../../../emulator/certificates.ts'
import { buildApp } from '../../../src/http/server/app.ts'
import {
  mostWaiting,
  prepareResponse,
  ResponseBatch,
  sendPrepared,
} from '../../../src/http/server/prepared-response.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { graph, startWorld } from '../../support/broker.ts'

const prepared = prepareResponse({ pragma: 'no-cache' }, '{}') ?? assert.fail()
const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])
const authority = createAuthority('broker CA')
const response = () => new ServerResponse(new IncomingMessage(new Socket()))
const endOfTurn = () => new Promise(resolve => setImmediate(resolve))
const countSent = (responses: readonly ServerResponse[]) => responses.filter(({ headersSent }) => headersSent).length

describe('the responses of one turn of the event loop', () => {
  test('are written at its end, after what was logged', async () => {
    const responses = [response(), response()]
    const sentBefore: number[] = []
    const batch = new ResponseBatch(() => sentBefore.push(countSent(responses)))
    for (const each of responses) batch.add(each, prepared)
    await Promise.resolve()
    assert.equal(countSent(responses), 0)
    await endOfTurn()
    assert.equal(countSent(responses), 2)
    assert.deepEqual(sentBefore, [0])
    assert.equal(responses[0]?.statusCode, 200)
  })

  test('are written at once when there are many, so that none waits for a long turn', async () => {
    const responses = Array.from({ length: mostWaiting + 1 }, response)
    const batch = new ResponseBatch(() => undefined)
    const sent = responses.map(each => {
      batch.add(each, prepared)
      return countSent(responses)
    })
    assert.deepEqual(sent.slice(-3), [0, mostWaiting, mostWaiting])
    await endOfTurn()
    assert.equal(countSent(responses), mostWaiting + 1)
  })

  test('do not depend on each other: a client has gone, a response was begun before', async () => {
    const [gone, begun, last] = [response(), response(), response()]
    const batch = new ResponseBatch(() => undefined)
    for (const each of [gone, begun, last]) batch.add(each, prepared)
    gone.destroy()
    begun.on('error', () => undefined).flushHeaders()
    await endOfTurn()
    assert.deepEqual([gone.headersSent, begun.destroyed, last.headersSent], [false, true, true])
  })

  test('are not written if what was logged cannot be, and the process gets the error', t => {
    const immediates: (() => void)[] = []
    t.mock.method(globalThis, 'setImmediate', (run: () => void) => immediates.push(run))
    const full = new Error('no space left')
    const batch = new ResponseBatch(() => {
      throw full
    })
    const responses = Array.from({ length: mostWaiting }, response)
    for (const each of responses) batch.add(each, prepared)
    assert.ok(responses.every(({ destroyed, headersSent }) => destroyed && !headersSent))
    assert.equal(immediates.length, 2)
    assert.throws(() => immediates[1]?.(), full)
  })

  test('and of the next one are separate', async () => {
    let batches = 0
    const batch = new ResponseBatch(() => batches++)
    for (const turn of [1, 2]) {
      const each = response()
      batch.add(each, prepared)
      await endOfTurn()
      assert.deepEqual([each.headersSent, batches], [true, turn])
    }
  })
})

describe('an error that is written past the responses does not overtake one that waits', () => {
  for (const [what, request] of [
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an expectation', 'GET / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n'],
    ['no HTTP', '?\r\n\r\n'],
  ] as const)
    test(what, async t => {
      const { certPem, keyPem, ca } = { ...authority.issue(), ca: authority.caPem }
      const options = { log, isDraining: () => false, responded: () => undefined, tls: { cert: certPem, key: keyPem } }
      const app = buildApp(options, [
        scope => void scope.get('/', (_request, reply) => void sendPrepared(reply, prepared)),
      ])
      t.after(() => app.close())
      await app.listen({ host: '127.0.0.1', port: 0 })
      // One record of TLS is read at once.
      const socket = connect({ port: (app.server.address() as AddressInfo).port, host: '127.0.0.1', ca })
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${request}`)
      const statuses = [...(await text(socket)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
      assert.deepEqual(statuses, ['200', '400'])
    })
})

test('the audit line of a cached token is written no later than the token', async t => {
  const world = await startWorld()
  const broker = await world.broker(t)
  const target = { tenant: 'contoso', scope: graph }
  await broker.requestToken(target)
  assert.doesNotMatch(broker.flushedText(), /"cache":"hit"/)
  const { status } = await broker.requestToken(target)
  assert.equal(status, 200)
  assert.match(broker.flushedText(), /"cache":"hit"/)
})
