import { randomBytes } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { codeOf, InvalidConfigurationError, messageOf } from '../errors.ts'
import { openRegular, readInTime, readLimited } from '../outbound/files/files.ts'

/** 256 bits. */
const secretBytes = 32
/** 256 bits in base64url have 43 characters. */
const secretPattern = /^[\x21-\x7e]{43,512}$/
const maxFileBytes = 4096

/**
 * Returns the secret of a file. If the file does not exist, creates it with a new secret of 256 bits, readable only by
 * its owner.
 *
 * @param where the flag that names the file; errors begin with it
 * @throws InvalidConfigurationError if the file can be neither read nor created, has no valid secret, can be read by
 *   others or written by its group or others, or belongs to a user other than this one and root
 */
export async function readOrCreateSecret(path: string, where: string): Promise<string> {
  try {
    return (await createSecret(path)) ?? (await readSecret(path))
  } catch (thrown) {
    throw new InvalidConfigurationError('The local secret cannot be used', [{ where, what: messageOf(thrown) }])
  }
}

/** `undefined` if the file already exists. */
async function createSecret(path: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    // Fails for a symbolic link too, even for one to a file that does not exist.
    file = await open(path, 'wx', 0o600)
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return undefined
    throw thrown
  }
  try {
    const secret = randomBytes(secretBytes).toString('base64url')
    await file.writeFile(secret)
    return secret
  } finally {
    await file.close()
  }
}

const readSecret = (path: string): Promise<string> => readInTime(path, () => readOwnSecret(path))

async function readOwnSecret(path: string): Promise<string> {
  const file = await openRegular(path)
  try {
    const { mode, uid } = await file.stat()
    // The group may read it, because Kubernetes shares a file among a pod's containers in this way.
    if ((mode & 0o027) !== 0) throw new Error(`${path} can be read or written by other users; run: chmod 600 ${path}`)
    // The creator of the file knows the secret.
    if (uid !== 0 && uid !== process.getuid?.()) throw new Error(`${path} belongs to another user`)
    const secret = (await readLimited(file, path, maxFileBytes)).trim()
    if (secretPattern.test(secret)) return secret
    throw new Error(`${path} must contain 43 to 512 printable characters, such as 256 bits in base64url`)
  } finally {
    await file.close()
  }
}
