import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import type { Closing } from '../support/broker.ts'

const script = join(import.meta.dirname, '../../scripts/healthcheck.mjs')

/** Runs the image's health check. Resolves to its exit code and its stderr. */
function check(environment: Readonly<Record<string, string>>): Promise<{ code: unknown; stderr: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: unknown; stderr: string }>()
  execFile(process.execPath, [script], { env: environment, timeout: 20_000 }, (error, _stdout, stderr) =>
    resolve({ code: error === null ? 0 : error.code, stderr }),
  )
  return promise
}

/** Listens on loopback until the test ends. Returns the port. */
async function listen(t: Closing, server: Server, host = '127.0.0.1'): Promise<string> {
  server.listen(0, host)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return String((server.address() as AddressInfo).port)
}

/** Returns a status for /readyz, and 404 for everything else. */
const ready =
  (status: number): RequestListener =>
  (request, response) =>
    response.writeHead(request.url === '/readyz' ? status : 404).end()

describe("the image's health check", () => {
  for (const [status, code] of [
    [200, 0],
    [503, 1], // not ready yet, or draining
    [204, 1], // a status that the broker does not use
    [302, 1], // another server
  ] as const)
    test(`/readyz with ${status} exits with ${code}`, async t => {
      const PORT = await listen(t, createServer(ready(status)))
      assert.equal((await check({ PORT })).code, code)
    })

  test('uses the listener of the operations endpoints if there is one', async t => {
    const PORT = await listen(t, createServer(ready(404)))
    const MANAGEMENT_PORT = await listen(t, createServer(ready(200)))
    assert.equal((await check({ PORT, MANAGEMENT_PORT })).code, 0)
  })

  for (const [HOST, address] of [
    ['0.0.0.0', '127.0.0.1'], // all addresses
    ['127.0.0.2', '127.0.0.2'], // one address
    ['', '127.0.0.1'], // empty counts as absent
  ] as const)
    test(
      `reaches ${address} with HOST="${HOST}"`,
      { skip: process.platform !== 'linux' && 'images are for Linux' },
      async t => {
        const PORT = await listen(t, createServer(ready(200)), address)
        assert.equal((await check({ PORT, HOST })).code, 0)
      },
    )

  test('uses TLS if the broker does, and accepts a certificate with any name', async t => {
    const { certPem, keyPem } = createAuthority().issue({ names: ['broker.example'] })
    const PORT = await listen(t, createTlsServer({ cert: certPem, key: keyPem }, ready(200)))
    assert.equal((await check({ PORT, TLS_CERT_FILE: '/any/cert.pem' })).code, 0)
  })

  test('sends no credential', async t => {
    const server = createServer(ready(200))
    const PORT = await listen(t, server)
    const [[request]] = await Promise.all([
      once(server, 'request') as Promise<[{ headers: Record<string, string> }]>,
      check({ PORT, IDENTITY_HEADER: 'a secret' }),
    ])
    assert.deepEqual(Object.keys(request.headers).toSorted(), ['connection', 'host'])
  })

  test('reports the reason if nothing listens', async t => {
    const server = createServer()
    const PORT = await listen(t, server)
    server.close()
    await once(server, 'close')
    const { code, stderr } = await check({ PORT })
    assert.equal(code, 1)
    assert.match(stderr, /^unhealthy: .*ECONNREFUSED/)
  })

  test('times out if there is no response, before the engine does', async t => {
    // Not from the start of its process, which takes seconds on a busy machine.
    let received = Number.NaN
    const PORT = await listen(
      t,
      createServer(() => (received = performance.now())),
    )
    assert.equal((await check({ PORT })).code, 1)
    assert.ok(performance.now() - received < 5_000)
  })
})
