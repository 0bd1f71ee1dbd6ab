import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createAuthority, type Leaf, type LeafOptions } from '../../../../emulator/certificates.ts'
import {
  type Closing,
  graph,
  observers,
  sampleCaller,
  send,
  startWorld,
  type TestBroker,
} from '../../../support/broker.ts'

const world = await startWorld()
const { emulator } = world
const clients = createAuthority('clients CA')
const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
const leaf = (options: LeafOptions = {}, by = clients): Leaf =>
  by.issue({ names: [spiffe], usage: 'client', ...options })
const worker = leaf()
const other = leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] })
const der = ({ certPem }: Leaf): string => new X509Certificate(certPem).raw.toString('base64')
/** One certificate behind the other. */
const twice = (...leaves: readonly Leaf[]): string =>
  Buffer.concat(leaves.map(each => new X509Certificate(each.certPem).raw)).toString('base64')
const hashOf = ({ certPem }: Leaf): string => new X509Certificate(certPem).fingerprint256.replaceAll(':', '')
const escaped = ({ certPem }: Leaf): string => encodeURIComponent(certPem)

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const caFile = join(folder, 'ca.crt')
await writeFile(caFile, clients.caPem)
const rules = [
  { name: 'mesh', callers: [{ san: spiffe }, sampleCaller], tenants: ['contoso'], scopes: [graph] },
  observers,
]
const behind = (proxies: string, header = 'client-cert', t: Closing = { after }) =>
  world.broker(t, {
    policy: { rules },
    environment: {
      BROKER_TRUSTED_PROXIES: proxies,
      TLS_CLIENT_CA_FILE: caFile,
      BROKER_CLIENT_CERT_HEADER: header,
    },
  })
/** One trusts a proxy that sends Client-Cert, the other one that sends X-Forwarded-Client-Cert. */
const brokers = {
  'client-cert': await behind('10.0.0.0/8, 127.0.0.1', 'client-cert'),
  'x-forwarded-client-cert': await behind('10.0.0.0/8, 127.0.0.1', 'x-forwarded-client-cert'),
}
const brokerFor = (headers: Headers) => brokers['client-cert' in headers ? 'client-cert' : 'x-forwarded-client-cert']
const untrusted = await behind('10.0.0.0/8,::1')

type Headers = Readonly<Record<string, string | string[]>>
const requestToken = (broker: TestBroker, headers: Headers) =>
  send(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
  })
const xfcc = (value: string | string[]): Headers => ({ 'x-forwarded-client-cert': value })
const clientCert = (value: string | string[]): Headers => ({ 'client-cert': value })
const element = (certificate: Leaf) => `Hash=${hashOf(certificate)};Cert="${escaped(certificate)}";URI=${spiffe}`
const good = `:${der(worker)}:`

