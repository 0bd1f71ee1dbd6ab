import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { createAuthority } from '../../../emulator/certificates.ts'
import { EnvironmentReader } from '../../../src/config/environment.ts'
import { readProxy } from '../../../src/config/proxy.ts'
import { createEgress, type Egress } from '../../../src/outbound/network/egress.ts'
import { sendRequest } from '../../../src/outbound/network/request.ts'
import { type Closing, until } from '../../support/broker.ts'
import { type ConnectProxy, startConnectProxy } from '../../support/connect-proxy.ts'

const authority = createAuthority('server CA')
const { certPem: cert, keyPem } = authority.issue({ names: ['server.example', 'localhost'] })
const ca = authority.caPem
let respond = (response: ServerResponse): void => void response.end('ok')
const server = createServer({ cert, key: keyPem }, (_request, response) => respond(response))
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
after(() => {
  server.close()
  server.closeAllConnections()
})
const { port } = server.address() as AddressInfo

/** The agents of a process with these variables. */
function egressOf(environment: Readonly<Record<string, string>>, keepAlive = false, connectWithinMs = 20_000): Egress {
  const read = new EnvironmentReader(environment)
  const proxy = readProxy(read)
  assert.deepEqual(read.errors, [])
  return createEgress(proxy, { keepAlive, connectWithinMs })
}

/** The status of a request, once its response has arrived. */
async function request(egress: Egress, url: string, signal = AbortSignal.timeout(20_000)): Promise<number | undefined> {
  const response = await sendRequest(new URL(url), egress, { ca, signal })
  await response.toArray()
  return response.statusCode
}

const proxyFor = (t: Closing, userInfo = ''): Promise<ConnectProxy> => startConnectProxy(t, port, userInfo)

describe('a request to another server', () => {
  test('goes through the proxy, with its credential decoded, and the server is authenticated as without it', async t => {
    const proxy = await proxyFor(t, 'broker:p%40ss%3Aword@')
    const egress = egressOf({ HTTPS_PROXY: proxy.url })
    assert.equal(await request(egress, 'https://server.example'), 200)
    assert.deepEqual(proxy.seen, [{ target: 'server.example:443', credential: 'broker:p@ss:word' }])
    await assert.rejects(request(egress, 'https://other.example'), /altnames/)
  })

  test('follows https_proxy too', async t => {
    const proxy = await proxyFor(t)
    assert.equal(await request(egressOf({ https_proxy: proxy.url }), 'https://server.example'), 200)
  })

  test('does not follow HTTP_PROXY or ALL_PROXY', async t => {
    const proxy = await proxyFor(t)
    const egress = egressOf({ HTTP_PROXY: proxy.url, ALL_PROXY: proxy.url })
    await assert.rejects(request(egress, 'https://server.example'), /network is off/)
    assert.deepEqual(proxy.seen, [])
  })

  for (const keepAlive of [true, false])
    test(`${keepAlive ? 'shares' : 'has'} a connection of its own through the proxy: keepAlive ${keepAlive}`, async t => {
      const proxy = await proxyFor(t)
      const egress = egressOf({ HTTPS_PROXY: proxy.url }, keepAlive)
      t.after(() => egress.https.destroy())
      for (let nth = 0; nth < 2; nth++) assert.equal(await request(egress, 'https://server.example'), 200)
      assert.equal(proxy.seen.length, keepAlive ? 1 : 2)
    })
})

