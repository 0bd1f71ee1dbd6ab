import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import { readBody } from '../../emulator/http.ts'
import { createSigningKey, signJws } from '../../emulator/jws.ts'
import { wireAgent } from '../../src/agent/wire.ts'
import { settingsOf } from '../agent/flags.ts'
import { graph, sampleCaller, send, startWorld, trust } from '../support/broker.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'

// All egress of a broker and of an agent, with a proxy in front of Entra, an issuer and the broker. The identity endpoint
// and the emulator's issuer are on loopback.

const world = await startWorld()
const entraHost = 'login.microsoftonline.com'
const names = [entraHost, 'issuer.example', 'broker.example']
const ca = createAuthority('the internet')
trust(ca.caPem)
const { certPem: cert, keyPem } = ca.issue({ names })
const key = await createSigningKey('ES256', 'issuer-key')
const token = 'an-opaque-token-of-entra'

/** All servers behind the proxy, by their names. */
const internet = createServer({ cert, key: keyPem }, (request, response) => {
  const { host = '' } = request.headers
  const origin = `https://${host}`
  void readBody(request).then(() => {
    const path = request.url ?? ''
    const issuer = { issuer: origin, jwks_uri: `${origin}/keys` }
    const tokens = { access_token: token, token_type: 'Bearer', expires_in: 3600 }
    const ofBroker = { ...tokens, refresh_in: 3000, tenant: 'contoso', scope: graph, application: 'default' }
    const text = {
      [entraHost]: () => JSON.stringify(tokens),
      'issuer.example': () => JSON.stringify(path === '/keys' ? { keys: [key.jwk] } : issuer),
      'broker.example': () => JSON.stringify(ofBroker),
    }[host]
    response.setHeader('content-type', 'application/json').end(text?.())
  })
})
await new Promise<void>(resolve => internet.listen(0, '127.0.0.1', resolve))
after(() => {
  internet.close()
  internet.closeAllConnections()
})

const password = 'correct-horse'
const secrets = [password, Buffer.from(`broker:${password}`).toString('base64')]
const proxyFor = (t: TestContext) =>
  startConnectProxy(t, (internet.address() as AddressInfo).port, `broker:${password}@`)

/** The Azure SDK reads these variables of the process by itself. What it would use, nothing listens to. */
function misleadSdk(t: TestContext): void {
  const { HTTPS_PROXY } = process.env
  process.env['HTTPS_PROXY'] = 'http://127.0.0.1:1'
  t.after(() => {
    if (HTTPS_PROXY === undefined) delete process.env['HTTPS_PROXY']
    else process.env['HTTPS_PROXY'] = HTTPS_PROXY
  })
}

const issuer = { issuer: 'https://issuer.example', audiences: ['token-broker'] }
const callers = [{ issuer: 'corp', subject: 'worker' }, sampleCaller]
const policy = {
  issuers: { corp: issuer, emulator: { issuer: world.emulator.callerIssuer, audiences: ['token-broker'] } },
  rules: [{ name: 'all', callers, tenants: ['contoso'], scopes: [graph] }],
}
const mint = (): Promise<string> => {
  const now = Math.floor(world.clock.now() / 1000)
  const claims = { iss: issuer.issuer, aud: 'token-broker', sub: 'worker', iat: now, exp: now + 600 }
  return signJws({ alg: 'ES256', kid: 'issuer-key' }, claims, key)
}

const brokerBehind = (t: TestContext, environment: Readonly<Record<string, string>>) =>
  world.broker(t, { policy, environment: { BROKER_AUTHORITY: `https://${entraHost}`, ...environment } })

