import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { watchFiles } from './watch-files.ts'

/** The server's certificate chain and private key, as PEM. */
export interface TlsPair {
  readonly cert: string
  readonly key: string
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
  if (errors.length === 0) {
    try {
      createSecureContext({ cert, key })
      if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
        throw new Error('the key does not belong to the certificate')
    } catch (thrown) {
      errors.push({
        where: 'TLS_CERT_FILE, TLS_KEY_FILE',
        what: `must be a certificate and its private key: ${messageOf(thrown)}`,
      })
    }
  }
  if (errors.length > 0) throw new InvalidConfigurationError('The TLS files cannot be used', errors)
  return { cert, key }
}

/**
 * Reads the pair again when its files may have changed.
 *
 * @param known the pair in use
 * @param changed called with each new valid pair
 * @param failed called if a new pair cannot be used; the last valid one stays in use then
 * @returns a function that stops watching
 */
export function watchTlsPair(
  paths: TlsPaths,
  known: TlsPair,
  changed: (pair: TlsPair) => void,
  failed: (error: unknown) => void,
): () => void {
  let current = known
  const reload = (): void => {
    readTlsPair(paths)
      .then(pair => {
        if (pair.cert === current.cert && pair.key === current.key) return
        changed(pair)
        current = pair
      })
      .catch(failed)
  }
  return watchFiles([paths.certFile, paths.keyFile], reload, failed).close
}
