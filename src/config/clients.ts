import { networkErrors } from '../broker/lib/networks.ts'
import type { EnvironmentReader } from './environment.ts'

/** The broker's own certificate and its key: PEM files. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/**
 * Choices of `BROKER_CLIENT_CERT_HEADER`: the headers in which a proxy may forward the certificate of its peer, by RFC 9440
 * or as Envoy does.
 */
export const clientCertHeaders = ['client-cert', 'x-forwarded-client-cert'] as const

/** How the addresses and the certificates of callers reach the broker. */
export interface ClientSettings {
  /** PEM file with the certificate authorities whose client certificates authenticate callers. */
  readonly clientCaFile: string | undefined
  /** Addresses and networks of proxies whose forwarded headers are trusted. */
  readonly trustedProxies: readonly string[]
  /** The one header in which these proxies forward certificates. Without it no forwarded certificate is read. */
  readonly clientCertHeader: (typeof clientCertHeaders)[number] | undefined
}

/** Reads the broker's own certificate; one file without the other is an error. */
export function readTls(read: EnvironmentReader): TlsFiles | undefined {
  const certFile = read.text('TLS_CERT_FILE')
  const keyFile = read.text('TLS_KEY_FILE')
  if (certFile === undefined && keyFile === undefined) return undefined
  if (certFile === undefined) read.addError('TLS_CERT_FILE', 'is required with TLS_KEY_FILE')
  if (keyFile === undefined) read.addError('TLS_KEY_FILE', 'is required with TLS_CERT_FILE')
  return { certFile: certFile ?? '', keyFile: keyFile ?? '' }
}

/** Reads how callers' certificates reach the broker: over TLS, or in the header that trusted proxies set. */
export function readClients(read: EnvironmentReader, tls: TlsFiles | undefined): ClientSettings {
  const clientCaFile = read.text('TLS_CLIENT_CA_FILE')
  const trustedProxies =
    read
      .text('BROKER_TRUSTED_PROXIES')
      ?.split(',')
      .map(each => each.trim()) ?? []
  for (const what of networkErrors(trustedProxies)) read.addError('BROKER_TRUSTED_PROXIES', what)
  if (clientCaFile !== undefined && !tls && trustedProxies.length === 0) {
    read.addError(
      'TLS_CLIENT_CA_FILE',
      'has no effect without TLS_CERT_FILE and TLS_KEY_FILE, or BROKER_TRUSTED_PROXIES: no client certificate reaches the broker',
    )
  }
  const isForwarded = clientCaFile !== undefined && trustedProxies.length > 0
  return { clientCaFile, trustedProxies, clientCertHeader: readHeader(read, isForwarded) }
}

/** @param isForwarded whether proxies may forward certificates: the header is required then, and has no effect otherwise */
function readHeader(read: EnvironmentReader, isForwarded: boolean): ClientSettings['clientCertHeader'] {
  const name = 'BROKER_CLIENT_CERT_HEADER'
  const isSet = read.text(name) !== undefined
  if (isForwarded && isSet) return read.optionalChoice(name, clientCertHeaders)
  if (isForwarded) {
    read.addError(
      name,
      `is required with BROKER_TRUSTED_PROXIES and TLS_CLIENT_CA_FILE: ${clientCertHeaders.join(' or ')}, ` +
        'the one header in which the proxies forward certificates',
    )
  } else if (isSet) {
    const what = 'no forwarded certificate is accepted'
    read.addError(name, `has no effect without BROKER_TRUSTED_PROXIES and TLS_CLIENT_CA_FILE: ${what}`)
  }
  return undefined
}
