import assert from 'node:assert/strict'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createAuthority } from '../../../emulator/certificates.ts'
import { buildApp, type AppOptions } from '../../../src/http/server/app.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { startWorld } from '../../support/broker.ts'
import { startAgent } from '../../agent/world.ts'

const { log } = createLogs('fatal', { write: () => undefined, flush: () => undefined }, [])
const ca = createAuthority('broker CA')

/** A server with one route that reads a body. */
async function listen(t: TestContext, options: Pick<AppOptions, 'arrivalMs' | 'tls'>): Promise<number> {
  const app = buildApp({ log, isDraining: () => false, responded: () => undefined, ...options }, [
    scope => {
      const body = { mediaType: 'text/plain', parse: String }
      scope.post('/read', { config: { body } }, (_request, reply) => reply.send('{}'))
    },
  ])
  t.after(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

const head = 'POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n'
const slow: readonly (readonly [what: string, first: string, rest: string])[] = [
  ['a body that never comes', `${head}Content-Length: 5000\r\n\r\n`, ''],
  ['a body of one byte at a time', `${head}Content-Length: 5000\r\n\r\n`, 'x'],
  ['a chunked body of one byte at a time', `${head}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n'],
  ['headers that come one at a time', head, 'X-Y: z\r\n'],
  ['nothing at all', '', ''],
]
describe('a request that arrives too slowly is 408, however it is slow', () => {
  for (const [what, first, rest] of slow)
    for (const scheme of ['http', 'https'] as const)
      test(`${what}, over ${scheme}`, async t => {
        const { certPem, keyPem } = ca.issue()
        const tls = scheme === 'https' ? { cert: certPem, key: keyPem } : undefined
        const port = await listen(t, { arrivalMs: 300, tls })
        const began = performance.now()
        const socket = tls ? connectTls(port, '127.0.0.1', { ca: ca.caPem }) : connect(port, '127.0.0.1')
        socket.setTimeout(10_000, () => socket.destroy(new Error('timed out')))
        socket.write(first)
        const more = setInterval(() => socket.write(rest), 20)
        t.after(() => clearInterval(more))
        socket.on('close', () => clearInterval(more)).on('end', () => clearInterval(more))
        const response = await text(socket).catch((error: unknown) => String(error))
        const ms = performance.now() - began
        assert.ok(ms > 250 && ms < 3000, `after ${ms} ms`)
        assert.match(response, /^HTTP\/1\.1 408 |ECONNRESET|EPIPE/)
      })
})

test('a request has 15 seconds for its headers and body together, on every listener and in the agent', async t => {
  const world = await startWorld()
  const broker = await world.broker(t, { environment: { MANAGEMENT_PORT: '0' } })
  const agent = await startAgent(t, world, broker)
  for (const { server } of [broker.service.app, broker.service.management, agent.service.app].filter(each => !!each))
    assert.deepEqual([server.headersTimeout, server.requestTimeout], [15_000, 15_000])
})