describe('a trusted proxy forwards the certificate of its peer', () => {
  const accepted: readonly [headers: Headers, why: string][] = [
    [xfcc(element(worker)), 'X-Forwarded-Client-Cert, as Envoy writes it'],
    [xfcc(`Cert="${escaped(worker)}"`), 'with the certificate alone'],
    [
      xfcc(
        `By=spiffe://a/b;By=spiffe://a/c;Hash=${hashOf(worker).toLowerCase()};Subject="CN=a,O=\\"b\\";x";Cert="${escaped(worker)}"`,
      ),
      'with commas and quotes in a subject',
    ],
    [xfcc(`cert="${escaped(worker)}"`), 'with keys in any case'],
    [clientCert(good), 'Client-Cert (RFC 9440)'],
  ]
  for (const [headers, why] of accepted) {
    test(`200: ${why}`, async () => {
      const reply = await requestToken(brokerFor(headers), headers)
      assert.equal(reply.status, 200, reply.text)
    })
  }

  const refused: readonly [headers: Headers, status: number, why: string][] = [
    [{}, 401, 'no header, and no other credential'],
    [xfcc(`${element(worker)},${element(worker)}`), 401, 'two elements'],
    [xfcc([element(worker), element(worker)]), 401, 'two headers'],
    [xfcc([element(other), element(worker)]), 401, 'two headers, the first of another caller'],
    [xfcc(`Cert="${escaped(worker)}";Cert="${escaped(worker)}"`), 401, 'two certificates in an element'],
    [xfcc(`Hash=${hashOf(other)};Cert="${escaped(worker)}"`), 401, "another certificate's hash"],
    [xfcc(`Hash=${hashOf(worker)};URI=${spiffe}`), 401, 'plain words in place of a certificate'],
    [xfcc(`URI=${spiffe}`), 401, 'only a name'],
    [xfcc(''), 401, 'an empty header'],
    [xfcc('nonsense'), 401, 'nonsense'],
    [xfcc(`Cert="${escaped(worker)}`), 401, 'a quote that does not end'],
    [xfcc('Cert="%zz"'), 401, 'an invalid escape'],
    [xfcc(`Cert="${escaped(worker)}"garbage`), 401, 'something after the quote'],
    [xfcc(element(other)), 403, 'a name that no rule grants'],
    [clientCert(`${good}, ${good}`), 401, 'two byte sequences'],
    [clientCert([good, good]), 401, 'two Client-Cert headers'],
    [clientCert(der(worker)), 401, 'no colons'],
    [clientCert('::'), 401, 'an empty byte sequence'],
    [clientCert(`${good};a=b`), 401, 'parameters'],
    [clientCert(`:${Buffer.from('x').toString('base64')}:`), 401, 'no certificate'],
    [clientCert(`:${Buffer.from(worker.certPem).toString('base64')}:`), 401, 'PEM in place of DER'],
    [clientCert(`:${twice(worker, other)}:`), 401, 'two certificates in a byte sequence'],
    [xfcc(`Cert="${encodeURIComponent(worker.certPem + other.certPem)}"`), 401, 'two certificates in PEM'],
    [xfcc(`Cert="${encodeURIComponent(`x\n${worker.certPem}`)}"`), 401, 'something before the PEM'],
    [xfcc(`Cert="${encodeURIComponent(worker.certPem.replaceAll('CERT', 'TRUSTED CERT'))}"`), 401, "OpenSSL's own PEM"],
    [clientCert(`:${der(leaf({}, createAuthority('clients CA')))}:`), 401, 'of another authority'],
    [
      clientCert(`:${der(leaf({}, clients.below('middle')))}:`),
      401,
      'of an intermediate authority that is not listed itself, without its chain',
    ],
    [clientCert(`:${der(leaf({ days: -1 }))}:`), 401, 'expired'],
    [clientCert(`:${der(leaf({ from: 1, days: 2 }))}:`), 401, 'not valid yet'],
    [clientCert(`:${der(leaf({ isAuthority: true }))}:`), 401, 'a CA certificate'],
    [clientCert(`:${der({ certPem: clients.caPem, keyPem: '' })}:`), 401, 'the authority itself'],
    [{ ...clientCert(good), authorization: 'Bearer nonsense' }, 401, 'a bad bearer with it'],
  ]
  for (const [headers, status, why] of refused) {
    test(`${status}: ${why}`, async () => {
      const reply = await requestToken(brokerFor(headers), headers)
      assert.equal(reply.status, status, reply.text)
    })
  }

  test('a good bearer token says who the caller is, whatever the header says', async () => {
    const authorization = `Bearer ${await emulator.mintCallerToken()}`
    assert.equal((await requestToken(brokerFor(xfcc('')), { ...xfcc('nonsense'), authorization })).status, 200)
  })
})

