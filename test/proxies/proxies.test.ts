import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createAuthority, type Leaf, type LeafOptions } from '../../emulator/certificates.ts'
import { graph, type Reply, sampleCaller, send, startWorld, type TestBroker } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { proxies, startProxy, withoutProxy } from './servers.ts'

const world = await startWorld()
const server = createAuthority('servers CA')
const clients = createAuthority('clients CA')
const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
const leaf = (options: LeafOptions = {}, by = clients): Leaf =>
  by.issue({ names: [spiffe], usage: 'client', ...options })
const worker = leaf()
/** Has a certificate of the same authority, but no rule. The attacker: it knows the worker's certificate, not its key. */
const other = leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] })
const rules = [{ name: 'mesh', callers: [{ san: spiffe }, sampleCaller], tenants: ['contoso'], scopes: [graph] }]

/** A broker with TLS behind a proxy that forwards certificates in `header`, and a function that sends through the proxy. */
async function start(proxy: (typeof proxies)[number], header: string) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-proxy-'))
  const { certPem, keyPem } = server.issue({ names: ['broker.internal', 'localhost', '127.0.0.1'] })
  const files = {
    'proxy.crt': certPem,
    'proxy.key': keyPem,
    'proxy.pem': `${certPem}${keyPem}`,
    'clients-ca.pem': clients.caPem,
    'broker-ca.pem': server.caPem,
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const broker = await world.broker(
    { after },
    {
      policy: { rules },
      environment: {
        HOST: '127.0.0.1',
        TLS_CERT_FILE: join(folder, 'proxy.crt'),
        TLS_KEY_FILE: join(folder, 'proxy.key'),
        TLS_CLIENT_CA_FILE: join(folder, 'clients-ca.pem'),
        BROKER_TRUSTED_PROXIES: '127.0.0.1',
        BROKER_CLIENT_CERT_HEADER: header,
      },
    },
  )
  const port = await startProxy({ after }, proxy, folder, Number(new URL(broker.url).port))
  after(() => rm(folder, { recursive: true, force: true }))
  const requestToken = (presented?: Leaf, headers: Readonly<Record<string, string | string[]>> = {}): Promise<Reply> =>
    send(`https://localhost:${port}/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ tenant: 'contoso', scope: graph }),
      ca: server.caPem,
      ...(presented && { cert: presented.certPem, key: presented.keyPem }),
    })
  return { broker, requestToken }
}

const der = ({ certPem }: Leaf): string => `:${new X509Certificate(certPem).raw.toString('base64')}:`
const element = ({ certPem }: Leaf): string => `Cert="${encodeURIComponent(certPem)}"`
const clientCert = { 'client-cert': der(worker) }
const xfcc = { 'x-forwarded-client-cert': element(worker) }
const forged: readonly [headers: Readonly<Record<string, string | string[]>>, why: string][] = [
  [clientCert, 'Client-Cert'],
  [xfcc, 'X-Forwarded-Client-Cert'],
  [{ ...clientCert, ...xfcc }, 'both'],
  [{ 'client-cert': [der(worker), der(worker)] }, 'Client-Cert twice'],
  [{ 'x-forwarded-client-cert': [element(worker), element(worker)] }, 'X-Forwarded-Client-Cert twice'],
  [{ 'client-cert': `${der(worker)}, ${der(worker)}` }, 'a list in Client-Cert'],
  [{ 'x-forwarded-client-cert': `${element(worker)},${element(worker)}` }, 'two elements'],
  [{ 'CLIENT-CERT': der(worker), 'X-FORWARDED-CLIENT-CERT': element(worker) }, 'in upper case'],
  [{ client_cert: der(worker), x_forwarded_client_cert: element(worker) }, 'with underscores'],
  [
    { ...clientCert, ...xfcc, connection: 'client-cert, x-forwarded-client-cert' },
    'named as headers of the connection',
  ],
  [{ ...clientCert, ...xfcc, 'client-cert-chain': der(worker) }, 'with a chain'],
]

const names = (broker: TestBroker): unknown[] =>
  broker.events('token.issued').map(({ caller }) => (caller as { name?: unknown }).name)

for (const proxy of proxies) {
  const [, header = ''] = /BROKER_CLIENT_CERT_HEADER=(\S+)/.exec(read(`examples/proxies/${proxy.recipe}`)) ?? []
  describe(`behind ${proxy.program} with examples/proxies/${proxy.recipe}`, { skip: withoutProxy(proxy) }, async () => {
    if (withoutProxy(proxy) !== false) return
    const { broker, requestToken } = await start(proxy, header)

    test('a caller is authenticated by its certificate', async () => {
      const reply = await requestToken(worker)
      assert.equal(reply.status, 200, reply.text)
      assert.deepEqual(names(broker), [spiffe])
    })

    test('a caller without a certificate is not, but may have a token', async () => {
      const reply = await requestToken()
      assert.equal(reply.json['code'], 'unauthenticated', reply.text)
      const authorization = `Bearer ${await world.emulator.mintCallerToken()}`
      assert.equal((await requestToken(undefined, { authorization })).status, 200)
    })

    test('a certificate of another authority is not accepted', async () => {
      const foreign = leaf({}, createAuthority('clients CA'))
      // The proxy ends the handshake, or answers itself.
      const status = await requestToken(foreign).then(
        reply => reply.status,
        () => 0,
      )
      assert.ok([0, 400, 401].includes(status), String(status))
    })

    const hasChain = /SSL_CLIENT_CERT_CHAIN_0|chain: true/.test(read(`examples/proxies/${proxy.recipe}`))
    test(`a certificate of an intermediate authority ${hasChain ? 'comes with' : 'lacks'} its chain`, async () => {
      const middle = clients.below('middle')
      const { certPem, keyPem } = leaf({}, middle)
      const reply = await requestToken({ certPem: `${certPem}${middle.caPem}`, keyPem })
      assert.equal(reply.status, hasChain ? 200 : 401, reply.text)
      const lower = middle.below('lower')
      const nested = leaf({}, lower)
      const chain = `${nested.certPem}${lower.caPem}${middle.caPem}`
      const deeper = await requestToken({ certPem: chain, keyPem: nested.keyPem })
      assert.equal(deeper.status, hasChain ? 200 : 401, deeper.text)
    })

    for (const [headers, why] of forged) {
      test(`the public certificate alone does not authenticate as the worker: ${why}`, async () => {
        const none = await requestToken(undefined, headers)
        assert.equal(none.json['code'], 'unauthenticated', none.text)
        const reply = await requestToken(other, headers)
        assert.ok([401, 403].includes(reply.status), reply.text)
      })

      test(`the worker stays itself: ${why}`, async () => {
        const forgedByWorker = Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [
            name,
            String(value).replaceAll(der(worker), der(other)).replaceAll(element(worker), element(other)),
          ]),
        )
        const before = names(broker).length
        const { status } = await requestToken(worker, forgedByWorker)
        assert.ok(status === 200 || status === 401, String(status))
        assert.deepEqual(new Set(names(broker).slice(before)), new Set(status === 200 ? [spiffe] : []))
      })
    }

    test("the address in the audit log is the caller's, not one that it chose", async () => {
      const before = broker.events('token.issued').length
      await requestToken(worker, { 'x-forwarded-for': '198.51.100.7' })
      // In the place of loopback, Envoy forwards another address of the machine.
      const ofMachine = Object.values(networkInterfaces()).flatMap(each => each ?? [])
      const address = broker.events('token.issued')[before]?.['address']
      assert.ok(
        ofMachine.some(each => each.address === address),
        String(address),
      )
    })
  })
}
