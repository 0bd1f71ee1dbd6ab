import type { ClientAuthorities } from '../../broker/authentication/client-certificates.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { certificatesOf } from './certificates.ts'
import { readLimitedFile } from './files.ts'
import { watchFiles } from './watch-files.ts'

/** The client CAs of a file, and the file's text for TLS. */
export interface AuthoritiesFile extends ClientAuthorities {
  readonly pem: string
}

const maxPemBytes = 1024 * 1024
/** The setting that errors name. */
const where = 'TLS_CLIENT_CA_FILE'

/**
 * Reads a file of one or more CA certificates in PEM.
 * @throws InvalidConfigurationError if the file cannot be read, has no certificate, or has one that is not a CA's
 */
export async function readAuthorities(path: string): Promise<AuthoritiesFile> {
  try {
    const pem = await readLimitedFile(path, maxPemBytes)
    const certificates = certificatesOf(pem)
    if (certificates.length === 0) throw new Error(`${path} has no certificate in PEM form`)
    const notCa = certificates.find(({ ca }) => !ca)
    if (notCa) throw new Error(`${path} has a certificate that is not a CA's: ${notCa.subject}`)
    return { pem, certificates }
  } catch (thrown) {
    throw new InvalidConfigurationError('The client CA certificates cannot be used', [
      { where, what: messageOf(thrown) },
    ])
  }
}

/** The client CAs of a file that may change. */
export interface FollowedAuthorities {
  readonly current: () => AuthoritiesFile
  /**
   * Reads the file again when it may have changed. `changed` is called after a new version was read; `failed` if it
   * cannot be used, and the last valid one stays in use then.
   */
  readonly watch: (changed: () => void, failed: (error: unknown) => void) => void
  readonly close: () => void
}

/**
 * Reads the client CAs of a file, and follows its changes once `watch` is called.
 * @throws InvalidConfigurationError as {@link readAuthorities}
 */
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
