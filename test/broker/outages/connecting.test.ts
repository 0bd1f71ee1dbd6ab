import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { requestAll, requestCell, cells, hangsMs, startMatrix } from './world.ts'

/** What can go wrong before the token endpoint is reached. */
const matrix = await startMatrix()

/** A port that accepts connections and never sends anything, not even for TLS. */
async function muteServer(t: TestContext): Promise<number> {
  const server = createServer(socket => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A port that accepts no connections: a thread listens, is blocked, and its backlog is full. */
async function fullBacklog(t: TestContext): Promise<number> {
  const thread = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer()
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
     })`,
    { eval: true },
  )
  const [port] = (await once(thread, 'message')) as [number]
  const sockets = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await thread.terminate()
  })
  await once(sockets[0] ?? assert.fail(), 'connect')
  return port
}

describe('connecting to Entra hangs', () => {
  const hangs = [
    ['connecting', fullBacklog],
    ['the TLS handshake', muteServer],
  ] as const
  for (const [what, listen] of hangs) {
    test(`${what} hangs: every caller gets 503 after the timeout, and the next one at once`, async t => {
      const authority = `https://localhost:${await listen(t)}`
      matrix.hanging.now = true
      t.after(() => (matrix.hanging.now = false))
      const stuck = await matrix.start(t, { BROKER_AUTHORITY: authority })
      const cold = cells.filter(({ state }) => state === 'cold')
      const began = performance.now()
      for (const replies of await Promise.all(cold.map(cell => requestAll(matrix, stuck, cell)))) {
        for (const { status, json, headers } of replies) {
          assert.deepEqual([status, json['code'], headers['retry-after']], [503, 'upstream_unavailable', '1'])
        }
      }
      const waited = performance.now() - began
      assert.ok(waited > hangsMs - 50 && waited < hangsMs + 5000, `waited for ${waited} ms`)
      const again = performance.now()
      for (const cell of cold) assert.equal((await requestCell(matrix, stuck, cell)).status, 503)
      assert.ok(performance.now() - again < hangsMs, 'the failure is cached')
    })
  }
})
