import {
  constants,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  type SignKeyObjectInput,
  X509Certificate,
} from 'node:crypto'
import { bits, der, integer, octets, oid, sequence, set, utcTime, utf8, yes } from '../../emulator/der.ts'

/** A certificate that a test made, with its key and its name as an issuer. */
export interface Forged {
  readonly certificate: X509Certificate
  readonly certPem: string
  readonly keyPem: string
  readonly name: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** How a certificate differs from a good one. */
export interface ForgeOptions {
  readonly name?: string
  /** Signs it; without it, the certificate signs itself. */
  readonly issuer?: Forged | undefined
  readonly key?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  readonly extensions: readonly Buffer[]
  /** The signature's AlgorithmIdentifier and what `sign` needs for it; default: SHA-256 with the issuer's kind of key. */
  readonly signature?: Signature
  /** Days from now. */
  readonly from?: number
  readonly days?: number
}

/** An AlgorithmIdentifier in DER, and how to sign with it. */
export interface Signature {
  readonly algorithm: Buffer
  readonly hash: string | undefined
  readonly options?: Omit<SignKeyObjectInput, 'key'>
}

const none = der(0x05)
/** `ecdsa-with-SHA256`, and others in the same way. */
export const signatures = {
  ecdsa256: { algorithm: sequence(oid('1.2.840.10045.4.3.2')), hash: 'sha256' },
  ecdsa384: { algorithm: sequence(oid('1.2.840.10045.4.3.3')), hash: 'sha384' },
  ecdsaSha1: { algorithm: sequence(oid('1.2.840.10045.4.1')), hash: 'sha1' },
  rsa256: { algorithm: sequence(oid('1.2.840.113549.1.1.11'), none), hash: 'sha256' },
  rsaSha1: { algorithm: sequence(oid('1.2.840.113549.1.1.5'), none), hash: 'sha1' },
  rsaMd5: { algorithm: sequence(oid('1.2.840.113549.1.1.4'), none), hash: 'md5' },
  ed25519: { algorithm: sequence(oid('1.3.101.112')), hash: undefined },
} as const satisfies Readonly<Record<string, Signature>>

/** RSASSA-PSS with a hash, given by its name and its object identifier. */
export const pss = (hash: string, hashId: string): Signature => {
  const algorithm = sequence(oid(hashId), der(0x05))
  const mask = sequence(oid('1.2.840.113549.1.1.8'), algorithm)
  const salt = integer(Buffer.from([32]))
  const parameters = sequence(der(0xa0, algorithm), der(0xa1, mask), der(0xa2, salt))
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  return { algorithm: sequence(oid('1.2.840.113549.1.1.10'), parameters), hash, options }
}
/** RSASSA-PSS whose parameters all have their default: SHA-1, and a salt of 20 octets. */
export const pssByDefault: Signature = {
  algorithm: sequence(oid('1.2.840.113549.1.1.10'), sequence()),
  hash: 'sha1',
  options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 20 },
}

/** An extension; `critical` by default false. */
export const extension = (id: string, value: Buffer, critical = false): Buffer =>
  sequence(oid(id), ...(critical ? [yes] : []), octets(value))

/** Extensions that certificates often have. */
export const extensions = {
  /** basicConstraints of an authority. */
  authority: (pathLength?: number) =>
    extension(
      '2.5.29.19',
      sequence(yes, ...(pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))])),
      true,
    ),
  keyUsage: (octet: number, unused = 0) => extension('2.5.29.15', bits(Buffer.from([octet]), unused), true),
  purposes: (...ids: readonly string[]) => extension('2.5.29.37', sequence(...ids.map(oid))),
  names: (...uris: readonly string[]) =>
    extension('2.5.29.17', sequence(...uris.map(uri => der(0x86, Buffer.from(uri))))),
  /** nameConstraints with permitted subtrees of URIs. */
  permittedUris: (base: string, critical = true) =>
    extension('2.5.29.30', sequence(der(0xa0, sequence(der(0x86, Buffer.from(base))))), critical),
} as const

/** A new pair of keys on P-256. */
export const ecKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
/** A new pair of RSA keys. */
export const rsaKey = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength })

const dayMs = 86_400_000
const named = (commonName: string): Buffer => sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))))
const pemOf = (raw: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${raw
    .toString('base64')
    .match(/.{1,64}/g)
    ?.join('\n')}\n-----END CERTIFICATE-----\n`

/** Makes a certificate as it is told, good or bad (RFC 5280 §4.1). */
export function forge({ name = 'leaf', issuer, key = ecKey(), ...options }: ForgeOptions): Forged {
  const { privateKey, publicKey } = key
  const signer = issuer?.privateKey ?? privateKey
  const defaults = { ec: signatures.ecdsa256, rsa: signatures.rsa256, ed25519: signatures.ed25519 }
  const kind = signer.asymmetricKeyType
  const usual = kind === 'ec' || kind === 'rsa' || kind === 'ed25519' ? defaults[kind] : signatures.rsa256
  const signature: Signature = options.signature ?? usual
  const now = Date.now()
  const toBeSigned = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    signature.algorithm,
    named(issuer?.name ?? name),
    sequence(utcTime(now + (options.from ?? -1) * dayMs), utcTime(now + (options.days ?? 7) * dayMs)),
    named(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...options.extensions, subjectKeyIdentifier(publicKey))),
  )
  const signed = sign(signature.hash, toBeSigned, { key: signer, ...signature.options })
  const raw = sequence(toBeSigned, signature.algorithm, bits(signed))
  return {
    certificate: new X509Certificate(raw),
    certPem: pemOf(raw),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    name,
    privateKey,
    publicKey,
  }
}

const subjectKeyIdentifier = (key: KeyObject): Buffer =>
  extension(
    '2.5.29.14',
    octets(
      createHash('sha1')
        .update(key.export({ type: 'spki', format: 'der' }))
        .digest(),
    ),
  )