const rows: readonly (readonly [noProxy: string, host: string, way: 'proxy' | 'direct', why: string])[] = [
  ['', 'a.example', 'proxy', 'nothing is excepted'],
  ['*', 'a.example', 'direct', 'everything is excepted'],
  ['a.example', 'a.example', 'direct', 'the name'],
  ['a.example', 'b.a.example', 'direct', 'a name below it, as for curl and Go'],
  ['a.example', 'ba.example', 'proxy', 'a name that ends alike'],
  ['b.a.example', 'a.example', 'proxy', 'a name above it'],
  ['.a.example', 'b.a.example', 'direct', 'a dot before it'],
  ['*.a.example', 'b.a.example', 'direct', 'a star before it'],
  ['*.a.example', 'a.example', 'proxy', 'a star stands for a name below it'],
  ['A.EXAMPLE', 'a.example', 'direct', 'case does not count'],
  ['x.example, a.example', 'a.example', 'direct', 'a list with spaces'],
  ['x.example a.example', 'a.example', 'direct', 'a list of spaces'],
  ['a.example:8443', 'a.example:8443', 'direct', 'a port'],
  ['a.example:8443', 'a.example', 'proxy', 'another port'],
  ['a.example:8443', 'b.a.example:8443', 'proxy', 'a name below it, with a port'],
  ['10.1.2.3', '10.1.2.3', 'direct', 'an address'],
  ['10.1.2.3', '10.1.2.4', 'proxy', 'another address'],
  ['10.1.2.3:6443', '10.1.2.3:6443', 'direct', 'an address with a port'],
  ['10.0.0.0/8', '10.255.255.255', 'direct', 'the last address of a network'],
  ['10.1.2.3/8', '10.0.0.0', 'direct', 'the first one, although the network is written with another'],
  ['10.0.0.0/8', '11.0.0.0', 'proxy', 'the first address after a network'],
  ['192.168.1.10/32', '192.168.1.10', 'direct', 'a network of one address'],
  ['0.0.0.0/0', '203.0.113.1', 'direct', 'every address'],
  ['0.0.0.0/0', 'a.example', 'proxy', 'a name is not looked up'],
  ['10.1.0.0-10.2.0.0', '10.1.255.255', 'direct', 'a range'],
  ['fd00::1', '[fd00::1]', 'direct', 'an IPv6 address'],
  ['[fd00::1]', '[fd00::1]', 'direct', 'an IPv6 address in brackets'],
  ['[fd00::1]:8443', '[fd00::1]:8443', 'direct', 'an IPv6 address with a port'],
  ['fd00::1', '[fd00::2]', 'proxy', 'another IPv6 address'],
]
describe('NO_PROXY', () => {
  for (const [noProxy, host, way, why] of rows)
    test(`"${noProxy}": ${host} is reached ${way === 'proxy' ? 'through the proxy' : 'directly'}: ${why}`, async t => {
      const proxy = await proxyFor(t)
      proxy.behaviour = 'refuse'
      for (const environment of [{ NO_PROXY: noProxy }, { no_proxy: noProxy }]) {
        // No network and no such server: only the way counts.
        await assert.rejects(request(egressOf({ HTTPS_PROXY: proxy.url, ...environment }), `https://${host}`))
      }
      const target = /:\d+$/.test(host) ? host : `${host}:443`
      assert.deepEqual(
        proxy.seen.map(seen => seen.target),
        way === 'proxy' ? [target, target] : [],
      )
    })
})

for (const host of ['localhost', '127.0.0.1', '127.8.9.10', '[::1]'])
  test(`${host} is never reached through the proxy`, async t => {
    const proxy = await proxyFor(t)
    const egress = egressOf({ HTTPS_PROXY: proxy.url, NO_PROXY: 'x.example' })
    const url = `https://${host}:${port}`
    if (host === 'localhost') assert.equal(await request(egress, url), 200)
    else await assert.rejects(request(egress, url))
    assert.deepEqual(proxy.seen, [])
  })

describe('a proxy that does not connect', () => {
  test('is an error that names it without its password', async t => {
    const proxy = await proxyFor(t, 'broker:correct-horse@')
    proxy.behaviour = 'refuse'
    await assert.rejects(
      request(egressOf({ HTTPS_PROXY: proxy.url }, true), 'https://server.example'),
      (error: Error) => {
        assert.match(
          error.message,
          /^Failed to establish tunnel to server\.example:443 via http:\/\/127\.0\.0\.1:\d+\/: HTTP\/1\.1 407/,
        )
        assert.doesNotMatch(inspect(error, { depth: 9 }), /correct-horse/)
        return true
      },
    )
    await until('the connection is closed', () => proxy.open() === 0)
  })

  for (const behaviour of ['silent', 'dead'] as const) {
    test(`(${behaviour}) ends the request at its deadline`, async t => {
      const proxy = await proxyFor(t)
      proxy.behaviour = behaviour
      const deadline = new AbortController()
      const sent = request(egressOf({ HTTPS_PROXY: proxy.url }), 'https://server.example', deadline.signal)
      await until('it is connected', () => proxy.seen.length === 1)
      deadline.abort(new Error('too late'))
      await assert.rejects(sent, /too late/)
    })

    test(`(${behaviour}) keeps no connection beyond the time for it`, async t => {
      const proxy = await proxyFor(t)
      proxy.behaviour = behaviour
      const egress = egressOf({ HTTPS_PROXY: proxy.url }, true, 50)
      await assert.rejects(request(egress, 'https://server.example'), /the proxy made no connection within 50 ms/)
      await until('the connection is closed', () => proxy.open() === 0)
    })
  }
})

for (const way of ['through the proxy', 'directly'])
  test(`the time for a connection does not limit a request that is connected ${way}`, async t => {
    const proxy = await proxyFor(t)
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const egress = egressOf({ HTTPS_PROXY: proxy.url }, true, 2000)
    t.after(() => egress.https.destroy())
    const received = Promise.withResolvers<ServerResponse>()
    respond = received.resolve
    t.after(() => (respond = response => void response.end('ok')))
    const status = request(egress, way === 'directly' ? `https://localhost:${port}` : 'https://server.example')
    const response = await received.promise
    t.mock.timers.tick(2001)
    response.end('ok')
    assert.equal(await status, 200)
  })
