import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createAuthority, type Leaf } from '../../../../emulator/certificates.ts'
import { graph, observers, send, startWorld } from '../../../support/broker.ts'
import { extensions, forge } from '../../../support/forge.ts'

const world = await startWorld()
const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
const root = createAuthority('root')
/** Nested SPIRE: each server has an authority of its own, below the one above it. */
const upstream = root.below('upstream')
const downstream = upstream.below('downstream')
const worker = downstream.issue({ names: [spiffe], usage: 'client' })
const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const caFile = join(folder, 'ca.crt')
const plain = forge({ name: 'plain', extensions: [extensions.authority()] })
await writeFile(caFile, `${root.caPem}${plain.certPem}`)
const rules = [{ name: 'mesh', callers: [{ san: spiffe }], tenants: ['contoso'], scopes: [graph] }, observers]
const behind = (header: string) =>
  world.broker(
    { after },
    {
      policy: { rules },
      environment: {
        BROKER_TRUSTED_PROXIES: '127.0.0.1',
        TLS_CLIENT_CA_FILE: caFile,
        BROKER_CLIENT_CERT_HEADER: header,
      },
    },
  )

type Headers = Readonly<Record<string, string | string[]>>
const rfc9440 = await behind('client-cert')
const envoy = await behind('x-forwarded-client-cert')
const requestToken = (headers: Headers) =>
  send(`${('client-cert' in headers ? rfc9440 : envoy).url}/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
  })

const item = (pem: string): string => `:${new X509Certificate(pem).raw.toString('base64')}:`
const own = item(worker.certPem)
const [upper, lower] = [item(upstream.caPem), item(downstream.caPem)]
const chained = (leaf: string, chain?: string | string[]): Headers => ({
  'client-cert': leaf,
  ...(chain !== undefined && { 'client-cert-chain': chain }),
})
const escaped = (...pems: readonly string[]): string => encodeURIComponent(pems.join(''))
const element = ({ certPem }: Leaf, ...chain: readonly string[]): Headers => ({
  'x-forwarded-client-cert': `Cert="${escaped(certPem)}";Chain="${escaped(...chain)}";URI=${spiffe}`,
})
/** A caller with a certificate of its own. The cache is by certificate, so that each row needs one. */
const fresh = (): Leaf => downstream.issue({ names: [spiffe], usage: 'client' })
const [middlePem, upperPem] = [downstream.caPem, upstream.caPem]
const stranger = createAuthority('root').below('upstream')
const constrained = forge({
  name: 'constrained',
  issuer: plain,
  extensions: [extensions.authority(), extensions.permittedUris('prod.example')],
})
const below = forge({ issuer: constrained, extensions: [extensions.names(spiffe)] })
const expired = forge({ name: 'expired', issuer: plain, extensions: [extensions.authority()], days: -0.5 })
const belowExpired = forge({ issuer: expired, extensions: [extensions.names(spiffe)] })
const noAuthority = forge({ name: 'a leaf', issuer: plain, extensions: [extensions.names('spiffe://prod.example/x')] })
const belowLeaf = forge({ issuer: noAuthority, extensions: [extensions.names(spiffe)] })

describe('a proxy forwards the certificates between its peer and an authority', () => {
  const accepted: readonly [headers: () => Headers, why: string][] = [
    [() => chained(item(fresh().certPem), `${lower}, ${upper}`), 'Client-Cert-Chain (RFC 9440)'],
    [() => chained(item(fresh().certPem), `${lower},${upper}`), 'without a space'],
    [() => chained(item(fresh().certPem), [lower, upper]), 'in two headers, which are one list'],
    [() => chained(item(fresh().certPem), `${upper}, ${lower}`), 'in any order'],
    [() => chained(item(fresh().certPem), `${lower}, ${upper}, ${item(root.caPem)}`), 'with the authority itself'],
    [() => chained(item(fresh().certPem), Array(7).fill(lower).with(0, upper)), 'seven, the most of a chain'],
    [
      () => chained(item(root.issue({ names: [spiffe], usage: 'client' }).certPem), item(stranger.caPem)),
      'with one that is not needed',
    ],
    [() => chained(item(root.issue({ names: [spiffe], usage: 'client' }).certPem), ''), 'an empty list'],
    [
      () => {
        const leaf = fresh()
        return element(leaf, leaf.certPem, middlePem, upperPem)
      },
      "Envoy's Chain, which begins with the certificate itself",
    ],
    [() => element(fresh(), middlePem, upperPem), 'Chain without the certificate itself'],
    [() => element(root.issue({ names: [spiffe], usage: 'client' })), 'an empty Chain'],
  ]
  for (const [headers, why] of accepted)
    test(`200: ${why}`, async () => {
      const reply = await requestToken(headers())
      assert.equal(reply.status, 200, reply.text)
    })

  const refused: readonly [headers: () => Headers, says: RegExp, why: string][] = [
    [() => chained(item(fresh().certPem)), /No known authority/, 'no chain'],
    [() => chained(item(fresh().certPem), lower), /No known authority/, 'a part of the chain'],
    [() => chained(item(fresh().certPem), item(stranger.caPem)), /No known authority/, "another authority's"],
    [
      () => chained(item(fresh().certPem), Array(8).fill(lower)),
      /more certificates/,
      'eight, more than a chain may have',
    ],
    [() => chained(item(fresh().certPem), `${lower}, nonsense`), /not a list/, 'something else in the list'],
    [() => chained(item(fresh().certPem), `${lower},`), /not a list/, 'an empty item'],
    [() => chained(item(fresh().certPem), `${lower};a=b, ${upper}`), /not a list/, 'parameters'],
    [() => chained(item(fresh().certPem), lower.replaceAll(':', '')), /not a list/, 'no colons'],
    [() => chained(`${item(fresh().certPem)}, ${lower}`, upper), /exactly one/, 'the chain in Client-Cert'],
    [() => chained(item(below.certPem), item(constrained.certPem)), /name constraints/, 'below name constraints'],
    [() => chained(item(belowExpired.certPem), item(expired.certPem)), /expired/, 'an intermediate that has expired'],
    [
      () => chained(item(belowLeaf.certPem), item(noAuthority.certPem)),
      /No known/,
      'a certificate that is no authority',
    ],
    [() => element(fresh(), middlePem), /No known authority/, 'a part of the chain, in Chain'],
    [() => element(fresh(), ...Array(9).fill(middlePem)), /more certificates/, 'more than a chain, in Chain'],
    [() => element(fresh(), middlePem, 'nonsense'), /exactly one/, 'something else in Chain'],
    [
      () => ({ 'x-forwarded-client-cert': `Chain="${escaped(worker.certPem, middlePem, upperPem)}"` }),
      /exactly one/,
      'no Cert',
    ],
    [
      () => ({ 'x-forwarded-client-cert': `Cert="${escaped(worker.certPem)}";Chain="";Chain="${escaped(middlePem)}"` }),
      /exactly one/,
      'Chain twice',
    ],
  ]
  for (const [headers, says, why] of refused)
    test(`401: ${why}`, async () => {
      const reply = await requestToken(headers())
      assert.equal(reply.status, 401, reply.text)
      assert.match(String(reply.json['detail']), says)
    })

  test('no certificate but a chain is no credential', async () => {
    const headers = { 'content-type': 'application/json', 'client-cert-chain': `${own}, ${lower}, ${upper}` }
    const reply = await send(`${rfc9440.url}/tokens`, { method: 'POST', headers, body: '{}' })
    assert.equal(reply.json['code'], 'unauthenticated', reply.text)
  })

  test('Client-Cert-Chain beside X-Forwarded-Client-Cert is ignored, and counted', async () => {
    const leaf = fresh()
    const alone = { 'x-forwarded-client-cert': `Cert="${escaped(leaf.certPem)}"` }
    assert.equal((await requestToken({ ...alone, 'client-cert-chain': `${lower}, ${upper}` })).status, 401)
    const { text } = await envoy.get('/metrics')
    assert.match(text, /token_broker_ignored_headers_total\{header="client-cert-chain"\} 1\n/)
  })
})
