import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../../errors.ts'
import { certificatesOf } from './certificates.ts'
import { readLimitedFile } from './files.ts'
import { watchFiles } from './watch-files.ts'

/** The server's certificate chain and private key, as PEM. */
export interface TlsPair {
  readonly cert: string
  readonly key: string
  /** The certificates of the chain, the server's own first. */
  readonly certificates: readonly X509Certificate[]
}

/** The paths of {@link TlsPair}. */
export interface TlsPaths {
  readonly certFile: string
  readonly keyFile: string
}

const maxPemBytes = 256 * 1024

/**
 * Reads both files and checks that the key is the certificate's.
 * @throws InvalidConfigurationError if a file cannot be read or the two do not match; names the settings
 */
export async function readTlsPair({ certFile, keyFile }: TlsPaths): Promise<TlsPair> {
  const errors: ConfigurationError[] = []
  const read = async (where: string, path: string) => {
    try {
      return await readLimitedFile(path, maxPemBytes)
    } catch (thrown) {
      errors.push({ where, what: messageOf(thrown) })
      return ''
    }
  }
  const [cert, key] = [await read('TLS_CERT_FILE', certFile), await read('TLS_KEY_FILE', keyFile)]
  let certificates: TlsPair['certificates'] = []
  if (errors.length === 0) {
    try {
      createSecureContext({ cert, key })
      const own = new X509Certificate(cert)
      if (!own.checkPrivateKey(createPrivateKey(key))) throw new Error('the key does not belong to the certificate')
      certificates = [
        own,
        ...certificatesOf(cert).filter(({ fingerprint256 }) => fingerprint256 !== own.fingerprint256),
      ]
    } catch (thrown) {
      errors.push({
        where: 'TLS_CERT_FILE, TLS_KEY_FILE',
        what: `must be a certificate and its private key: ${messageOf(thrown)}`,
      })
    }
  }
  if (errors.length > 0) throw new InvalidConfigurationError('The TLS files cannot be used', errors)
  return { cert, key, certificates }
}

/** The TLS pair of two files that may change. */
export interface FollowedTlsPair {
  readonly current: () => TlsPair
  /**
   * Reads the pair again when its files may have changed. `changed` is called after a new valid pair was read; `failed` if
   * it cannot be used, and the last valid one stays in use then.
   */
  readonly watch: (changed: () => void, failed: (error: unknown) => void) => void
  readonly close: () => void
}

/**
 * Reads the pair of two files, and follows its changes once `watch` is called.
 * @throws InvalidConfigurationError as {@link readTlsPair}
 */
export async function followTlsPair(paths: TlsPaths): Promise<FollowedTlsPair> {
  let current = await readTlsPair(paths)
  let close: (() => void) | undefined
  return {
    current: () => current,
    watch: (changed, failed) => {
      const reload = async (): Promise<void> => {
        const next = await readTlsPair(paths)
        if (next.cert === current.cert && next.key === current.key) return
        current = next
        changed()
      }
      close = watchFiles([paths.certFile, paths.keyFile], () => void reload().catch(failed), failed).close
    },
    close: () => close?.(),
  }
}
