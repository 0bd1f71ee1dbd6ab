import { X509Certificate } from 'node:crypto'
import type { ClientAuthorities } from '../../broker/authentication/client-certificates.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { watchFiles } from './watch-files.ts'

/** The authorities of a file, and its text for TLS. */
export interface AuthoritiesFile extends ClientAuthorities {
  readonly pem: string
}

const maxPemBytes = 1024 * 1024
const where = 'TLS_CLIENT_CA_FILE'
const certificate = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/**
 * Reads certificates of authorities, one or more, as PEM.
 * @throws InvalidConfigurationError when the file cannot be read, holds none, or holds one that is no authority's
 */
async function readAuthorities(path: string): Promise<AuthoritiesFile> {
  try {
    const pem = await readLimitedFile(path, maxPemBytes)
    const certificates = (pem.match(certificate) ?? []).map(each => new X509Certificate(each))
    if (certificates.length === 0) throw new Error(`${path} does not hold a certificate in PEM form`)
    const other = certificates.find(({ ca }) => !ca)
    if (other) throw new Error(`${path} holds a certificate that is no authority's: ${other.subject}`)
    return { pem, certificates: Object.freeze(certificates) }
  } catch (thrown) {
    throw new InvalidConfigurationError('The client authorities cannot be used', [{ where, what: messageOf(thrown) }])
  }
}

/** Authorities that follow their file. */
export interface FollowedAuthorities {
  readonly current: () => AuthoritiesFile
  /**
   * Reads the file again when it may have changed. Authorities that cannot be used are reported; the last good ones
   * stay.
   */
  readonly watch: (changed: () => void, failed: (error: unknown) => void) => void
  readonly close: () => void
}

/** @throws InvalidConfigurationError as {@link readAuthorities} */
export async function followAuthorities(path: string): Promise<FollowedAuthorities> {
  let current = await readAuthorities(path)
  let close: (() => void) | undefined
  return {
    current: () => current,
    watch: (changed, failed) => {
      const reload = async (): Promise<void> => {
        const next = await readAuthorities(path)
        if (next.pem === current.pem) return
        current = next
        changed()
      }
      close = watchFiles([path], () => void reload().catch(failed), failed).close
    },
    close: () => close?.(),
  }
}
