import { randomBytes } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { codeOf, InvalidConfigurationError, messageOf } from '../errors.ts'
import { readLimited } from '../outbound/files/files.ts'

const secretBytes = 32
/** 256 bits in base64url have 43 characters. */
const secretPattern = /^[\x21-\x7e]{43,512}$/
const maxFileBytes = 4096

/**
 * The secret that a file holds; if there is no such file, a new one of 256 bits, in a file that only its owner can read.
 *
 * @param where what to call the file in a fault
 * @throws InvalidConfigurationError when it can be neither read nor made, holds no secret, can be read or written by everybody, or
 * belongs to somebody else
 */
export async function readOrCreateSecret(path: string, where: string): Promise<string> {
  try {
    return (await createSecret(path)) ?? (await readSecret(path))
  } catch (thrown) {
    throw new InvalidConfigurationError('The local secret cannot be used', [{ where, what: messageOf(thrown) }])
  }
}

/** `undefined` where the file is there already. */
async function createSecret(path: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    // Fails for a symbolic link too, wherever it leads.
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

async function readSecret(path: string): Promise<string> {
  const file = await open(path)
  try {
    const { mode, uid } = await file.stat()
    // A group may read it: that is how Kubernetes gives a pod's containers one file.
    if ((mode & 0o027) !== 0) throw new Error(`${path} can be read or written by others: chmod 600 ${path}`)
    // Whoever made it knows what is in it.
    if (uid !== 0 && uid !== process.getuid?.()) throw new Error(`${path} belongs to another user`)
    const secret = (await readLimited(file, path, maxFileBytes)).trim()
    if (secretPattern.test(secret)) return secret
    throw new Error(`${path} must hold 43 to 512 printable characters, such as 256 bits in base64url`)
  } finally {
    await file.close()
  }
}
