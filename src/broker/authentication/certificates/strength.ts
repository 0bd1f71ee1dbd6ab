import type { KeyObject } from 'node:crypto'
import type { CertificateContents } from './contents.ts'
import { contentOf, type DerValue, onlyContentIn, tags, valuesIn } from './der.ts'

/** Signature algorithms with SHA-2 of 256 bits or more, or with a hash of their own, by object identifier in hex. */
const strongSignatures: ReadonlySet<string> = new Set([
  '2a864886f70d01010b', // sha256WithRSAEncryption (RFC 4055)
  '2a864886f70d01010c', // sha384WithRSAEncryption
  '2a864886f70d01010d', // sha512WithRSAEncryption
  '2a8648ce3d040302', // ecdsa-with-SHA256 (RFC 5758)
  '2a8648ce3d040303', // ecdsa-with-SHA384
  '2a8648ce3d040304', // ecdsa-with-SHA512
  '2b6570', // Ed25519 (RFC 8410)
  '2b6571', // Ed448
])
/** id-RSASSA-PSS, whose parameters name the hash. */
const rsaPss = '2a864886f70d01010a'
const strongHashes: ReadonlySet<string> = new Set([
  '608648016503040201', // SHA-256
  '608648016503040202', // SHA-384
  '608648016503040203', // SHA-512
])

const leastRsaBits = 2048
const mostRsaBits = 8192
/** Curves of 256 bits or more, as OpenSSL names them. */
const strongCurves: ReadonlySet<string> = new Set([
  'prime256v1',
  'secp384r1',
  'secp521r1',
  'brainpoolP256r1',
  'brainpoolP384r1',
  'brainpoolP512r1',
])

/** Whether a certificate is signed with an algorithm that OpenSSL accepts at its security level 2, and this file knows. */
export function isStrongSignature({ signature: { id, parameters } }: CertificateContents): boolean {
  return id === rsaPss ? strongHashes.has(hashOf(parameters) ?? '') : strongSignatures.has(id)
}

/** The hash in the parameters of RSASSA-PSS; `undefined` for the default, SHA-1. */
function hashOf([parameters]: readonly DerValue[]): string | undefined {
  const wrapped = valuesIn(contentOf(parameters, tags.sequence)).find(({ tag }) => tag === tags.context0)
  if (!wrapped) return undefined
  return contentOf(valuesIn(onlyContentIn(wrapped.content, tags.sequence))[0], tags.oid).toString('hex')
}

/** Whether to verify a signature by a key takes too long: the intermediate authorities of a request are chosen by its sender. */
export const isTooLarge = ({ asymmetricKeyDetails = {} }: KeyObject): boolean =>
  (asymmetricKeyDetails.modulusLength ?? 0) > mostRsaBits

/** Whether a public key is one that OpenSSL accepts at its security level 2, and of a kind that this file knows. */
export function isStrongKey({ asymmetricKeyType: kind, asymmetricKeyDetails = {} }: KeyObject): boolean {
  if (kind === 'rsa' || kind === 'rsa-pss') return (asymmetricKeyDetails.modulusLength ?? 0) >= leastRsaBits
  if (kind === 'ec') return strongCurves.has(asymmetricKeyDetails.namedCurve ?? '')
  return kind === 'ed25519' || kind === 'ed448'
}
