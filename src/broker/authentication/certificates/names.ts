import type { X509Certificate } from 'node:crypto'

/** The names in a certificate that rules match. */
export interface CertificateNames {
  readonly uris: readonly string[]
  /** In lower case. */
  readonly dnsNames: readonly string[]
}

/** One name as Node writes it: its kind and its value, which is a JSON string if it contains special characters. */
const oneName = /([A-Za-z][A-Za-z0-9 ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/**
 * Returns the URIs and DNS names among the subject alternative names of a certificate (RFC 5280 §4.2.1.6). The subject
 * itself, with its common name, is not read (RFC 9525 §2).
 *
 * @returns `undefined` if the text cannot be split into names with certainty
 */
export function subjectAltNamesOf({
  subjectAltName,
}: Pick<X509Certificate, 'subjectAltName'>): CertificateNames | undefined {
  const uris: string[] = []
  const dnsNames: string[] = []
  const text = subjectAltName ?? ''
  oneName.lastIndex = 0
  for (let at = 0; at < text.length; at = oneName.lastIndex) {
    const [, kind, written = ''] = oneName.exec(text) ?? []
    const name = kind === undefined ? undefined : unquoted(written)
    if (name === undefined) return undefined
    if (kind === 'URI' && name !== '') uris.push(name)
    if (kind === 'DNS' && name !== '') dnsNames.push(name.toLowerCase())
  }
  return { uris, dnsNames }
}

function unquoted(written: string): string | undefined {
  if (!written.startsWith('"')) return written
  try {
    const name: unknown = JSON.parse(written)
    return typeof name === 'string' ? name : undefined
  } catch {
    return undefined
  }
}
