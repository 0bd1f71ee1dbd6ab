import type { X509Certificate } from 'node:crypto'
import type { End, EndKind } from '../broker/ends.ts'
import type { Config } from '../config/config.ts'
import { followAuthorities, type FollowedAuthorities } from '../outbound/files/client-authorities.ts'
import { followTlsPair, type FollowedTlsPair } from '../outbound/files/tls-files.ts'

/** The certificates of the configuration, whose files may change. */
export interface FollowedCertificates {
  /** Of the TLS server; `undefined` without TLS. */
  readonly tls: FollowedTlsPair | undefined
  /** The client CAs; `undefined` if the broker accepts no client certificates. */
  readonly authorities: FollowedAuthorities | undefined
  /** When each certificate in use ends: of the server's whole chain, and of every client CA. */
  readonly ends: () => readonly End[]
  readonly close: () => void
}

/**
 * Reads the certificates of the configuration.
 * @throws InvalidConfigurationError if a file cannot be used
 */
export async function followCertificates({ tls: paths, clientCaFile }: Config): Promise<FollowedCertificates> {
  const tls = paths && (await followTlsPair(paths))
  const authorities = clientCaFile === undefined ? undefined : await followAuthorities(clientCaFile)
  return {
    tls,
    authorities,
    ends: () => [
      ...endsOf('tls', paths?.certFile, tls?.current().certificates),
      ...endsOf('client_ca', clientCaFile, authorities?.current().certificates),
    ],
    close: () => {
      tls?.close()
      authorities?.close()
    },
  }
}

const known = new WeakMap<readonly X509Certificate[], readonly End[]>()

/** The ends of certificates. They are read once for each version of a file. */
function endsOf(
  kind: EndKind,
  file: string | undefined,
  certificates: readonly X509Certificate[] | undefined,
): readonly End[] {
  if (file === undefined || certificates === undefined) return []
  const cached = known.get(certificates)
  if (cached) return cached
  const ends = certificates.map(each => ({ kind, name: nameOf(each), endsAt: each.validToDate.getTime(), file }))
  known.set(certificates, ends)
  return ends
}

const longestName = 200

/** The subject in one line, such as `O=Example, CN=Client CA`; without one, the subject alternative names. */
const nameOf = ({ subject, subjectAltName, serialNumber }: X509Certificate): string =>
  (subject?.replaceAll('\n', ', ') || subjectAltName || `serial number ${serialNumber}`).slice(0, longestName)
