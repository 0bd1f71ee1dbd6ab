import { messageOf, BrokerError } from '../errors.ts'
import { readCredentialFile } from '../outbound/files/credential-file.ts'
import { readLimitedFile } from '../outbound/files/files.ts'

/** The paths of a workload's credential. At least one of the first three is set. */
export interface CredentialFiles {
  /** A token; its file is replaced when it rotates. */
  readonly tokenFile: string | undefined
  /** An API key. */
  readonly apiKeyFile: string | undefined
  /** A client certificate and its key, in PEM. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | undefined
  /** PEM certificates to trust for the broker instead of the system's. */
  readonly caFile: string | undefined
}

/** The credential in a request to the broker. */
export interface WorkloadCredential {
  /** For the header `Authorization`. */
  readonly bearer: string | undefined
  /** PEM texts. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

const maxPemBytes = 256 * 1024

/**
 * Reads the workload's credential. It is read for each request, because a kubelet, a SPIRE agent or a person can
 * replace its files at any time.
 *
 * @throws BrokerError `identity_unavailable`; its cause names the file and never has its content
 */
export async function readCredential(files: CredentialFiles): Promise<WorkloadCredential> {
  const { tokenFile, apiKeyFile, certificate, caFile } = files
  const bearerFile = tokenFile ?? apiKeyFile
  const [bearer, ca, cert, key] = await Promise.all([
    orUnusable(bearerFile, readCredentialFile),
    orUnusable(caFile, readPem),
    orUnusable(certificate?.certFile, readPem),
    orUnusable(certificate?.keyFile, readPem),
  ])
  return { bearer, tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } }
}

async function orUnusable(
  path: string | undefined,
  read: (path: string) => Promise<string>,
): Promise<string | undefined> {
  if (path === undefined) return undefined
  try {
    return await read(path)
  } catch (thrown) {
    throw new BrokerError('identity_unavailable', "The workload's credential cannot be read.", {
      reason: 'file',
      cause: new Error(messageOf(thrown)),
    })
  }
}

async function readPem(path: string): Promise<string> {
  const text = (await readLimitedFile(path, maxPemBytes)).trim()
  if (text === '') throw new Error(`${path} is empty`)
  return text
}
