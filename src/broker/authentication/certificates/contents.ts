import type { X509Certificate } from 'node:crypto'
import { contentOf, type DerValue, onlyContentIn, tags, valuesIn } from './der.ts'

/** Object identifiers of extensions (RFC 5280 §4.2.1), as the hex digits of their DER content. */
export const extensionIds = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  extendedKeyUsage: '551d25',
  /** Netscape's certificate type, an older form of the extended key usage. */
  netscapeType: '6086480186f8420101',
} as const

/** What Node does not show of a certificate. */
export interface CertificateContents {
  /** The algorithm with which the issuer signed it: its object identifier in hex, and its parameters. */
  readonly signature: { readonly id: string; readonly parameters: readonly DerValue[] }
  /** Extensions by object identifier in hex. */
  readonly extensions: ReadonlyMap<string, Extension>
}

/** An extension (RFC 5280 §4.1). */
export interface Extension {
  /** Whether a certificate must be refused by those who do not understand the extension. */
  readonly isCritical: boolean
  /** DER. */
  readonly value: Buffer
}

/**
 * Reads the signature algorithm and the extensions of a certificate. Does not verify anything.
 * @throws Error if it is not in DER, or has an extension twice
 */
export function contentsOf({ raw }: Pick<X509Certificate, 'raw'>): CertificateContents {
  const [toBeSigned, algorithm] = valuesIn(onlyContentIn(raw, tags.sequence))
  const [id, ...parameters] = valuesIn(contentOf(algorithm, tags.sequence))
  const wrapped = valuesIn(contentOf(toBeSigned, tags.sequence)).find(({ tag }) => tag === tags.context3)
  const list = wrapped ? valuesIn(onlyContentIn(wrapped.content, tags.sequence)) : []
  const extensions = new Map<string, Extension>()
  for (const each of list) {
    const [name, ...values] = valuesIn(contentOf(each, tags.sequence))
    const key = contentOf(name, tags.oid).toString('hex')
    if (extensions.has(key)) throw new Error('an extension occurs twice')
    // Absent is false, and false must be absent.
    const isCritical = values.length > 1
    if (isCritical) contentOf(values[0], tags.boolean)
    if (values.length > 2) throw new Error('an extension has more than one value')
    extensions.set(key, { isCritical, value: contentOf(values.at(-1), tags.octets) })
  }
  return { signature: { id: contentOf(id, tags.oid).toString('hex'), parameters }, extensions }
}

/** Bits of the key usage (RFC 5280 §4.2.1.3), in the first octet. */
export const keyUsages = { digitalSignature: 0x80, keyAgreement: 0x08, keyCertSign: 0x04 } as const
/** The bit of Netscape's certificate type for TLS clients. */
export const netscapeClient = 0x80

/**
 * The first eight bits of an extension that is a list of them; `undefined` without the extension, which permits every use.
 * @throws Error if it is something else
 */
export function bitsOf({ extensions }: CertificateContents, id: 'keyUsage' | 'netscapeType'): number | undefined {
  const extension = extensions.get(extensionIds[id])
  // The first octet is the number of unused bits at the end.
  return extension && (onlyContentIn(extension.value, tags.bits)[1] ?? 0)
}

/** The most authorities that may be between an authority and a leaf; `undefined` if there is no limit. */
export function pathLengthOf({ extensions }: CertificateContents): number | undefined {
  const extension = extensions.get(extensionIds.basicConstraints)
  if (!extension) return undefined
  const length = valuesIn(onlyContentIn(extension.value, tags.sequence)).find(
    ({ tag }) => tag === tags.integer,
  )?.content
  if (length === undefined) return undefined
  // More than one octet, or a negative number, is no limit of a chain that this broker accepts.
  if (length.length !== 1 || (length[0] ?? 0x80) >= 0x80) throw new Error('the path length cannot be read')
  return length[0]
}
