import assert from 'node:assert/strict'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { createAuthority, type Leaf } from '../../emulator/certificates.ts'
import { systemClock } from '../../src/broker/lib/clock.ts'
import type { CheckId } from '../../src/doctor/check-table.ts'
import { isDirect } from '../../src/doctor/hops/no-proxy.ts'
import { readConfig } from '../../src/config/config.ts'
import { trust } from '../support/broker.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { freePort } from '../support/ports.ts'
import { managed } from '../support/settings.ts'
import { idsOf, startDoctorWorld, textOf } from './world.ts'

const world = await startDoctorWorld()
const { emulator } = world

const trusted = createAuthority('the internet')
trust(trusted.caPem)
const inspector = createAuthority('Contoso TLS Inspection')
const entraHost = 'login.microsoftonline.com'

async function portOf(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

const well: RequestListener = (_, response) => response.end('{"issuer":"https://login.example"}')
const https = (t: TestContext, { certPem: cert, keyPem: key }: Leaf, respond = well): Promise<number> =>
  portOf(t, createHttpsServer({ cert, key }, respond))

/** All checks of the way to Entra that follow one. */
const order: readonly CheckId[] = ['network.dns', 'network.tcp', 'network.tls', 'network.https', 'network.clock']
const after = (id: CheckId): readonly CheckId[] => order.slice(order.indexOf(id) + 1)

interface Row {
  readonly fault: string
  readonly fails: CheckId
  readonly says: RegExp
  /** Resolves to the authority. */
  readonly plant: (t: TestContext) => Promise<string>
}

const local = async (port: Promise<number>): Promise<string> => `https://localhost:${await port}`
const rows: readonly Row[] = [
  {
    fault: 'a host that DNS does not know',
    fails: 'network.dns',
    says: /DNS does not resolve unknown\.example[\s\S]*nslookup unknown\.example/,
    plant: () => Promise.resolve('https://unknown.example'),
  },
  {
    fault: 'a port that is closed',
    fails: 'network.tcp',
    says: /no TCP connection to localhost:\d+ \(ECONNREFUSED\)[\s\S]*allow outgoing TCP/,
    plant: () => local(freePort()),
  },
  {
    fault: 'a proxy that inspects TLS',
    fails: 'network.tls',
    says: /issued by "Contoso TLS Inspection"[\s\S]*NODE_EXTRA_CA_CERTS=/,
    plant: t => local(https(t, inspector.issue())),
  },
  {
    fault: 'a certificate that has ended',
    fails: 'network.tls',
    says: /CERT_HAS_EXPIRED[\s\S]*date -u/,
    plant: t => local(https(t, trusted.issue({ from: -3, days: -1 }))),
  },
  {
    fault: 'a certificate of another server',
    fails: 'network.tls',
    says: /ERR_TLS_CERT_ALTNAME_INVALID[\s\S]*DNS:other\.example[\s\S]*responds in place/,
    plant: t => local(https(t, trusted.issue({ names: ['other.example'] }))),
  },
  {
    fault: 'a server that does not speak TLS',
    fails: 'network.tls',
    says: /no TLS with localhost[\s\S]*openssl s_client/,
    plant: t => local(portOf(t, createHttpServer(well))),
  },
  {
    fault: 'a firewall that lets TCP through and drops TLS',
    fails: 'network.tls',
    says: /no TLS with localhost \(no response\)/,
    plant: t => local(portOf(t, createTcpServer())),
  },
  {
    fault: 'a page of a firewall in place of Entra',
    fails: 'network.https',
    says: /HTTP 200 from localhost:\d+ is not a response of Entra/,
    plant: t => local(https(t, trusted.issue(), (_, response) => response.end('<html>blocked</html>'))),
  },
  {
    fault: 'a server that does not respond',
    fails: 'network.https',
    says: /no response of localhost:\d+ over https \(time-out\)/,
    plant: t => local(https(t, trusted.issue(), () => undefined)),
  },
]

describe('the first hop that fails is named, and those behind it are skipped', () => {
  for (const { fault, fails, says, plant } of rows)
    test(fault, async t => {
      const BROKER_AUTHORITY = await plant(t)
      const environment = { BROKER_AUTHORITY, BROKER_UNSAFE_AUTHORITY: 'true', BROKER_UPSTREAM_TIMEOUT_MS: '2000' }
      const report = await world.examine(t, { environment })
      assert.deepEqual(idsOf(report, 'failed'), [fails])
      assert.match(textOf(report, fails), says)
      for (const id of [...after(fails), 'tenants.known', 'federation.credential'] as const)
        assert.ok(idsOf(report, 'skipped').includes(id), id)
      assert.equal(report.exchanges, 0)
    })
})

describe('the clock is compared with the header Date', () => {
  const shifted = (seconds: number) => ({ ...systemClock, now: () => Date.now() + seconds * 1000 })
  for (const [seconds, status, says] of [
    [3, 'ok', /differs from Entra's by [234] s/],
    [-30, 'warning', /(29|30|31) s behind Entra's[\s\S]*chronyc/],
    [90, 'warning', /(89|90|91) s ahead of/],
    [200, 'failed', /(199|200|201) s ahead of/],
    [-200, 'failed', /behind/],
  ] as const)
    test(`${seconds} s: ${status}`, async t => {
      const report = await world.examine(t, { clock: shifted(seconds) })
      assert.ok(idsOf(report, status).includes('network.clock'))
      assert.match(textOf(report, 'network.clock'), says)
      assert.equal(idsOf(report, 'skipped').includes('federation.credential'), status === 'failed')
      assert.deepEqual(idsOf(report, 'failed'), status === 'failed' ? ['network.clock'] : [])
    })

  test('a clock that is days ahead is the only failure: the identity token has not ended', async t => {
    const report = await world.examine(t, { clock: shifted(10 * 86_400) })
    assert.deepEqual(idsOf(report, 'failed'), ['network.clock'])
  })
})

describe('through a proxy', () => {
  const password = 'correct-horse-battery'
  const environmentOf = (url: string) => ({
    BROKER_AUTHORITY: '',
    BROKER_UNSAFE_AUTHORITY: '',
    HTTPS_PROXY: url,
    BROKER_UPSTREAM_TIMEOUT_MS: '2000',
  })

  test('every hop is checked behind it, and its password is not in the report', async t => {
    const port = await https(t, trusted.issue({ names: [entraHost] }))
    const proxy = await startConnectProxy(t, port, `broker:${password}@`)
    const report = await world.examine(t, { environment: environmentOf(proxy.url) })
    assert.match(
      textOf(report, 'network.proxy'),
      /the proxy http:\/\/127\.0\.0\.1:\d+ connects to login\.microsoftonline\.com:443/,
    )
    assert.ok(idsOf(report, 'ok').includes('network.tls') && idsOf(report, 'ok').includes('network.https'))
    assert.equal(proxy.seen[0]?.credential, `broker:${password}`)
    assert.ok(!JSON.stringify(report).includes(password))
  })

  test('a proxy that inspects TLS is named by its certificate', async t => {
    const proxy = await startConnectProxy(t, await https(t, inspector.issue({ names: [entraHost] })))
    const report = await world.examine(t, { environment: environmentOf(proxy.url) })
    assert.deepEqual(idsOf(report, 'failed'), ['network.tls'])
    assert.match(textOf(report, 'network.tls'), /"Contoso TLS Inspection"/)
  })

  for (const [behaviour, says] of [
    ['refuse', /makes no connection to login\.microsoftonline\.com:443 \(HTTP 407\)/],
    ['silent', /\(no response\)/],
  ] as const)
    test(`a proxy that is ${behaviour}`, async t => {
      const proxy = await startConnectProxy(t, await freePort())
      proxy.behaviour = behaviour
      const report = await world.examine(t, { environment: environmentOf(proxy.url) })
      assert.deepEqual(idsOf(report, 'failed'), ['network.proxy'])
      assert.match(textOf(report, 'network.proxy'), says)
      assert.ok(idsOf(report, 'skipped').includes('network.dns'))
    })

  test('a proxy at which nothing listens', async t => {
    const environment = environmentOf(`http://127.0.0.1:${await freePort()}`)
    const report = await world.examine(t, { environment })
    assert.match(textOf(report, 'network.proxy'), /ECONNREFUSED/)
  })

  test('NO_PROXY with the host of Entra: the proxy is not used', async t => {
    const environment = { ...environmentOf('http://127.0.0.1:1'), NO_PROXY: 'microsoftonline.com' }
    const report = await world.examine(t, { environment })
    assert.match(textOf(report, 'network.proxy'), /without the proxy, by NO_PROXY/)
    assert.deepEqual(idsOf(report, 'failed'), ['network.dns'])
  })
})

describe('NO_PROXY is read as the broker reads it', () => {
  for (const [noProxy, host, expected] of [
    ['', 'login.example', false],
    ['*', 'login.example', true],
    ['login.example', 'login.example', true],
    ['example', 'login.example', true],
    ['LOGIN.example', 'login.example', true],
    ['*.example', 'login.example', true],
    ['gin.example', 'login.example', false],
    ['login.example:443', 'login.example', true],
    ['login.example:8443', 'login.example', false],
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['other.example', 'login.example', false],
  ] as const)
    test(`"${noProxy}" and ${host}`, () => {
      const { proxy } = readConfig({ ...managed, HTTPS_PROXY: 'http://proxy.example', NO_PROXY: noProxy })
      assert.equal(isDirect(host, 443, proxy?.noProxy ?? ''), expected)
    })
})

test('emulator faults at discovery are named at https', async t => {
  emulator.fault({ kind: 'html', at: 'discovery' })
  const report = await world.examine(t)
  assert.deepEqual(idsOf(report, 'failed'), ['network.https'])
})
