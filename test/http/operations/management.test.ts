import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { graph, send, startWorld, trust, until } from '../../support/broker.ts'
import { scrape, valueOf } from '../../telemetry/scrape.ts'

const world = await startWorld()
const { emulator } = world
const environment = { MANAGEMENT_PORT: '0' }
const broker = await world.broker({ after }, { environment })
const bearer = async (sub: string) => ({ authorization: `Bearer ${await emulator.mintCallerToken({ sub })}` })

const operations = [
  '/livez',
  '/readyz',
  '/health',
  '/metrics',
  '/cache',
  '/cache/entries',
  '/cache/failures',
  '/decisions',
  '/dashboard',
  '/docs',
  '/openapi.json',
]

test('the two listeners are separate', () => assert.notEqual(broker.managementUrl, broker.url))

describe('the main listener', () => {
  for (const path of operations)
    test(`does not serve ${path}, with or without the permission`, async () => {
      for (const headers of [{}, await bearer('dashboard')]) {
        const { status, json } = await send(broker.url + path, { headers })
        assert.deepEqual([status, json['code']], [404, 'not_found'])
      }
    })

  test('serves tokens', async () => assert.equal((await broker.requestToken()).status, 200))
})

describe('the management listener', () => {
  for (const method of ['POST', 'GET', 'DELETE'])
    test(`does not serve ${method} /tokens`, async () => {
      const headers = { ...(await bearer('sample-caller')), 'content-type': 'application/json' }
      const body = method === 'POST' ? { body: JSON.stringify({ tenant: 'contoso', scope: graph }) } : {}
      const { status, json } = await send(`${broker.managementUrl}/tokens`, { method, headers, ...body })
      assert.deepEqual([status, json['code']], [404, 'not_found'])
    })

  for (const path of ['/livez', '/readyz', '/metrics', '/dashboard', '/docs', '/openapi.json'])
    test(`${path} is open`, async () => {
      const { status } = await send(broker.managementUrl + path)
      assert.equal(status, path === '/readyz' ? 503 : 200)
    })

  test('/metrics ignores credentials, however bad', async () => {
    const { status, headers } = await broker.get('/metrics', { token: 'nonsense' })
    assert.deepEqual([status, headers['cache-control']], [200, 'no-store'])
    assert.equal(broker.events('caller.refused').filter(line => line['endpoint'] === 'metrics').length, 0)
  })

  for (const path of ['/health', '/cache', '/cache/entries', '/cache/failures', '/decisions'])
    test(`${path} is guarded: 401, 403, 200`, async () => {
      const url = broker.managementUrl + path
      assert.equal((await send(url)).status, 401)
      assert.equal((await send(url, { headers: await bearer('stranger') })).status, 403)
      assert.equal((await send(url, { headers: await bearer('dashboard') })).status, 200)
    })

  test('shows the state of the main listener: one cache, one set of counters, one policy', async t => {
    const here = await world.broker(t, { environment })
    await here.requestToken()
    await here.requestToken()
    await send(`${here.url}/nowhere`)
    const metrics = await scrape(here)
    const shown = [
      'token_broker_cache_requests_total{result="miss"}',
      'token_broker_cache_requests_total{result="hit"}',
      'token_broker_requests_total{endpoint="none",outcome="not_found"}',
      'token_broker_cache_entries',
    ].map(key => valueOf(metrics, key))
    assert.deepEqual(shown, [1, 1, 1, 1])
    assert.equal((await here.get('/cache')).json['entries'], 1)
  })
})

test('without MANAGEMENT_PORT everything is on one listener, and /metrics needs the permission', async t => {
  const here = await world.broker(t)
  assert.equal(here.service.management, undefined)
  for (const path of operations) {
    const { status } = await here.get(path)
    assert.equal(status, path === '/readyz' ? 503 : 200, path)
  }
  assert.equal((await send(`${here.url}/metrics`)).status, 401)
})

test('draining is visible on the management listener, which stays open as long as the main one responds', async t => {
  const here = await world.broker(t, { environment })
  await here.service.warmUp()
  const readyz = () => send(`${here.managementUrl}/readyz`, { headers: { connection: 'keep-alive' } })
  assert.equal((await readyz()).status, 200)
  here.service.drain()
  const { status, headers } = await readyz()
  assert.deepEqual([status, headers.connection], [503, 'close'])
  assert.equal((await here.requestToken()).status, 200)

  // Closing waits for running requests; the management listener closes last.
  emulator.configure({ latency: { token: 500 } })
  emulator.resetCounts()
  const running = here.requestToken({ tenant: 'fabrikam', scope: graph })
  await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests === 1)
  const closed = here.service.close()
  await until('the main listener is closed', () => !here.service.app.server.listening)
  assert.equal((await send(`${here.managementUrl}/livez`)).status, 200)
  assert.equal((await running).status, 200)
  await closed
  await assert.rejects(send(`${here.managementUrl}/livez`), /ECONNREFUSED/)
})

describe('with TLS', () => {
  const ca = createAuthority('broker CA')
  trust(ca.caPem)
  async function startWithTls(t: TestContext) {
    const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
    const write = async (authority = ca) => {
      const { certPem, keyPem } = authority.issue()
      for (const [file, pem] of [
        [keyFile, keyPem],
        [certFile, certPem],
      ] as const) {
        await writeFile(`${file}.new`, pem)
        await rename(`${file}.new`, file)
      }
    }
    await write()
    const tls = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, HOST: '127.0.0.1' }
    return { write, broker: await world.broker(t, { environment: { ...environment, ...tls } }) }
  }

  test('both listeners use it, and neither accepts plain http', async t => {
    const { broker: here } = await startWithTls(t)
    assert.equal((await here.requestToken()).status, 200)
    assert.equal((await here.get('/health')).status, 200)
    for (const url of [here.url, here.managementUrl]) {
      assert.match(url, /^https:/)
      await assert.rejects(send(`${url.replace('https:', 'http:')}/livez`))
    }
  })

  test('both listeners renew the certificate', async t => {
    const { write, broker: here } = await startWithTls(t)
    const other = createAuthority('another CA')
    const isRenewed = (url: string) =>
      send(`${url}/livez`, { ca: other.caPem }).then(
        () => true,
        () => false,
      )
    assert.deepEqual([await isRenewed(here.url), await isRenewed(here.managementUrl)], [false, false])
    await write(other)
    await until('the renewed certificate of the main listener', () => isRenewed(here.url), 20)
    assert.ok(await isRenewed(here.managementUrl))
  })
})