test("a broker fetches an issuer's keys and exchanges tokens through the proxy, and reaches identity and loopback directly", async t => {
  misleadSdk(t)
  const proxy = await proxyFor(t)
  const broker = await brokerBehind(t, { HTTPS_PROXY: proxy.url })
  const reply = await broker.requestToken(undefined, { token: await mint() })
  assert.deepEqual([reply.status, reply.json['access_token']], [200, token], reply.text)
  // Keys of the emulator, on loopback.
  assert.equal((await broker.requestToken()).status, 200)
  assert.equal(world.emulator.counts().endpoints.identity.total, 1)
  const targets = proxy.seen.map(({ target }) => target)
  assert.deepEqual(targets, ['issuer.example:443', 'issuer.example:443', `${entraHost}:443`])
  for (const { credential } of proxy.seen) assert.equal(credential, `broker:${password}`)
})

test('NO_PROXY applies to each of them', async t => {
  misleadSdk(t)
  const proxy = await proxyFor(t)
  const broker = await brokerBehind(t, { HTTPS_PROXY: proxy.url, NO_PROXY: 'issuer.example,.microsoftonline.com' })
  assert.equal((await broker.requestToken(undefined, { token: await mint() })).status, 503)
  assert.equal((await broker.requestToken()).status, 503)
  assert.deepEqual(proxy.seen, [])
})

test('a proxy that refuses is an unavailable upstream, and its password is in no log line and no response', async t => {
  const proxy = await proxyFor(t)
  proxy.behaviour = 'refuse'
  const broker = await brokerBehind(t, {
    HTTPS_PROXY: proxy.url,
    LOG_LEVEL: 'trace',
    BROKER_UPSTREAM_TIMEOUT_MS: '1000',
  })
  const replies = [await broker.requestToken(), await broker.requestToken(undefined, { token: await mint() })]
  assert.deepEqual(
    replies.map(({ json }) => json['code']),
    ['upstream_unavailable', 'issuer_unavailable'],
  )
  assert.match(broker.logText(), /407 Proxy Authentication Required/)
  for (const secret of secrets)
    assert.ok(![broker.logText(), ...replies.map(({ text }) => text)].join().includes(secret))
})

async function agentBehind(t: TestContext, environment: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [tokenFile, caFile] = [join(folder, 'token'), join(folder, 'ca.pem')]
  await Promise.all([writeFile(tokenFile, 'workload-token'), writeFile(caFile, ca.caPem)])
  const broker = ['--broker', 'https://broker.example', '--tenant', 'contoso', '--secret-file', 'unused']
  const settings = settingsOf([...broker, '--token-file', tokenFile, '--ca-file', caFile], environment)
  const written: string[] = []
  const sink = { write: (line: string) => void written.push(line), flush: () => undefined }
  const secret = 'a-secret-of-256-bits-in-base64url-0123456789'
  const service = await wireAgent(settings, secret, sink)
  t.after(() => service.close())
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const requestToken = () =>
    send(`${url}/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant: 'contoso', scope: graph }),
    })
  return { requestToken, logText: () => written.join('') }
}

test('an agent reaches its broker through the proxy', async t => {
  const proxy = await proxyFor(t)
  const agent = await agentBehind(t, { HTTPS_PROXY: proxy.url })
  const reply = await agent.requestToken()
  assert.deepEqual([reply.status, reply.json['access_token']], [200, token], reply.text)
  assert.deepEqual(proxy.seen, [{ target: 'broker.example:443', credential: `broker:${password}` }])
})

test('an agent reaches a broker of NO_PROXY directly', async t => {
  const proxy = await proxyFor(t)
  const agent = await agentBehind(t, { HTTPS_PROXY: proxy.url, no_proxy: 'broker.example' })
  assert.equal((await agent.requestToken()).status, 503)
  assert.deepEqual(proxy.seen, [])
})

test("an agent whose proxy refuses says so, without the proxy's password", async t => {
  const proxy = await proxyFor(t)
  proxy.behaviour = 'refuse'
  const agent = await agentBehind(t, { HTTPS_PROXY: proxy.url })
  const { status, text } = await agent.requestToken()
  assert.equal(status, 503)
  assert.match(agent.logText(), /407 Proxy Authentication Required/)
  for (const secret of secrets) assert.ok(!`${agent.logText()}${text}`.includes(secret))
})
