import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { der, oid, sequence, utf8 } from '../../../emulator/der.ts'
import { createCertificateVerifier } from '../../../src/broker/authentication/client-certificates.ts'
import { BrokerError } from '../../../src/errors.ts'
import { cast, graph, policyOf } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import {
  extension,
  extensions,
  forge,
  type Forged,
  type ForgeOptions,
  pss,
  pssByDefault,
  rsaKey,
  signatures,
} from '../../support/forge.ts'

const rules = [{ name: 'a', callers: [{ san: 'spiffe://prod.example/*' }], tenants: ['contoso'], scopes: [graph] }]
const policy = policyOf({ ...cast, rules })
const spiffe = 'spiffe://prod.example/worker'
const [clientAuth, serverAuth, anyPurpose] = ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1', '2.5.29.37.0']
const keyUsage = { digitalSignature: 0x80, keyEncipherment: 0x20, keyAgreement: 0x08, keyCertSign: 0x04, crlSign: 0x02 }

const authority = (options: Partial<ForgeOptions> = {}, ...more: readonly Buffer[]): Forged =>
  forge({
    name: 'root',
    extensions: [extensions.authority(), extensions.keyUsage(keyUsage.keyCertSign | keyUsage.crlSign), ...more],
    ...options,
  })
const leafExtensions = [
  extensions.names(spiffe),
  extensions.keyUsage(keyUsage.digitalSignature),
  extensions.purposes(clientAuth),
]
const leaf = (issuer: Forged, options: Partial<ForgeOptions> = {}, ...more: readonly Buffer[]): Forged =>
  forge({ issuer, extensions: [...leafExtensions, ...more], ...options })
const usual = authority()
const rsaRoot = authority({ key: rsaKey(2048) })
const small = rsaKey(1024)
const weakRoot = authority({ key: small })
const sha1Root = authority({ key: rsaKey(2048), signature: signatures.rsaSha1 })
const crlOnly = authority({ extensions: [extensions.authority(), extensions.keyUsage(keyUsage.crlSign)] })
/** The usual authority, whose certificate was renewed. */
const renewed = { expired: authority({ key: usual, days: -0.5 }), valid: usual }
const serverPair = forge({
  name: 'localhost',
  extensions: [extension('2.5.29.17', sequence(der(0x82, Buffer.from('localhost'))))],
})

/** The leaf, its authority, and what is above that in the file of authorities. */
type Chain = readonly [leaf: Forged, ...authorities: Forged[]]

