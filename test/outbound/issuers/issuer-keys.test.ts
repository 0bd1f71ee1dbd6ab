import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { createSigningKey } from '../../../emulator/jws.ts'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { connectIssuers } from '../../../src/outbound/issuers/issuer-keys.ts'
import { directEgress } from '../../../src/outbound/network/egress.ts'
import { TestClock } from '../../support/broker.ts'

const key = await createSigningKey('ES256', 'issuer-key')
const jwks = JSON.stringify({ keys: [key.jwk] })
const clock = new TestClock()
const egress = directEgress(false)

interface Settings {
  readonly issuer: string
  readonly jwksFile?: string
  readonly jwksUri?: string
  readonly caFile?: string
}
async function keysOf(settings: Settings, timeoutMs = 1000) {
  const [issuer] = await connectIssuers([{ name: 'corp', audiences: ['token-broker'], ...settings }], {
    clock,
    egress,
    timeoutMs,
    upstreamCalled: () => undefined,
  })
  assert.ok(issuer)
  return issuer.keys
}

async function listen(
  t: TestContext,
  listener: RequestListener,
  pair?: { cert: string; key: string },
): Promise<string> {
  const server = pair ? createSecureServer(pair, listener) : createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `${pair ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`
}

/** An issuer whose discovery document is what a test makes of it; its keys are at `/keys`. */
const issuerWith = (t: TestContext, document: (url: string) => unknown, paths: string[] = []) => {
  const listener: RequestListener = (request, response) => {
    paths.push(String(request.url))
    const url = `http://${request.headers.host}`
    response.end(request.url === '/keys' ? jwks : JSON.stringify(document(url)))
  }
  return listen(t, listener)
}

async function file(t: TestContext, content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'file')
  await writeFile(path, content)
  return path
}

test('the discovery document leads to the keys', async t => {
  const paths: string[] = []
  const issuer = await issuerWith(t, url => ({ issuer: url, jwks_uri: `${url}/keys` }), paths)
  const keys = await keysOf({ issuer })
  assert.equal(keys.current(), undefined)
  assert.ok((await keys.ready()).text.includes('issuer-key'))
  assert.deepEqual(paths, ['/.well-known/openid-configuration', '/keys'])
})

test('a slow discovery document leaves less time for the keys: both have one deadline', async t => {
  // Far apart, so that a busy machine changes nothing.
  const [timeoutMs, discoveryMs] = [2000, 1000]
  const issuer = await listen(t, (request, response) => {
    const url = `http://${request.headers.host}`
    // The keys never come.
    if (request.url === '/keys') return
    setTimeout(() => response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` })), discoveryMs)
  })
  const keys = await keysOf({ issuer }, timeoutMs)
  const began = performance.now()
  await assert.rejects(keys.ready(), (error: Error) => {
    assert.match(String(error.cause), /\/keys could not be read/)
    return true
  })
  const took = performance.now() - began
  assert.ok(took < timeoutMs + discoveryMs - 20, `${took} ms`)
})

test('an issuer with a slash at its end has its document below that slash, not below two', async t => {
  const paths: string[] = []
  const origin = await issuerWith(t, url => ({ issuer: `${url}/`, jwks_uri: `${url}/keys` }), paths)
  await (await keysOf({ issuer: `${origin}/` })).ready()
  assert.equal(paths[0], '/.well-known/openid-configuration')
})

const untrustworthy: readonly (readonly [what: string, document: (url: string) => unknown])[] = [
  ['names another issuer', url => ({ issuer: 'https://attacker.example', jwks_uri: `${url}/keys` })],
  ['names the issuer with a slash more', url => ({ issuer: `${url}/`, jwks_uri: `${url}/keys` })],
  ['names no issuer', url => ({ jwks_uri: `${url}/keys` })],
  ['names no keys', url => ({ issuer: url })],
  ['names keys in a list', url => ({ issuer: url, jwks_uri: [`${url}/keys`] })],
  ['is a list', () => []],
  ['is null', () => null],
]
for (const [what, document] of untrustworthy)
  test(`a discovery document that ${what} gives no keys`, async t => {
    const paths: string[] = []
    const issuer = await issuerWith(t, document, paths)
    await assert.rejects((await keysOf({ issuer })).ready(), { code: 'issuer_unavailable' })
    assert.deepEqual(paths, ['/.well-known/openid-configuration'])
  })

const addresses: readonly (readonly [what: string, jwksUri: string, why: RegExp])[] = [
  ['on plain http elsewhere', 'http://keys.example/keys', /must be https/],
  ['in a file', 'file:///etc/passwd', /must be https/],
  ['behind a password', 'https://user:pass@localhost/keys', /user name or a password/],
  ['at what is no URL', 'keys', /must be a URL/],
]
for (const [what, jwksUri, why] of addresses)
  test(`keys ${what} are not requested`, async t => {
    const issuer = await issuerWith(t, url => ({ issuer: url, jwks_uri: jwksUri }))
    const ready = (await keysOf({ issuer })).ready()
    await assert.rejects(ready, (error: Error) => {
      assert.match(String(error.cause), why)
      return true
    })
  })

test('a caFile is what the issuer’s own certificate is checked with', async t => {
  const ca = createAuthority('issuer CA')
  const { certPem, keyPem } = ca.issue()
  const listener: RequestListener = (request, response) => {
    const url = `https://${request.headers.host}`
    response.end(request.url === '/keys' ? jwks : JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` }))
  }
  const issuer = await listen(t, listener, { cert: certPem, key: keyPem })
  assert.ok((await (await keysOf({ issuer, caFile: await file(t, ca.caPem) })).ready()).text.includes('issuer-key'))
  await assert.rejects((await keysOf({ issuer })).ready(), { code: 'issuer_unavailable' })
})

const symmetric = JSON.stringify({ keys: [{ kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' }] })
const privateKey = JSON.stringify({ keys: [{ ...key.privateKey.export({ format: 'jwk' }), kid: 'private' }] })
const files: readonly (readonly [what: string, content: string])[] = [
  ['no JSON', 'keys'],
  ['no key set', '[]'],
  ['no key', '{"keys":[]}'],
  ['a symmetric key: anyone who reads the file could sign', symmetric],
  ['a private key', privateKey],
  ['more than 512 KiB', jwks.padEnd(513 * 1024)],
]
for (const [what, content] of files)
  test(`a jwksFile with ${what} is an error that names it`, async t => {
    await assert.rejects(keysOf({ issuer: 'corp', jwksFile: await file(t, content) }), (error: unknown) => {
      assert.ok(error instanceof InvalidConfigurationError)
      assert.deepEqual(
        error.errors.map(({ where }) => where),
        ['issuers.corp.jwksFile'],
      )
      return true
    })
  })

test('a missing jwksFile or caFile is an error that names it, and all errors are reported', async () => {
  const settings = [
    { name: 'one', issuer: 'one', audiences: ['x'], jwksFile: '/nowhere/jwks.json' },
    { name: 'two', issuer: 'https://two.example', audiences: ['x'], caFile: '/nowhere/ca.pem' },
  ]
  await assert.rejects(
    connectIssuers(settings, { clock, egress, timeoutMs: 1000, upstreamCalled: () => undefined }),
    (error: unknown) => {
      assert.ok(error instanceof InvalidConfigurationError)
      assert.deepEqual(error.errors.map(({ where }) => where).toSorted(), [
        'issuers.one.jwksFile',
        'issuers.two.caFile',
      ])
      return true
    },
  )
})
