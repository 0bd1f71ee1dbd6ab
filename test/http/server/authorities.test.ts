import assert from 'node:assert/strict'
import { Agent, request } from 'node:https'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { describe, test } from 'node:test'
import { until } from '../../support/broker.ts'
import { body, clients, leaf, others, server, start, worker, world } from './certificates-world.ts'

const { emulator } = world

describe('the authorities follow their file', () => {
  const settled = async (broker: { messages: () => boolean }) => until('the new authorities', broker.messages)
  const renewed = (lines: () => readonly object[]) => () =>
    lines().some(line => 'msg' in line && String(line.msg).startsWith('client CA certificates reloaded'))

  test('a certificate of a new authority is accepted, one of a removed authority is refused', async t => {
    const { requestToken, replace, broker } = await start(t)
    assert.equal((await requestToken(leaf({}, others))).status, 401)
    await replace(others.caPem)
    await settled({ messages: renewed(broker.logLines) })
    assert.equal((await requestToken(leaf({}, others))).status, 200)
    assert.equal((await requestToken(worker)).status, 401)
  })

  test('a connection from before the change is verified again, and closed after its response', async t => {
    const { replace, broker, port } = await start(t, `${clients.caPem}${others.caPem}`)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    const { certPem: cert, keyPem: key } = worker
    const requestToken = async () => {
      const { promise, resolve, reject } = Promise.withResolvers<{ status: number; closes: boolean; reused: boolean }>()
      const options = { host: '127.0.0.1', port, path: '/tokens', method: 'POST', agent, ca: server.caPem, cert, key }
      const sent = request({ ...options, headers: { 'content-type': 'application/json' } }, response => {
        response.resume().on('end', () => {
          const closes = response.headers.connection === 'close'
          resolve({ status: response.statusCode ?? 0, closes, reused: sent.reusedSocket })
        })
      })
      sent.on('error', reject)
      sent.end(body)
      return promise
    }
    assert.deepEqual(await requestToken(), { status: 200, closes: false, reused: false })
    emulator.resetCounts()
    const release = emulator.hold('token')
    t.after(release)
    world.clock.advance(3600)
    const underWay = requestToken()
    await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests > 0)
    await replace(clients.caPem)
    await settled({ messages: renewed(broker.logLines) })
    release()
    assert.deepEqual(await underWay, { status: 200, closes: true, reused: true })
    assert.deepEqual(await requestToken(), { status: 200, closes: false, reused: false }, 'a new connection')
  })

  test('a second request on such a connection gets no response, once its authority is removed', async t => {
    const { replace, broker, port } = await start(t)
    const { certPem: cert, keyPem: key } = worker
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: server.caPem, cert, key })
    t.after(() => void socket.destroy())
    let received = ''
    socket.on('data', (chunk: Buffer) => (received += chunk.toString())).on('error', () => undefined)
    const text = `POST /tokens HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    emulator.resetCounts()
    const release = emulator.hold('token')
    t.after(release)
    // The second comes in parts, so that it arrives before the response to the first and is read after it.
    socket.write(text + text.slice(0, 20))
    await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests > 0)
    await replace(others.caPem)
    await settled({ messages: renewed(broker.logLines) })
    socket.write(text.slice(20))
    release()
    await until('closed', () => socket.closed)
    assert.equal(received.match(/HTTP\/1\.1 200/g)?.length, 1)
    assert.equal(broker.events('token.issued').length, 1)
  })

  test('unusable authorities are logged, and change nothing', async t => {
    const { requestToken, replace, broker } = await start(t)
    await replace('nonsense')
    await until('the log line', () => broker.logText().includes('the new client CA certificates cannot be used'))
    assert.equal((await requestToken(worker)).status, 200)
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`no session is resumed with ${version}: it would not be verified again`, async t => {
      const { port } = await start(t)
      const { certPem: cert, keyPem: key } = worker
      const options = {
        host: '127.0.0.1',
        port,
        servername: 'localhost',
        ca: server.caPem,
        cert,
        key,
        maxVersion: version,
      }
      const first = await handshake(options)
      assert.equal((await handshake({ ...options, ...(first.session && { session: first.session }) })).reused, false)
    })
})

/** A connection with one request, so that a session ticket would have arrived. */
function handshake(options: ConnectionOptions) {
  const { promise, resolve, reject } = Promise.withResolvers<{ session: Buffer | undefined; reused: boolean }>()
  let reused = true
  const socket: TLSSocket = connect(options, () => {
    reused = socket.isSessionReused()
    socket.write('GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  })
  let session: Buffer | undefined
  socket.on('session', given => (session = given))
  socket.on('data', () => undefined).on('error', reject)
  socket.on('close', () => resolve({ session, reused }))
  return promise
}
