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

/** Where they are. */
export interface TlsPaths {
  readonly certFile: string
  readonly keyFile: string
}

const maxPemBytes = 256 * 1024

/**
 * Reads both files and makes sure that they belong together.
 * @throws InvalidConfigurationError naming the file that cannot be used
 */
export async function readTlsPair({ certFile, keyFile }: TlsPaths): Promise<TlsPair> {
  const faults: ConfigurationError[] = []
  const read = async (where: string, path: string) => {
    try {
      return await readLimitedFile(path, maxPemBytes)
    } catch (thrown) {
      faults.push({ where, what: messageOf(thrown) })
      return ''
    }
  }
  const [cert, key] = [await read('TLS_CERT_FILE', certFile), await read('TLS_KEY_FILE', keyFile)]
  if (faults.length === 0) {
    try {
      createSecureContext({ cert, key })
      if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error('the key is another one')
    } catch (thrown) {
      faults.push({
        where: 'TLS_CERT_FILE, TLS_KEY_FILE',
        what: `are no certificate and its key: ${messageOf(thrown)}`,
      })
    }
  }
  if (faults.length > 0) throw new InvalidConfigurationError('The TLS files cannot be used', faults)
  return { cert, key }
}

/**
 * Reads the pair again when it may have changed. A pair that cannot be used is reported, and the last good one stays.
 *
 * @returns stops watching
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
