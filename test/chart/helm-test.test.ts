import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createAuthority, type Leaf } from '../../emulator/certificates.ts'
import { startWorld } from '../support/broker.ts'
import { read } from '../support/sources.ts'

const script = read('helm/files/test.mjs')
const serverName = 'token-broker.token-broker.svc'
const ca = createAuthority('chart CA')
const leaf = ca.issue({ names: [serverName] })
const world = await startWorld()

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the script as the pod does, with one attempt unless the environment says otherwise. */
async function runScript(environment: Readonly<Record<string, string>>): Promise<Outcome> {
  const networkOff = join(import.meta.dirname, '../support/network-off.ts')
  const child = spawn(process.execPath, ['--import', networkOff, '--input-type=module', '--eval', script], {
    env: { WITHIN_SECONDS: '0', SERVER_NAME: serverName, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  return { code, stdout, stderr }
}

/** A stand-in on loopback; its URL. */
async function listen(t: TestContext, answer: RequestListener, tls?: Leaf): Promise<string> {
  const server = tls ? createTlsServer({ cert: tls.certPem, key: tls.keyPem }, answer) : createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function fileWith(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'ca.crt')
  await writeFile(path, text)
  return path
}

/** A minimal broker: ready, and 401 for every other request. */
const good: RequestListener = ({ url }, response) =>
  url === '/readyz' ? response.end('{}') : response.writeHead(401).end('{"code":"unauthenticated"}')
const always =
  (status: number, body: string): RequestListener =>
  (_request, response) =>
    response.writeHead(status).end(body)

describe('helm test', () => {
  test('passes against the broker itself, with TLS by a private CA and a management port', async t => {
    const [certFile, keyFile] = [await fileWith(t, leaf.certPem), await fileWith(t, leaf.keyPem)]
    const environment = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, MANAGEMENT_PORT: '9090' }
    const { service, url, managementUrl } = await world.broker(t, { environment })
    const target = { MANAGEMENT_URL: managementUrl, SERVICE_URL: url, CA_FILE: await fileWith(t, ca.caPem) }
    const before = await runScript(target)
    assert.deepEqual([before.code, before.stdout], [1, ''])
    assert.match(before.stderr, /^FAIL {2}GET .*\/readyz: not ready: /)

    await service.warmUp()
    const { code, stdout } = await runScript(target)
    assert.equal(
      stdout,
      `ok    GET ${managementUrl}/readyz: a replica is ready\nok    POST ${url}/tokens: no token without a credential\n`,
    )
    assert.equal(code, 0)
  })

  test('passes over plain http, if a proxy in the pod terminates TLS', async t => {
    const url = await listen(t, good)
    assert.equal((await runScript({ MANAGEMENT_URL: url, SERVICE_URL: url })).code, 0)
  })

  test('waits until a replica becomes ready', async t => {
    let requests = 0
    const url = await listen(t, (request, response) =>
      request.url === '/readyz' && ++requests < 3 ? response.writeHead(503).end() : good(request, response),
    )
    const environment = { MANAGEMENT_URL: url, SERVICE_URL: url, WITHIN_SECONDS: '15', PAUSE_MS: '1' }
    assert.equal((await runScript(environment)).code, 0)
    assert.equal(requests, 3)
  })

  for (const [what, { tls, trusted, says }] of Object.entries({
    "another CA's certificate": { tls: leaf, trusted: createAuthority().caPem, says: /they do not match/ },
    'a private CA that is not in the Secret': { tls: leaf, trusted: undefined, says: /has no ca\.crt: add it/ },
    'an empty ca.crt': { tls: leaf, trusted: '\n', says: /has no ca\.crt: add it/ },
    'a certificate for another name': {
      tls: ca.issue({ names: ['127.0.0.1', 'localhost'] }),
      trusted: ca.caPem,
      says: /ERR_TLS_CERT_ALTNAME_INVALID: .* not valid for token-broker\.token-broker\.svc: set tls\.serverName/,
    },
    'a certificate that has expired': {
      tls: ca.issue({ names: [serverName], days: -1 }),
      trusted: ca.caPem,
      says: /CERT_HAS_EXPIRED: .* renew the TLS Secret/,
    },
  })) {
    test(`fails with ${what}`, async t => {
      const url = await listen(t, good, tls)
      const file = trusted === undefined ? join(tmpdir(), 'no-such-folder/ca.crt') : await fileWith(t, trusted)
      const { code, stderr } = await runScript({ MANAGEMENT_URL: url, SERVICE_URL: url, CA_FILE: file })
      assert.equal(code, 1)
      assert.match(stderr, says)
    })
  }

  for (const [what, management, main, says] of [
    ['a broker that is not ready', always(503, '{}'), good, /\/readyz: not ready: .*"not ready yet"/],
    ['something else on the management port', always(404, ''), good, /\/readyz: status 404: is this the/],
    ['a Service that responds with 200', good, always(200, '{}'), /\/tokens: status 200 instead of 401/],
    ['a Service that leads to something else', good, always(401, '<html>'), /\/tokens: status 401 .*something else/],
  ] as const) {
    test(`fails with ${what}`, async t => {
      const environment = { MANAGEMENT_URL: await listen(t, management), SERVICE_URL: await listen(t, main) }
      const { code, stderr } = await runScript(environment)
      assert.equal(code, 1)
      assert.match(stderr, says)
    })
  }

  test('fails if nothing listens, and if the server uses plain http instead of TLS', async t => {
    const url = await listen(t, good)
    const plain = await runScript({ MANAGEMENT_URL: url.replace('http:', 'https:'), SERVICE_URL: url })
    assert.deepEqual([plain.code, /the TLS handshake failed/.test(plain.stderr)], [1, true], plain.stderr)
    const unreachable = await runScript({ MANAGEMENT_URL: 'http://127.0.0.1:1', SERVICE_URL: url })
    assert.deepEqual([unreachable.code, /no replica is ready/.test(unreachable.stderr)], [1, true], unreachable.stderr)
  })

  test('never leaves a certificate unverified', () => {
    assert.doesNotMatch(script, /rejectUnauthorized|checkServerIdentity|TLS_REJECT/)
  })
})
