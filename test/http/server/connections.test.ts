import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createAuthority } from '../../../emulator/certificates.ts'
import { buildApp } from '../../../src/http/server/app.ts'
import { logDroppedConnections } from '../../../src/telemetry/dropped-connections.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { parseObject, until } from '../../support/broker.ts'

const most = 20
const ca = createAuthority('broker CA')
const quiet = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])

interface Client {
  readonly socket: Socket
  readonly closed: () => boolean
  readonly received: () => string
  /** Sends a request and waits for its response. */
  readonly get: () => Promise<boolean>
}

/** A server with a probe, and a route that never responds. */
async function listen(t: TestContext, scheme: 'http' | 'https') {
  const { certPem, keyPem } = ca.issue()
  const dropped: string[] = []
  const app = buildApp(
    {
      log: quiet.log,
      isDraining: () => false,
      responded: () => undefined,
      connectionDropped: (reason, address) => dropped.push(`${reason} ${address}`),
      mostConnections: most,
      ...(scheme === 'https' && { tls: { cert: certPem, key: keyPem } }),
    },
    [
      scope => {
        scope.get('/livez', (_request, reply) => reply.send('{}'))
        scope.get('/never', () => new Promise(() => undefined))
      },
    ],
  )
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    app.server.closeAllConnections()
    return app.close()
  })
  const open = async (localAddress: string): Promise<Client> => {
    const raw = connect({ port, host: '127.0.0.1', localAddress })
    const socket = scheme === 'https' ? connectTls({ socket: raw, ca: ca.caPem, servername: 'localhost' }) : raw
    sockets.push(socket)
    const state = { closed: false, received: '' }
    for (const each of [raw, socket]) {
      each.on('error', () => (state.closed = true))
      each.on('close', () => (state.closed = true))
      each.on('end', () => (state.closed = true))
    }
    socket.on('data', chunk => (state.received += chunk.toString()))
    await Promise.race([once(socket, scheme === 'https' ? 'secureConnect' : 'connect'), once(raw, 'close')]).catch(
      () => undefined,
    )
    return {
      socket,
      closed: () => state.closed,
      received: () => state.received,
      get: async () => {
        const before = state.received.length
        socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
        await until('a response or the end', () => state.closed || state.received.length > before, 5)
        return state.received.length > before
      },
    }
  }
  return { open, dropped, app }
}

const isOpen = (client: Client): boolean => !client.closed()
const never = 'GET /never HTTP/1.1\r\nHost: x\r\n\r\n'
const settle = () => new Promise(resolve => setTimeout(resolve, 50))

describe('a peer with all connections it can get', () => {
  for (const scheme of ['http', 'https'] as const) {
    test(`has half of them, its longest idle ones are closed, and everybody is answered: ${scheme}`, async t => {
      const { open, dropped } = await listen(t, scheme)
      const clients: Client[] = []
      for (let i = 0; i < 2 * most; i++) {
        const client = await open('127.0.0.2')
        clients.push(client)
        if (i < most) assert.ok(await client.get(), `request ${i}`)
      }
      await settle()
      assert.equal(clients.filter(isOpen).length, most / 2)
      assert.equal(clients[0]?.closed(), true, 'the longest idle one')
      assert.ok(dropped.includes('idle 127.0.0.2'))
      assert.ok(await (await open('127.0.0.3')).get(), 'another address')
    })

    test(`keeps none from another address while all of them are busy: ${scheme}`, async t => {
      const { open, dropped } = await listen(t, scheme)
      const clients: Client[] = []
      for (let i = 0; i < most; i++) {
        const client = await open('127.0.0.2')
        client.socket.write(never)
        clients.push(client)
        await settle()
      }
      assert.equal(clients.filter(isOpen).length, most / 2)
      assert.deepEqual(dropped, Array<string>(most / 2).fill('share 127.0.0.2'))
      for (const address of ['127.0.0.3', '127.0.0.4', '127.0.0.1']) assert.ok(await (await open(address)).get())
    })
  }

  test('gets a new connection as soon as one of its own is closed', async t => {
    const { open } = await listen(t, 'http')
    const clients: Client[] = []
    for (let i = 0; i < most / 2; i++) clients.push(await open('127.0.0.2'))
    for (const { socket } of clients) socket.write(never)
    await settle()
    assert.equal(await (await open('127.0.0.2')).get(), false)
    clients[0]?.socket.destroy()
    await settle()
    assert.ok(await (await open('127.0.0.2')).get())
  })
})

test('when the listener is nearly full, the longest idle connection of all is closed, and no busy one', async t => {
  const { open, dropped } = await listen(t, 'http')
  const busy: Client[] = []
  for (let i = 2; i < 2 + most * 0.8; i++) {
    const client = await open(`127.0.0.${i}`)
    client.socket.write(never)
    busy.push(client)
  }
  const first = await open('127.0.1.1')
  await first.get()
  await settle()
  const second = await open('127.0.1.2')
  await second.get()
  await new Promise(resolve => setTimeout(resolve, 1100))
  const third = await open('127.0.1.3')
  assert.ok(await third.get())
  await settle()
  assert.deepEqual([first.closed(), second.closed(), third.closed()], [true, false, false])
  assert.deepEqual(dropped, ['idle 127.0.1.1'])
  assert.ok(busy.every(isOpen))
})

test('a full listener with no idle connection drops the new one, and counts it', async t => {
  const { open, dropped, app } = await listen(t, 'http')
  for (let i = 2; i < 1 + most; i++) (await open(`127.0.0.${i}`)).socket.write(never)
  await settle()
  assert.equal(await (await open('127.0.1.1')).get(), false)
  assert.deepEqual(
    dropped.map(each => each.split(' ', 1)[0]),
    ['full'],
  )
  assert.equal(app.server.maxConnections, most)
})

test('dropped connections are a line a minute for each reason, with the number of those without one', () => {
  const lines: string[] = []
  const sink = { write: (line: string) => void lines.push(line), flush: () => undefined }
  const clock = { now: 1_000_000 }
  const dropped = logDroppedConnections(createLogs('info', sink, []), () => clock.now)
  for (let i = 0; i < 1000; i++) dropped('share', '192.0.2.1')
  dropped('full', '192.0.2.2')
  clock.now += 60_000
  dropped('share', '192.0.2.3')
  assert.deepEqual(
    lines
      .map(parseObject)
      .map(({ level, reason, address, suppressed, msg }) => [level, reason, address, suppressed, msg]),
    [
      ['warn', 'share', '192.0.2.1', 0, 'connection dropped'],
      ['warn', 'full', '192.0.2.2', 0, 'connection dropped'],
      ['warn', 'share', '192.0.2.3', 999, 'connection dropped'],
    ],
  )
})
