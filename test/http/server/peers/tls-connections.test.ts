import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createAuthority } from '../../../../emulator/certificates.ts'
import { buildApp } from '../../../../src/http/server/app.ts'
import { maxConnections } from '../../../../src/http/server/connections.ts'
import { createLogs } from '../../../../src/telemetry/log.ts'

const ca = createAuthority('broker CA')
const clients = createAuthority('clients CA')
const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])

/** A TLS server, and the errors that it published. */
function build(t: TestContext, handshakeMs?: number) {
  const { certPem, keyPem } = ca.issue()
  const errors: string[] = []
  const app = buildApp(
    {
      log,
      isDraining: () => false,
      responded: (_endpoint, code) => errors.push(code),
      tls: { cert: certPem, key: keyPem, ca: clients.caPem },
      ...(handshakeMs !== undefined && { handshakeMs }),
    },
    [],
  )
  t.after(() => app.close())
  return { app, errors }
}

test('a connection without a TLS handshake is closed when the time for it is over', async t => {
  const { app, errors } = build(t, 60)
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
  assert.deepEqual(errors, [], 'there was no peer left to respond to')
})

test('a handshake may take ten seconds, and a listener may have 10,000 connections', t => {
  const created = t.mock.method(https, 'createServer')
  const { app } = build(t)
  assert.partialDeepStrictEqual(created.mock.calls[0]?.arguments[0], { handshakeTimeout: 10_000 })
  assert.deepEqual([app.server.maxConnections, maxConnections], [10_000, 10_000])
})
