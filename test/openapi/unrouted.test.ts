import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, test } from 'node:test'
import { sendRaw } from '../http/server/raw.ts'
import { type Reply, send, type SendOptions } from '../support/broker.ts'
import { assertDocumented, isOfOthers, operations } from './document.ts'
import { brokerOptions, documentedWorld } from './world.ts'

/** Responses to requests that reach no operation: the default response of every operation. */

const world = await documentedWorld()

describe('requests that reach no operation', () => {
  const unrouted = async (reply: Promise<Reply>, code: string) => {
    for (const operation of operations) {
      const { responses } = operation
      const asDefault = { ...operation, responses: { default: responses['default'] ?? {} } }
      const response = await reply
      assert.equal(response.json['code'], code, response.text)
      assertDocumented(asDefault, response)
    }
  }

  test('404, 405 with Allow, and 431 are the default response of every operation', async t => {
    const { url } = await world.broker(t, brokerOptions(world))
    const to = (path: string, options?: SendOptions) => send(`${url}${path}`, options)
    await unrouted(to('/nothing'), 'not_found')
    for (const operation of operations) {
      const { path } = operation
      if (path.includes('{') || isOfOthers(operation)) continue
      const reply = await to(path, { method: 'PATCH' })
      const methods = operations.filter(each => each.path === path).map(({ method }) => method)
      assert.deepEqual(String(reply.headers.allow).split(', ').toSorted(), methods.toSorted())
      await unrouted(Promise.resolve(reply), 'method_not_allowed')
    }
    await unrouted(sendRaw(url, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`), 'headers_too_large')
    await unrouted(sendRaw(url, 'GET / HTTP/3.7\r\nHost: x\r\n\r\n'), 'invalid_request')
  })

  test('408 is too', async t => {
    const { service, url } = await world.broker(t, brokerOptions(world))
    const { server } = service.app
    // Node's error after requestTimeout, without the wait.
    const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
    server.once('connection', (socket: Socket) => setImmediate(() => server.emit('clientError', late, socket)))
    await unrouted(sendRaw(url, 'GET / HTTP/1.1\r\n'), 'request_timeout')
  })
})
