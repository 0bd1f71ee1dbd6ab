import { X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { fingerprintOf } from '../../broker/authentication/client-certificates.ts'
import { BrokerError } from '../../errors.ts'

const cached = new LRUCache<string, X509Certificate>({ max: 500 })

/**
 * The certificate in the `X-Forwarded-Client-Cert` header of an Envoy proxy
 * (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers): exactly one element, which has
 * the certificate itself (`Cert`); a `Hash` must be its own. Other parts of the element are ignored.
 *
 * @throws BrokerError `invalid_token`
 */
export const readXfcc = (header: string): X509Certificate => once(`xfcc ${header}`, () => certificateOfElement(header))

/**
 * The certificate in a `Client-Cert` header (RFC 9440 §2): exactly one byte sequence (RFC 8941 §3.3.5) with DER in it.
 *
 * @throws BrokerError `invalid_token`
 */
export const readClientCert = (header: string): X509Certificate =>
  once(`client-cert ${header}`, () => {
    const [, base64] = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(header) ?? []
    if (base64 === undefined) throw unreadable('Client-Cert')
    return certificateOf(base64, 'Client-Cert')
  })

/** Caches what was read: a proxy sends the same headers with many requests. */
function once(header: string, read: () => X509Certificate): X509Certificate {
  const known = cached.get(header)
  if (known) return known
  const certificate = read()
  cached.set(header, certificate)
  return certificate
}

/** One certificate in PEM, and nothing else. */
const onePem = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/

/** `Key=value` or `Key="value"`, between semicolons; a comma outside quotes would begin another element. */
const pair = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=\s]*))(?:;|$)/y

function certificateOfElement(header: string): X509Certificate {
  const values = new Map<string, string>()
  pair.lastIndex = 0
  for (let at = 0; at < header.length; at = pair.lastIndex) {
    const [, key, quoted, plain] = pair.exec(header) ?? []
    if (key === undefined) throw unreadable('X-Forwarded-Client-Cert')
    const name = key.toLowerCase()
    // By, URI and DNS may be repeated.
    if ((name === 'cert' || name === 'hash') && values.has(name)) throw unreadable('X-Forwarded-Client-Cert')
    values.set(name, quoted ?? plain ?? '')
  }
  const [, base64 = ''] = onePem.exec(unescaped(values.get('cert') ?? '')) ?? []
  const certificate = certificateOf(base64, 'X-Forwarded-Client-Cert')
  const hash = values.get('hash')
  if (hash !== undefined && hash.toLowerCase() !== fingerprintOf(certificate)) {
    throw unreadable('X-Forwarded-Client-Cert')
  }
  return certificate
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw unreadable('X-Forwarded-Client-Cert')
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
  new BrokerError('invalid_token', `The proxy's ${header} header does not contain exactly one certificate.`, {
    reason: 'certificate',
  })