const counted = async (broker: TestBroker, header: string): Promise<number> => {
  const { text } = await broker.get('/metrics')
  return Number(new RegExp(`token_broker_ignored_headers_total\\{header="${header}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

describe('one header counts', () => {
  const own: Readonly<Record<keyof typeof brokers, Headers>> = {
    'client-cert': clientCert(good),
    'x-forwarded-client-cert': xfcc(element(worker)),
  }
  const pairs = [
    ['client-cert', 'x-forwarded-client-cert'],
    ['x-forwarded-client-cert', 'client-cert'],
  ] as const
  for (const [header, another] of pairs) {
    test(`${another} is ignored from a trusted proxy that uses the other, and counted`, async () => {
      const broker = brokers[header]
      const before = await counted(broker, another)
      assert.equal((await requestToken(broker, own[another])).status, 401)
      assert.equal(await counted(broker, another), before + 1)
    })

    test(`with both headers, ${header} says who the caller is`, async () => {
      const broker = brokers[header]
      const before = [await counted(broker, header), await counted(broker, another)]
      const others = { 'client-cert': clientCert(`:${der(other)}:`), 'x-forwarded-client-cert': xfcc(element(other)) }
      assert.equal((await requestToken(broker, { ...own[header], ...others[another] })).status, 200)
      assert.equal((await requestToken(broker, { ...others[header], ...own[another] })).status, 403)
      const counts = [await counted(broker, header), await counted(broker, another)]
      assert.deepEqual(counts, [before[0], (before[1] ?? 0) + 2], 'only the other is ignored')
    })
  }

  test('without authorities of client certificates, neither counts, and both are counted as ignored', async t => {
    const environment = { BROKER_TRUSTED_PROXIES: '127.0.0.1' }
    const broker = await world.broker(t, { policy: { rules }, environment })
    assert.equal((await requestToken(broker, { ...own['client-cert'], ...own['x-forwarded-client-cert'] })).status, 401)
    for (const header of Object.keys(own)) assert.equal(await counted(broker, header), 1, header)
  })
})

describe('a peer that is not a trusted proxy cannot', () => {
  for (const [header, value] of [
    ['x-forwarded-client-cert', element(worker)],
    ['client-cert', good],
  ] as const) {
    test(`${header} is ignored, and counted`, async () => {
      const before = await counted(untrusted, header)
      assert.equal((await requestToken(untrusted, { [header]: value })).status, 401)
      assert.equal(await counted(untrusted, header), before + 1)
    })
  }

  test('a broker without trusted proxies ignores them too', async t => {
    const alone = await world.broker(t, { policy: { rules } })
    assert.equal((await requestToken(alone, xfcc(element(worker)))).status, 401)
    assert.equal(await counted(alone, 'x-forwarded-client-cert'), 1)
  })
})

describe("the address that is logged is the caller's", () => {
  const addressSeen = async (broker: TestBroker, forwardedFor?: string | string[]): Promise<unknown> => {
    await requestToken(broker, forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor })
    // Of one that is refused again, the log has a line in the next minute, or when the broker stops.
    await broker.service.close()
    return broker.events('caller.refused').at(-1)?.['address']
  }
  const table: readonly [header: string | string[] | undefined, expected: string, why: string][] = [
    [undefined, '127.0.0.1', 'no header: the proxy itself'],
    ['192.0.2.7', '192.0.2.7', 'one address'],
    ['198.51.100.1, 192.0.2.7', '192.0.2.7', 'the last address: anyone can write what comes before it'],
    ['192.0.2.7, 10.1.2.3', '192.0.2.7', 'a trusted proxy behind a trusted proxy'],
    ['198.51.100.1, 192.0.2.7, 10.1.2.3, 10.9.9.9', '192.0.2.7', 'two trusted proxies'],
    ['10.1.2.3', '10.1.2.3', 'only trusted proxies: the farthest'],
    [['198.51.100.1', '192.0.2.7'], '192.0.2.7', 'two headers are one list'],
    ['192.0.2.7:4711', '192.0.2.7', 'with a port'],
    ['[2001:db8::7]:4711', '2001:db8::7', 'IPv6 with a port'],
    ['2001:db8::7', '2001:db8::7', 'IPv6'],
    ['::ffff:192.0.2.7', '192.0.2.7', 'IPv4 in IPv6'],
    ['192.0.2.7, unknown', '127.0.0.1', 'a word in place of an address: the proxy itself'],
    ['192.0.2.7, ', '127.0.0.1', 'an empty entry'],
    ['192.0.2.7", "event":"token.issued', '127.0.0.1', 'not an address: the proxy itself, and the text is not logged'],
    ['fe80::1%"x"', '127.0.0.1', 'a zone'],
    ['192.0.2.07', '127.0.0.1', 'digits that are not an address'],
  ]
  for (const [header, expected, why] of table) {
    test(`${expected}: ${why}`, async t => {
      assert.equal(await addressSeen(await behind('10.0.0.0/8, 127.0.0.1', 'client-cert', t), header), expected)
    })
  }

  test('X-Forwarded-For of any other peer is ignored, and counted', async t => {
    const before = await counted(untrusted, 'x-forwarded-for')
    await requestToken(untrusted, { 'x-forwarded-for': '192.0.2.7' })
    assert.equal(await counted(untrusted, 'x-forwarded-for'), before + 1)
    assert.equal(await addressSeen(await behind('10.0.0.0/8,::1', 'client-cert', t), '192.0.2.7'), '127.0.0.1')
  })
})
