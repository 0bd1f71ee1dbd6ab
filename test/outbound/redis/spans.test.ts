import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noSpans, type ClientCall } from '../../../src/broker/lib/spans.ts'
import { createStore } from '../../../src/outbound/redis/store.ts'

test('each request to Redis is a span with the names of commands, and none of their arguments', async () => {
  const calls: ClientCall[] = []
  const connection = { isConnected: () => true, send: () => Promise.resolve([null]) }
  const availability = { isUp: () => true, replied: (reply: Promise<unknown>) => reply }
  const spans = {
    ...noSpans,
    call: <T>(call: ClientCall, work: (traceparent: undefined) => Promise<T>) => {
      calls.push(call)
      return work(undefined)
    },
  }
  const store = createStore(connection as never, availability as never, spans)
  const [get, set] = [
    ['GET', 'a-secret'],
    ['SET', 'a-secret', 'another'],
  ] as const
  await store.send([get], 100)
  await store.send([get, set], 100)
  await store.send([get, set], 100, true)
  assert.deepEqual(
    calls.map(({ name, attributes }) => [name, attributes['db.operation.batch.size']]),
    [
      ['GET', undefined],
      ['PIPELINE', 2],
      ['MULTI', 2],
    ],
  )
  assert.ok(!JSON.stringify(calls).includes('secret'))
})
