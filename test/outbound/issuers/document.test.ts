import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { documentFetcher } from '../../../src/outbound/issuers/document.ts'
import { directEgress } from '../../../src/outbound/network/egress.ts'

const limit = 512 * 1024
const egress = directEgress(false)

async function listen(t: TestContext, listener: RequestListener, pair?: { cert: string; key: string }): Promise<URL> {
  const server = pair ? createSecureServer(pair, listener) : createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return new URL(`${pair ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}/keys?x=secret`)
}
const respondingServer = (t: TestContext, status: number, body: string, headers: Record<string, string> = {}) =>
  listen(t, (_request, response) => response.writeHead(status, headers).end(body))

const rows: readonly (readonly [what: string, status: number, body: string, error: RegExp | undefined])[] = [
  ['a document', 200, '{"keys":[]}', undefined],
  ['a document of 512 KiB', 200, JSON.stringify('a'.repeat(limit - 2)), undefined],
  ['a document of one byte more', 200, JSON.stringify('a'.repeat(limit - 1)), /larger than 524288 bytes/],
  ['a document of 10 MB', 200, JSON.stringify('a'.repeat(10_000_000)), /larger than 524288 bytes/],
  ['a document with another status', 404, '{"keys":[]}', /responded HTTP 404/],
  ['a document as an error', 500, '{"keys":[]}', /responded HTTP 500/],
  ['a part of a document', 206, '{"keys":[]}', /responded HTTP 206/],
  ['a page', 200, '<html>', /did not return JSON/],
  ['nothing', 200, '', /did not return JSON/],
]
for (const [what, status, body, error] of rows)
  test(`${what} is ${error ? 'refused' : 'read'}`, async t => {
    const document = documentFetcher({ egress, signal: AbortSignal.timeout(5000) })(
      await respondingServer(t, status, body),
    )
    if (error) await assert.rejects(document, error)
    else assert.deepEqual(await document, JSON.parse(body))
  })

test('a document without end is given up as soon as it is too large, not when the time is over', async t => {
  const chunk = 'a'.repeat(64 * 1024)
  let sent = 0
  const closed = Promise.withResolvers<void>()
  const url = await listen(t, (request, response) => {
    const pour = (): void => {
      while (!response.destroyed) {
        sent += chunk.length
        if (!response.write(chunk)) return void response.once('drain', pour)
      }
    }
    request.on('close', closed.resolve)
    pour()
  })
  await assert.rejects(
    documentFetcher({ egress, signal: AbortSignal.timeout(60_000) })(url),
    /larger than 524288 bytes/,
  )
  await closed.promise
  assert.ok(sent < 32 * limit, `${sent} bytes were taken off the server`)
})

for (const status of [301, 302, 303, 307, 308])
  test(`a ${status} is not followed`, async t => {
    let followed = 0
    const target = await listen(t, (_request, response) => {
      followed++
      response.end('{"keys":[]}')
    })
    const url = await respondingServer(t, status, '', { location: target.href })
    await assert.rejects(
      documentFetcher({ egress, signal: AbortSignal.timeout(5000) })(url),
      new RegExp(`HTTP ${status}`),
    )
    assert.equal(followed, 0)
  })

const silences: readonly (readonly [
  what: string,
  respond: (request: IncomingMessage, response: ServerResponse) => void,
])[] = [
  ['never responds', () => undefined],
  ['sends its headers only', (_request, response) => response.writeHead(200).flushHeaders()],
  ['stops in the middle', (_request, response) => void response.writeHead(200).write('{"keys":')],
  [
    'sends a little now and then',
    (request, response) => {
      response.writeHead(200).write('{"keys":')
      const timer = setInterval(() => response.write(' '), 10)
      request.on('close', () => clearInterval(timer))
    },
  ],
]
for (const [what, respond] of silences)
  test(`a server that ${what} is given up in time`, async t => {
    const url = await listen(t, respond)
    const began = performance.now()
    await assert.rejects(documentFetcher({ egress, signal: AbortSignal.timeout(150) })(url))
    assert.ok(performance.now() - began < 1000)
  })

test('an unreachable server is reported with its URL and the cause', async t => {
  const url = await respondingServer(t, 200, '')
  const nowhere = new URL(url)
  nowhere.port = '1'
  await assert.rejects(documentFetcher({ egress, signal: AbortSignal.timeout(1000) })(nowhere), (error: Error) => {
    assert.ok(error.message.startsWith(nowhere.href))
    assert.ok(error.cause instanceof Error)
    return true
  })
})

test('https needs a certificate that is trusted; the issuer’s own authority is one', async t => {
  const [ca, other] = [createAuthority('own'), createAuthority('other')]
  const { certPem, keyPem } = ca.issue()
  const url = await listen(t, (_request, response) => response.end('{"keys":[]}'), { cert: certPem, key: keyPem })
  await assert.rejects(documentFetcher({ egress, signal: AbortSignal.timeout(5000) })(url), /certificate/)
  await assert.rejects(
    documentFetcher({ egress, signal: AbortSignal.timeout(5000), ca: other.caPem })(url),
    /certificate/,
  )
  assert.deepEqual(await documentFetcher({ egress, signal: AbortSignal.timeout(5000), ca: ca.caPem })(url), {
    keys: [],
  })
})

test('a certificate for another name is refused, with any CA', async t => {
  const ca = createAuthority('own')
  const { certPem, keyPem } = ca.issue({ names: ['issuer.example'] })
  const url = await listen(t, (_request, response) => response.end('{}'), { cert: certPem, key: keyPem })
  await assert.rejects(
    documentFetcher({ egress, signal: AbortSignal.timeout(5000), ca: ca.caPem })(url),
    /altnames|certificate/,
  )
})
