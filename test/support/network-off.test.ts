import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import dns, { lookup } from 'node:dns'
import { createServer, get as httpGet } from 'node:http'
import { connect as http2Connect } from 'node:http2'
import { get as httpsGet } from 'node:https'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { describe, test } from 'node:test'
import { NetworkOffError } from './network-off.ts'

/** Whether an emitter ends with a NetworkOffError. */
async function isRefused(emitter: NodeJS.EventEmitter): Promise<boolean> {
  const [error] = await once(emitter, 'error')
  return error instanceof NetworkOffError
}

/** The time limit, in milliseconds. It is too short to wait for a packet. */
const promptly = { timeout: 2000 }

describe('the network is off', () => {
  const outside: readonly [host: string, why: string][] = [
    ['192.0.2.1', 'an address'],
    ['example.com', 'a name'],
    ['[2001:db8::1]', 'an IPv6 address'],
    ['10.0.0.1', 'a private address'],
    ['169.254.169.254', "the cloud's metadata address"],
    ['128.0.0.1', 'the first address beyond 127.0.0.0/8'],
    ['127.0.0.1.example.com', 'a name that starts like loopback'],
    ['localhost.example.com', 'a name that starts like localhost'],
    ['0.0.0.0', 'not a loopback address, although some systems treat it as one'],
  ]
  for (const [host, why] of outside) {
    test(`fetch of ${host} is refused: ${why}`, promptly, async () => {
      const bare = host.replace(/[[\]]/g, '')
      const thrown: unknown = await fetch(`https://${host}/`).catch((error: unknown) => error)
      assert.ok(thrown instanceof Error && thrown.cause instanceof NetworkOffError)
      assert.equal(thrown.cause.message, `the network is off in tests: ${bare} is not loopback`)
    })

    test(`https.get of ${host} is refused: ${why}`, promptly, async () => {
      assert.ok(await isRefused(httpsGet(`https://${host}/`)))
    })
  }

  const connects: readonly [name: string, open: () => NodeJS.EventEmitter][] = [
    ['http.get', () => httpGet('http://192.0.2.1/')],
    ['net.connect(port, host)', () => connect(80, '192.0.2.1')],
    ['net.connect({ host, port })', () => connect({ host: '192.0.2.1', port: 80 })],
    ['tls.connect(port, host)', () => tlsConnect(443, '192.0.2.1')],
    ['tls.connect({ host, port })', () => tlsConnect({ host: '192.0.2.1', port: 443 })],
    ['http2.connect', () => http2Connect('https://192.0.2.1')],
  ]
  for (const [name, open] of connects) {
    test(`${name} is refused`, promptly, async () => {
      assert.ok(await isRefused(open()))
    })
  }

  test('a look-up of a name is refused', promptly, async () => {
    await assert.rejects(dns.promises.lookup('example.com'), NetworkOffError)
    const { promise, resolve } = Promise.withResolvers<unknown>()
    lookup('example.com', resolve)
    assert.ok((await promise) instanceof NetworkOffError)
  })
})

describe('loopback works', () => {
  for (const host of ['127.0.0.1', 'localhost', '127.0.0.2']) {
    test(`fetch of ${host}`, promptly, async t => {
      const server = createServer((_, response) => response.end('here')).listen(0, host)
      t.after(() => server.close())
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const response = await fetch(`http://${host}:${port}/`, { headers: { connection: 'close' } })
      assert.equal(await response.text(), 'here')
    })
  }

  test('a Unix socket', { ...promptly, skip: process.platform === 'win32' }, async t => {
    const path = join(tmpdir(), `network-off-${process.pid}.sock`)
    const server = createNetServer((socket: Socket) => socket.end('here')).listen(path)
    t.after(async () => {
      server.close()
      await rm(path, { force: true })
    })
    await once(server, 'listening')
    const socket = connect(path)
    const [data] = await once(socket, 'data')
    assert.equal(String(data), 'here')
  })
})
