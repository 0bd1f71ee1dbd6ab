import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { buildApp, maxConnections } from '../../../src/http/server/app.ts'
import { createLogs } from '../../../src/telemetry/log.ts'

const ca = createAuthority('broker CA')
const clients = createAuthority('clients CA')
const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])

/** A server that speaks TLS, and how often it told of an answer. */
function build(t: TestContext, handshakeMs?: number) {
  const { certPem, keyPem } = ca.issue()
  const answers: string[] = []
  const app = buildApp(
    {
      log,
      isDraining: () => false,
      answered: (_endpoint, code) => answers.push(code),
      tls: { cert: certPem, key: keyPem, ca: clients.caPem },
      ...(handshakeMs !== undefined && { handshakeMs }),
    },
    [],
  )
  t.after(() => app.close())
  return { app, answers }
}

test('a connection that never says anything in TLS is closed when the time for that is over', async t => {
  const { app, answers } = build(t, 60)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const began = performance.now()
  const silent = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'))
  t.after(() => silent.forEach(socket => socket.destroy()))
  await Promise.all(
    silent.map(socket =>
      once(
        socket.on('error', () => undefined),
        'close',
      ),
    ),
  )
  assert.ok(performance.now() - began < 2000)
  assert.deepEqual(answers, [], 'there was nobody to answer')
})

test('ten seconds are for a handshake, and 10,000 connections for a listener', t => {
  const created = t.mock.method(https, 'createServer')
  const { app } = build(t)
  assert.partialDeepStrictEqual(created.mock.calls[0]?.arguments[0], { handshakeTimeout: 10_000 })
  assert.deepEqual([app.server.maxConnections, maxConnections], [10_000, 10_000])
})
