import assert from 'node:assert/strict'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { describe, test } from 'node:test'
import { mostWaiting, prepareResponse, ResponseBatch } from '../../../src/http/server/prepared-response.ts'
import { graph, startWorld } from '../../support/broker.ts'

const prepared = prepareResponse({ pragma: 'no-cache' }, '{}') ?? assert.fail()
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
