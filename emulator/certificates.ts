import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP, isIPv4 } from 'node:net'
import { bits, der, integer, octets, oid, sequence, set, utcTime, utf8, yes } from './der.ts'

/** What goes into a leaf certificate. */
export interface LeafOptions {
  /** The subject's common name; default `localhost`. */
  readonly commonName?: string
  /**
   * Subject alternative names: DNS names, IP addresses, or URIs (anything with `://`); default localhost, 127.0.0.1,
   * ::1.
   */
  readonly names?: readonly string[]
  /** Extended key usage; default `server`. */
  readonly usage?: 'server' | 'client'
  /** Life in days from now; default 7. A negative number makes an expired certificate. */
  readonly days?: number
  /** Start of its validity, in days from now; default -1. */
  readonly from?: number
  /** Whether it has the extensions of an authority's certificate. */
  readonly isAuthority?: boolean
}

/** A certificate and its private key (PKCS #8), both PEM. */
export interface Leaf {
  readonly certPem: string
  readonly keyPem: string
}

/** A temporary certificate authority: ECDSA P-256, valid for 7 days. Its key stays in memory. */
export interface Authority {
  readonly caPem: string
  issue(options?: LeafOptions): Leaf
  /** Creates an intermediate authority that this one signs. */
  below(commonName: string): Authority
}

interface Certificate {
  readonly issuer: string
  readonly subject: string
  readonly publicKey: KeyObject
  readonly signer: KeyObject
  readonly days: number
  readonly from?: number | undefined
  readonly extensions: readonly Buffer[]
}

const dayMs = 86_400_000
const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'))

/** Creates a new authority. Nothing is written to disk. */
export const createAuthority = (commonName = 'token-broker emulator CA'): Authority => authority(commonName)

/** The name and the keys of an authority that signs certificates. */
interface Signer {
  readonly name: string
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

/** @param above signs the new authority's certificate; without it, the certificate is self-signed */
function authority(commonName: string, above?: Signer): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const own = { name: commonName, publicKey, privateKey }
  const signer = above ?? own
  const extensions = [
    ...authorityExtensions,
    subjectKeyIdentifier(publicKey),
    ...(above ? [authorityKeyIdentifier(above.publicKey)] : []),
  ]
  const ca = { issuer: signer.name, subject: commonName, publicKey, signer: signer.privateKey, days: 7, extensions }
  return {
    caPem: pem(encode(ca)),
    issue: options => issue(own, options ?? {}),
    below: lower => authority(lower, own),
  }
}

function issue({ name: issuer, publicKey: issuerKey, privateKey: signer }: Signer, options: LeafOptions): Leaf {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { commonName = 'localhost', names = ['localhost', '127.0.0.1', '::1'], usage = 'server', days = 7 } = options
  const purpose = usage === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'
  const extensions = [
    ...(options.isAuthority ? authorityExtensions : [extension('2.5.29.15', bits(Buffer.from([0x80]), 7), true)]), // keyUsage: digitalSignature
    extension('2.5.29.37', sequence(oid(purpose))),
    ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names.map(generalName)))] : []),
    subjectKeyIdentifier(publicKey),
    authorityKeyIdentifier(issuerKey),
  ]
  return {
    certPem: pem(encode({ issuer, subject: commonName, publicKey, signer, days, from: options.from, extensions })),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

/** Encodes and signs a certificate (RFC 5280 §4.1). */
function encode(certificate: Certificate): Buffer {
  const now = Date.now()
  const { days, from } = certificate
  const until = now + days * dayMs
  const toBeSigned = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    ecdsaWithSha256,
    name(certificate.issuer),
    sequence(utcTime(from === undefined ? Math.min(now, until) - dayMs : now + from * dayMs), utcTime(until)),
    name(certificate.subject),
    certificate.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...certificate.extensions)),
  )
  return sequence(toBeSigned, ecdsaWithSha256, bits(sign('sha256', toBeSigned, certificate.signer)))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [yes] : []), octets(value))
}

const authorityExtensions: readonly Buffer[] = [
  extension('2.5.29.19', sequence(yes), true), // basicConstraints: CA
  extension('2.5.29.15', bits(Buffer.from([0x06]), 1), true), // keyUsage: keyCertSign, cRLSign
]

function authorityKeyIdentifier(key: KeyObject): Buffer {
  return extension('2.5.29.35', sequence(der(0x80, keyIdentifier(key))))
}

function subjectKeyIdentifier(key: KeyObject): Buffer {
  return extension('2.5.29.14', octets(keyIdentifier(key)))
}

function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
}

function name(commonName: string): Buffer {
  return sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))))
}

function generalName(text: string): Buffer {
  if (text.includes('://')) return der(0x86, Buffer.from(text))
  return isIP(text) ? der(0x87, addressBytes(text)) : der(0x82, Buffer.from(text))
}

/** Supports IPv6 only as `::1` or with all eight groups. Loopback needs no other form. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const groups =
    address === '::1' ? [0, 0, 0, 0, 0, 0, 0, 1] : address.split(':').map(group => Number.parseInt(group, 16))
  return Buffer.from(groups.flatMap(group => [group >> 8, group & 0xff]))
}

function pem(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
