import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { after, describe, test, type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Fault } from '../../../emulator/faults.ts'
import { requestAll, requestCell, cells, hangsMs, reportRow, type Row, startMatrix, strike } from './world.ts'

/** What can go wrong before the token endpoint is reached: at Entra's metadata, and while connecting. */
const matrix = await startMatrix()
const broker = await matrix.start({ after })

const unavailable = { status: 503, code: 'upstream_unavailable', retryAfter: 1, calls: 0 }
/** The time-out is cached for 5 s, and half of the jitter. */
const hung = { waits: 1, laterRetryAfter: 8 }
const invalid = { status: 502, code: 'upstream_invalid', calls: 0 }
const discovery = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'discovery', ...rest })

const rows: readonly Row[] = [
  { fault: discovery('refused'), ...unavailable, attempts: 3 },
  { fault: discovery('reset'), ...unavailable, attempts: 3 },
  { fault: discovery('hung'), ...unavailable, ...hung },
  { fault: discovery('stalled-body'), ...unavailable, ...hung },
  { fault: discovery('throttled'), ...unavailable, retryAfter: 5 },
  { fault: discovery('server-error', { status: 500 }), ...unavailable, attempts: 3 },
  { fault: discovery('server-error', { status: 503, retryAfter: 7 }), ...unavailable, retryAfter: 7 },
  { fault: discovery('html', { status: 502 }), ...unavailable, attempts: 3 },
  { fault: discovery('html', { status: 200 }), ...invalid },
  { fault: discovery('broken-json'), ...invalid },
  { fault: discovery('redirect'), ...invalid },
  { fault: discovery('huge-body'), ...invalid },
  { fault: discovery('aadsts', { code: 90002 }), status: 422, code: 'upstream_rejected', calls: 0 },
]

for (const row of rows) {
  reportRow(
    row,
    () => strike(matrix, broker, row),
    ({ counts }) => {
      const attempts = row.fault.kind === 'refused' ? 0 : 6 * (row.attempts ?? 1)
      assert.equal(counts.endpoints.discovery.total, attempts)
    },
  )
}

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
