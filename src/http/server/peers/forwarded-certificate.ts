import { X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { maxChainLength } from '../../../broker/authentication/certificates/chain.ts'
import { fingerprintOf, type PresentedCertificate } from '../../../broker/authentication/client-certificates.ts'
import { BrokerError } from '../../../errors.ts'

/** What a header says about a proxy's peer: its certificate, and those between it and an authority, in any order. */
export type ForwardedCertificate = Required<Pick<PresentedCertificate, 'certificate' | 'intermediates'>>

const maxCached = 500
/** The total weight of what is cached, in bytes. */
const maxCachedBytes = 8 * 1024 * 1024
/** What OpenSSL keeps of a certificate, roughly. */
const certificateBytes = 4096

/** By the headers' text. */
const createHeaderCache = () =>
  new LRUCache<string, ForwardedCertificate>({
    max: maxCached,
    maxSize: maxCachedBytes,
    sizeCalculation: ({ intermediates }, text) => text.length + certificateBytes * (1 + intermediates.length),
  })
const xfccHeaders = createHeaderCache()
const clientCertHeaders = createHeaderCache()

/**
 * The certificate in the `X-Forwarded-Client-Cert` header of an Envoy proxy
 * (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers): exactly one element, which has
 * the certificate itself (`Cert`), and may have its chain (`Chain`); a `Hash` must be its own. Other parts of the element
 * are ignored.
 *
 * @throws BrokerError `invalid_token`
 */
export const readXfcc = (header: string): ForwardedCertificate =>
  once(xfccHeaders, header, () => certificateOfElement(header))

/**
 * The certificate in a `Client-Cert` header (RFC 9440 §2.2): exactly one byte sequence (RFC 8941 §3.3.5) with DER in it. Its
 * chain is in `Client-Cert-Chain` (§2.3), a list of such byte sequences.
 *
 * @throws BrokerError `invalid_token`
 */
export const readClientCert = (header: string, chain = ''): ForwardedCertificate =>
  // No header contains a line break.
  once(clientCertHeaders, chain === '' ? header : `${header}\n${chain}`, () => {
    const certificate = certificateOf(bytesOf(header), 'Client-Cert')
    const items = chain === '' ? [] : chain.split(',')
    if (items.length >= maxChainLength) throw tooLong('Client-Cert-Chain')
    const intermediates = items.map(item => certificateOf(bytesOf(item.trim()), 'Client-Cert-Chain'))
    return { certificate, intermediates }
  })

/** Caches what was read: a proxy sends the same headers with many requests. */
function once(
  cache: ReturnType<typeof createHeaderCache>,
  text: string,
  read: () => ForwardedCertificate,
): ForwardedCertificate {
  const known = cache.get(text)
  if (known) return known
  const forwarded = read()
  cache.set(text, forwarded)
  return forwarded
}

/** The base64 of a byte sequence; empty, which no certificate is, if the text is something else. */
const bytesOf = (item: string): string => /^:([A-Za-z0-9+/]+={0,2}):$/.exec(item)?.[1] ?? ''

/** One certificate in PEM. */
const pem = /-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*/y

/** `Key=value` or `Key="value"`, between semicolons; a comma outside quotes would begin another element. */
const pair = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=\s]*))(?:;|$)/y
const xfccName = 'X-Forwarded-Client-Cert'

function certificateOfElement(header: string): ForwardedCertificate {
  const values = new Map<string, string>()
  pair.lastIndex = 0
  for (let at = 0; at < header.length; at = pair.lastIndex) {
    const [, key, quoted, plain] = pair.exec(header) ?? []
    if (key === undefined) throw unreadable(xfccName)
    const name = key.toLowerCase()
    // By, URI and DNS may be repeated.
    if (['cert', 'chain', 'hash'].includes(name) && values.has(name)) throw unreadable(xfccName)
    values.set(name, quoted ?? plain ?? '')
  }
  const [certificate, ...more] = certificatesIn(values.get('cert') ?? '')
  if (certificate === undefined || more.length > 0) throw unreadable(xfccName)
  const own = fingerprintOf(certificate)
  if ((values.get('hash') ?? own).toLowerCase() !== own) throw unreadable(xfccName)
  // Envoy's chain begins with the certificate itself.
  const chain = certificatesIn(values.get('chain') ?? '')
  return { certificate, intermediates: chain.filter(each => fingerprintOf(each) !== own) }
}

/** The certificates in an escaped PEM text, which has nothing else. */
function certificatesIn(escaped: string): readonly X509Certificate[] {
  const text = unescaped(escaped)
  const certificates: X509Certificate[] = []
  pem.lastIndex = 0
  for (let at = 0; at < text.length; at = pem.lastIndex) {
    const [, base64] = pem.exec(text) ?? []
    if (base64 === undefined) throw unreadable(xfccName)
    if (certificates.length === maxChainLength) throw tooLong(xfccName)
    certificates.push(certificateOf(base64, xfccName))
  }
  return certificates
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw unreadable(xfccName)
  }
}

/** @param base64 one certificate in DER: OpenSSL would ignore what follows it, and would also read PEM */
function certificateOf(base64: string, header: string): X509Certificate {
  const bytes = Buffer.from(base64, 'base64')
  try {
    const certificate = new X509Certificate(bytes)
    if (certificate.raw.equals(bytes)) return certificate
  } catch {
    // Not a certificate.
  }
  throw unreadable(header)
}

const unreadable = (header: string) =>
  refusal(
    header === 'Client-Cert-Chain'
      ? "The proxy's Client-Cert-Chain header is not a list of certificates."
      : `The proxy's ${header} header does not contain exactly one certificate.`,
  )

const tooLong = (header: string) =>
  refusal(`The proxy's ${header} header contains more certificates than a chain may have (${maxChainLength}).`)

const refusal = (detail: string) => new BrokerError('invalid_token', detail, { reason: 'certificate' })