/** Whether OpenSSL verifies the chain in a handshake, in which the client sends its leaf only. */
async function verifiesInTls([own, ...authorities]: Chain): Promise<boolean> {
  const server = createServer({
    cert: serverPair.certPem,
    key: serverPair.keyPem,
    ca: authorities.map(({ certPem }) => certPem),
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.on('tlsClientError', () => undefined)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const connected = Promise.withResolvers<boolean>()
  server.on('secureConnection', (socket: TLSSocket) => {
    connected.resolve(socket.authorized)
    socket.destroy()
  })
  const verify = { rejectUnauthorized: false }
  try {
    // A client with OpenSSL refuses to load a weak certificate itself; an attacker's would not.
    const ciphers = 'DEFAULT:@SECLEVEL=0'
    const socket = connect({ host: '127.0.0.1', port, cert: own.certPem, key: own.keyPem, ciphers, ...verify })
    socket.on('error', () => connected.resolve(false))
    return await connected.promise
  } finally {
    server.close()
  }
}

/** What is wrong with the leaf if a proxy forwards it; empty if nothing is. */
function refusalOfForwarded([own, ...authorities]: Chain): string {
  const known = { certificates: authorities.map(({ certificate }) => certificate) }
  try {
    createCertificateVerifier(() => known, movableClock(Date.now())).verify({ certificate: own.certificate }, policy)
    return ''
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    return thrown.message
  }
}

const below = (above: Forged, options: Partial<ForgeOptions> = {}, ...more: readonly Buffer[]) =>
  authority({ name: 'middle', issuer: above, ...options }, ...more)
/** A leaf below two authorities. */
const through = (root: Forged, middle = below(root)): Chain => [leaf(middle), middle, root]

describe('a certificate that a proxy forwards is accepted where TLS accepts it', () => {
  const good: readonly [chain: Chain, why: string][] = [
    [[leaf(usual), usual], 'the usual one'],
    [through(usual), 'of an authority below another'],
    [[leaf(rsaRoot), rsaRoot], 'RSA of 2,048 bits, SHA-256'],
    [[leaf(rsaRoot, { signature: pss('sha256', '2.16.840.1.101.3.4.2.1') }), rsaRoot], 'RSASSA-PSS with SHA-256'],
    [[leaf(usual, { signature: signatures.ecdsa384 }), usual], 'SHA-384'],
    [[leaf(usual, { key: generateKeyPairSync('ed25519') }), usual], 'an Ed25519 key'],
    [[leaf(usual, { key: rsaKey(2048) }), usual], 'an RSA key'],
    [[leaf(usual, { extensions: [extensions.names(spiffe)] }), usual], 'without key usage and purposes'],
    [
      [
        leaf(usual, {
          extensions: [
            extensions.names(spiffe),
            extensions.keyUsage(keyUsage.keyAgreement),
            extensions.purposes(serverAuth, clientAuth),
          ],
        }),
        usual,
      ],
      'for key agreement; for servers and clients',
    ],
    [[leaf(usual, {}, extension('1.2.3.4', utf8('x'))), usual], 'an unknown extension that is not critical'],
    [through(authority({ extensions: [extensions.authority(1)] })), 'a path length that is long enough'],
    [through(authority({}, extensions.purposes(clientAuth))), 'an authority for clients'],
    [[leaf(sha1Root), sha1Root], 'an authority that signed itself with SHA-1: nothing depends on that signature'],
    [
      [leaf(usual), renewed.expired, renewed.valid],
      'one of two authorities with the same key, the first of which has expired',
    ],
  ]
  for (const [chain, why] of good)
    test(why, async () => {
      assert.equal(refusalOfForwarded(chain), '')
      assert.equal(await verifiesInTls(chain), true)
    })

  const bad: readonly [chain: Chain, says: RegExp, why: string][] = [
    [[leaf(rsaRoot, { signature: signatures.rsaSha1 }), rsaRoot], /weak algorithm/, 'signed with SHA-1'],
    [[leaf(usual, { signature: signatures.ecdsaSha1 }), usual], /weak algorithm/, 'signed with ECDSA and SHA-1'],
    [[leaf(rsaRoot, { signature: signatures.rsaMd5 }), rsaRoot], /weak algorithm/, 'signed with MD5'],
    [[leaf(rsaRoot, { signature: pssByDefault }), rsaRoot], /weak algorithm/, 'signed with RSASSA-PSS and SHA-1'],
    [[leaf(usual, { key: small }), usual], /it has a weak key/, 'an RSA key of 1,024 bits'],
    [[leaf(weakRoot), weakRoot], /authority above it has a weak key/, 'an authority of 1,024 bits'],
    [
      through(rsaRoot, below(rsaRoot, { signature: signatures.rsaSha1 })),
      /authority above it is signed with a weak/,
      'an intermediate authority that is signed with SHA-1',
    ],
    [
      [leaf(usual, { extensions: [extensions.names(spiffe), extensions.keyUsage(keyUsage.keyEncipherment)] }), usual],
      /key usage/,
      'a key that is not for signatures',
    ],
    [
      [leaf(usual, { extensions: [extensions.names(spiffe), extensions.purposes(serverAuth)] }), usual],
      /extended key usage/,
      'for servers',
    ],
    [
      [leaf(usual, { extensions: [extensions.names(spiffe), extensions.purposes(anyPurpose)] }), usual],
      /extended key usage/,
      'for any purpose, which OpenSSL does not take for clients',
    ],
    [
      [leaf(usual, {}, extension('1.2.3.4', utf8('x'), true)), usual],
      /critical extension/,
      'an unknown critical extension',
    ],
    [
      through(authority({}, extension('1.2.3.4', utf8('x'), true))),
      /authority above it has a critical extension/,
      'an unknown critical extension of an authority',
    ],
    [through(authority({ extensions: [extensions.authority(0)] })), /length of the chain/, 'too long a path'],
    [[leaf(crlOnly), crlOnly], /No known authority/, 'an authority that may not sign certificates'],
    [
      through(authority({}, extensions.purposes(serverAuth))),
      /authority above it is not for clients/,
      'an authority for servers only',
    ],
    [
      through(authority({}, extensions.permittedUris('other.example'))),
      /name constraints/,
      'a name that its authority may not issue',
    ],
    [
      [leaf(usual, {}, extension('1.3.6.1.5.5.7.1.14', sequence(sequence(oid('1.3.6.1.5.5.7.21.1'))))), usual],
      /No known authority/,
      'a proxy certificate (RFC 3820)',
    ],
    [
      [leaf(usual, {}, extension('2.16.840.1.113730.1.1', Buffer.from([0x03, 0x02, 0x06, 0x40]))), usual],
      /Netscape/,
      "for servers, by Netscape's extension",
    ],
    [[leaf(usual, {}, ...leafExtensions.slice(0, 1)), usual], /No known authority/, 'an extension twice'],
    [through(usual, below(usual, { days: -0.5 })), /expired/, 'an authority that has expired'],
  ]
  describe('and refused where TLS refuses it', () => {
    for (const [chain, says, why] of bad)
      test(why, async () => {
        assert.match(refusalOfForwarded(chain), says)
        assert.equal(await verifiesInTls(chain), false)
      })
  })

  const stricter: readonly [chain: Chain, says: RegExp, why: string][] = [
    [
      through(authority({}, extensions.permittedUris('prod.example'))),
      /name constraints/,
      'name constraints, which are not evaluated: any name is refused',
    ],
    [
      through(authority({}, extensions.permittedUris('prod.example', false))),
      /name constraints/,
      'the same, not critical',
    ],
    [
      [leaf(usual, {}, extension('2.5.29.32', sequence(sequence(oid('2.5.29.32.0'))), true)), usual],
      /critical extension/,
      'critical policies',
    ],
    [
      [leaf(usual, { key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) }), usual],
      /weak key/,
      'a curve that is not listed',
    ],
  ]
  describe('and refused where it is not understood, whatever TLS says', () => {
    for (const [chain, says, why] of stricter) test(why, () => assert.match(refusalOfForwarded(chain), says))
  })
})
