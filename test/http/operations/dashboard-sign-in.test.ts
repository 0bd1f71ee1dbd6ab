import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../../../src/service/package.ts'
import { send, startWorld, until, type TestBroker } from '../../support/broker.ts'
import { dashboardClient, startIssuer, type TestIssuer } from '../../support/sign-in-issuer.ts'

const world = await startWorld()

const environment = { BROKER_DASHBOARD_CLIENT_ID: dashboardClient, BROKER_DASHBOARD_ISSUER: 'corp' }
const withIssuer = ({ issuer }: TestIssuer) => ({
  issuers: {
    corp: { issuer, audiences: ['token-broker'] },
    emulator: { issuer: world.emulator.callerIssuer, audiences: ['token-broker'] },
  },
})
const signInOf = async ({ managementUrl }: TestBroker) => (await send(`${managementUrl}/dashboard/sign-in`)).json
const connectSources = (policy: unknown): string => /connect-src ([^;]*);/.exec(String(policy))?.[1] ?? ''

describe('without a client id', () => {
  test('there is nothing to sign in with, and the page may send requests to this broker only', async t => {
    const broker = await world.broker(t)
    const { status, text, headers } = await send(`${broker.url}/dashboard/sign-in`)
    assert.deepEqual([status, text, headers['cache-control']], [200, '{}', 'no-store'])
    const page = await send(`${broker.url}/dashboard`)
    assert.equal(connectSources(page.headers['content-security-policy']), "'self'")
  })
})

describe('with a client id', () => {
  test("the page gets the issuer's metadata without a credential, and may send requests to its token endpoint too", async t => {
    const issuer = await startIssuer(t, ['http://127.0.0.1/dashboard'])
    const broker = await world.broker(t, { policy: withIssuer(issuer), environment })
    await until('the metadata', async () => 'server' in (await signInOf(broker)))
    const { server, ...rest } = await signInOf(broker)
    assert.deepEqual(rest, { issuer: issuer.issuer, client_id: dashboardClient, scope: 'openid' })
    const { token_endpoint: tokenEndpoint } = server as Record<string, unknown>
    assert.equal(tokenEndpoint, `${issuer.issuer}/token`)
    const page = await send(`${broker.url}/dashboard`)
    assert.equal(connectSources(page.headers['content-security-policy']), `'self' ${issuer.issuer}`)
    const script = await send(`${broker.url}/dashboard/view/main.js`)
    assert.equal(connectSources(script.headers['content-security-policy']), "'self'")
  })

  test('a browser that has the page under another policy gets it again', async t => {
    const issuer = await startIssuer(t, ['http://127.0.0.1/dashboard'])
    const without = await world.broker(t, { policy: withIssuer(issuer) })
    const { etag } = (await send(`${without.url}/dashboard`)).headers
    const broker = await world.broker(t, { policy: withIssuer(issuer), environment })
    await until('the metadata', async () => 'server' in (await signInOf(broker)))
    const get = (tag: unknown) => send(`${broker.url}/dashboard`, { headers: { 'if-none-match': String(tag) } })
    const again = await get(etag)
    assert.equal(again.status, 200)
    assert.equal((await get(again.headers.etag)).status, 304)
  })

  test('while the issuer does not respond, it is named without its metadata, and the broker is well', async t => {
    const issuer = 'http://localhost:9'
    const policy = { issuers: { ...withIssuer({ issuer } as TestIssuer).issuers } }
    const broker = await world.broker(t, { policy, environment })
    await until('a warning', () => broker.logText().includes('sign in to the dashboard'))
    assert.deepEqual(await signInOf(broker), { issuer, client_id: dashboardClient, scope: 'openid' })
    assert.equal((await broker.requestToken()).status, 200)
  })

  test('it is on the management listener only, if there is one', async t => {
    const issuer = await startIssuer(t, ['http://127.0.0.1/dashboard'])
    const broker = await world.broker(t, {
      policy: withIssuer(issuer),
      environment: { ...environment, MANAGEMENT_PORT: '0' },
    })
    assert.equal((await send(`${broker.url}/dashboard/sign-in`)).status, 404)
    assert.equal((await signInOf(broker))['client_id'], dashboardClient)
  })
})

test('the OAuth library is the file of its package, unchanged', async t => {
  const broker = await world.broker(t)
  const { status, headers, text } = await send(`${broker.url}/dashboard/lib/oauth4webapi.js`)
  assert.deepEqual([status, headers['content-type']], [200, 'text/javascript; charset=utf-8'])
  assert.equal(text, await readFile(join(packageRoot, 'node_modules/oauth4webapi/build/index.js'), 'utf8'))
})
