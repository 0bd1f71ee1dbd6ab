import { messageOf, BrokerError } from '../errors.ts'
import { readLimitedFile } from '../outbound/files/files.ts'

/** Where a workload outside Azure keeps what it authenticates with. Paths; at least one of the first three. */
export interface CredentialFiles {
  /** A token, replaced as it rotates. */
  readonly tokenFile: string | undefined
  readonly apiKeyFile: string | undefined
  /** A client certificate and its key, in PEM. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | undefined
  /** PEM certificates to trust for the broker instead of the system's. */
  readonly caFile: string | undefined
}

/** What a request to the broker carries. */
export interface WorkloadCredential {
  readonly bearer: string | undefined
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

const maxFileBytes = 256 * 1024

/**
 * Reads the workload's credential, anew each time: a kubelet, an agent of SPIRE or a person replaces such files while
 * they are in use.
 *
 * Rejects with `identity_unavailable`, naming the file and nothing of what is in it.
 */
export async function readCredential(files: CredentialFiles): Promise<WorkloadCredential> {
  const { tokenFile, apiKeyFile, certificate, caFile } = files
  const bearerFile = tokenFile ?? apiKeyFile
  const [bearer, ca, cert, key] = await Promise.all([
    read(bearerFile),
    read(caFile),
    read(certificate?.certFile),
    read(certificate?.keyFile),
  ])
  if (bearer !== undefined && !/^[!-~]+$/.test(bearer)) throw unusable(`${bearerFile} does not hold one credential`)
  return { bearer, tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } }
}

async function read(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  let text: string
  try {
    text = (await readLimitedFile(path, maxFileBytes)).trim()
  } catch (thrown) {
    throw unusable(messageOf(thrown))
  }
  if (text === '') throw unusable(`${path} is empty`)
  return text
}

const unusable = (why: string) =>
  new BrokerError('identity_unavailable', "The workload's credential cannot be read.", {
    reason: 'file',
    cause: new Error(why),
  })
