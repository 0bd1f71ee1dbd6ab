import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { createSigningKey } from '../../../emulator/jws.ts'
import { refreshAfterMs } from '../../../src/broker/authentication/jwks.ts'
import type { IssuerSettings } from '../../../src/broker/policy/model.ts'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { connectIssuers } from '../../../src/outbound/issuers/issuer-keys.ts'
import { directEgress } from '../../../src/outbound/network/egress.ts'
import { TestClock } from '../../support/broker.ts'

const key = await createSigningKey('ES256', 'cluster-key')
const ca = createAuthority('cluster CA')
const pair = ca.issue()
const discoveryPath = '/.well-known/openid-configuration'
const keysPath = '/openid/v1/jwks'
const token = 'pod-token-1'

interface Settings {
  /** The tokens that are accepted now. */
  tokens: readonly string[]
  /** The URL of the keys in the discovery document: by default the server's own. */
  jwksUri?: string
  /** Where every request is redirected to. */
  location?: string
}

/**
 * A Kubernetes API server. A path produces one media type, and anything else that is accepted gets 406. Anonymous requests
 * are refused with 403 and unknown tokens with 401.
 */
async function apiServer(t: TestContext, settings: Settings) {
  const seen: { readonly path: string; readonly authorization: string | undefined }[] = []
  const produced: Readonly<Record<string, string>> = {
    [discoveryPath]: 'application/json',
    [keysPath]: 'application/jwk-set+json',
  }
  const statusOf = (path: string, { authorization, accept = '*/*' }: IncomingHttpHeaders): number => {
    if (authorization === undefined) return 403
    if (!settings.tokens.includes(authorization.replace(/^Bearer /, ''))) return 401
    const accepted = accept.split(',').map(each => each.trim())
    return accepted.includes(produced[path] ?? '') ? 200 : 406
  }
  const listener: RequestListener = ({ url = '', headers }, response) => {
    seen.push({ path: url, authorization: headers.authorization })
    if (settings.location !== undefined) response.setHeader('location', settings.location)
    const status = settings.location === undefined ? statusOf(url, headers) : 307
    response.writeHead(status, { 'content-type': produced[url] })
    const document = { issuer: origin, jwks_uri: settings.jwksUri ?? `${origin}${keysPath}` }
    response.end(status === 200 ? JSON.stringify(url === keysPath ? { keys: [key.jwk] } : document) : undefined)
  }
  const server = createServer({ cert: pair.certPem, key: pair.keyPem }, listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return { origin, seen }
}

/** A folder with the cluster's CA and the pod's token, and a function that connects an issuer with them. */
async function pod(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [caFile, jwksTokenFile] = [join(folder, 'ca.crt'), join(folder, 'token')]
  await writeFile(caFile, ca.caPem)
  await writeFile(jwksTokenFile, `${token}\n`)
  const clock = new TestClock()
  const reported: string[] = []
  const keysOf = async (
    settings: Partial<IssuerSettings> & { issuer: string },
    credential: object = { jwksTokenFile },
  ) => {
    const options = {
      clock,
      egress: directEgress(false),
      timeoutMs: 5000,
      upstreamCalled: (_upstream: unknown, _seconds: number, error?: Error) => void reported.push(String(error?.cause)),
    }
    const all = { name: 'cluster', audiences: ['token-broker'], caFile, ...credential, ...settings }
    const [issuer] = await connectIssuers([all], options)
    assert.ok(issuer)
    return issuer.keys
  }
  return { clock, jwksTokenFile, keysOf, reported }
}

const causeOf = (error: unknown): string => String(error instanceof Error && error.cause)

describe('the keys of a Kubernetes API server', () => {
  test('are read with the token of jwksTokenFile, and in the media type that it has', async t => {
    const { origin, seen } = await apiServer(t, { tokens: [token] })
    const { keysOf } = await pod(t)
    assert.ok((await (await keysOf({ issuer: origin })).ready()).text.includes('cluster-key'))
    const authorization = `Bearer ${token}`
    assert.deepEqual(seen, [
      { path: discoveryPath, authorization },
      { path: keysPath, authorization },
    ])
  })

  test('are read with the new token after it rotated', async t => {
    const settings: Settings = { tokens: [token] }
    const { origin, seen } = await apiServer(t, settings)
    const { clock, jwksTokenFile, keysOf, reported } = await pod(t)
    const keys = await keysOf({ issuer: origin })
    await keys.ready()
    settings.tokens = ['pod-token-2']
    await writeFile(jwksTokenFile, 'pod-token-2')
    clock.advance(2 * (refreshAfterMs / 1000))
    await keys.ready()
    assert.deepEqual(
      seen.map(({ authorization }) => authorization),
      [`Bearer ${token}`, `Bearer ${token}`, 'Bearer pod-token-2', 'Bearer pod-token-2'],
    )
    assert.deepEqual(reported, ['undefined', 'undefined'], 'both fetches succeeded')
  })

  test('cannot be read without a token, nor with one that is not accepted; the error has the status, not the token', async t => {
    const { origin } = await apiServer(t, { tokens: ['another'] })
    const { keysOf } = await pod(t)
    await assert.rejects((await keysOf({ issuer: origin })).ready(), error => {
      assert.ok(causeOf(error).endsWith(`${origin}${discoveryPath} responded HTTP 401`), causeOf(error))
      return true
    })
    await assert.rejects((await keysOf({ issuer: origin }, {})).ready(), error => {
      assert.ok(causeOf(error).endsWith(`${origin}${discoveryPath} responded HTTP 403`), causeOf(error))
      return true
    })
  })
})

describe('the token of jwksTokenFile', () => {
  test('is not sent to another server that the discovery document names, and the error says what to do', async t => {
    const other = await apiServer(t, { tokens: [token] })
    const { origin } = await apiServer(t, { tokens: [token], jwksUri: `${other.origin}${keysPath}` })
    const { keysOf } = await pod(t)
    await assert.rejects((await keysOf({ issuer: origin })).ready(), error => {
      const hint = `responded HTTP 403 without the token of jwksTokenFile, which is sent to ${origin} only; set jwksUri`
      assert.ok(causeOf(error).endsWith(hint), causeOf(error))
      return true
    })
    assert.deepEqual(other.seen, [{ path: keysPath, authorization: undefined }])
  })

  test('is sent to the server of jwksUri, whatever the issuer is called', async t => {
    const { origin, seen } = await apiServer(t, { tokens: [token] })
    const { keysOf } = await pod(t)
    const issuer = 'https://kubernetes.default.svc.cluster.local'
    await (await keysOf({ issuer, jwksUri: `${origin}${keysPath}` })).ready()
    assert.deepEqual(seen, [{ path: keysPath, authorization: `Bearer ${token}` }])
  })

  test('does not follow a redirect', async t => {
    const other = await apiServer(t, { tokens: [token] })
    const { origin } = await apiServer(t, { tokens: [token], location: `${other.origin}${keysPath}` })
    const { keysOf } = await pod(t)
    await assert.rejects((await keysOf({ issuer: origin, jwksUri: `${origin}${keysPath}` })).ready())
    assert.deepEqual(other.seen, [])
  })
})

const encoded = (json: object): string => Buffer.from(JSON.stringify(json)).toString('base64url')
const assertion = `${encoded({ alg: 'RS256' })}.${encoded({ aud: ['api://AzureADTokenExchange'] })}.c2ln`
const unusable: readonly (readonly [what: string, content: string])[] = [
  ['nothing', '\n'],
  ['two lines, which would be two headers', 'one\r\nx-evil: two'],
  ['characters that no header can have', 'evil\u00e9'],
  ['more than a token', 'evil'.repeat(20_000)],
  ["the broker's own client assertion", assertion],
]
describe('a jwksTokenFile', () => {
  for (const [what, content] of unusable)
    test(`with ${what} is an error at load that names it and does not repeat it`, async t => {
      const { jwksTokenFile, keysOf } = await pod(t)
      await writeFile(jwksTokenFile, content)
      await assert.rejects(keysOf({ issuer: 'https://cluster.example' }), (error: unknown) => {
        assert.ok(error instanceof InvalidConfigurationError)
        const [{ where, what: why } = { where: '', what: '' }, ...more] = error.errors
        assert.deepEqual([where, more], ['issuers.cluster.jwksTokenFile', []])
        assert.ok(why.includes(jwksTokenFile) && !why.includes('evil') && !why.includes(assertion), why)
        return true
      })
    })

  test('that becomes unusable later fails the fetch, without a request', async t => {
    const { origin, seen } = await apiServer(t, { tokens: [token] })
    const { jwksTokenFile, keysOf } = await pod(t)
    const keys = await keysOf({ issuer: origin })
    await rm(jwksTokenFile)
    await assert.rejects(keys.ready(), error => {
      assert.match(causeOf(error), /ENOENT/)
      return true
    })
    assert.deepEqual(seen, [])
  })
})
