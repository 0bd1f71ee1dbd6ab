import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { codeOf } from '../errors.ts'

/**
 * Removes a Unix socket that an ended process has left.
 * @throws Error if the path is not a socket, or another process listens there
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((thrown: unknown) => {
    if (codeOf(thrown) === 'ENOENT') return undefined
    throw thrown
  })
  if (found === undefined) return
  if (!found.isSocket()) throw new Error(`${path} already exists and is not a socket`)
  if (await hasListener(path)) throw new Error(`another process listens at ${path}`)
  await unlink(path)
}

/**
 * Sets the mode of a socket to 0600, so that only its owner can connect. Until then the umask decides: connecting needs
 * the permission to write, which the usual umask of 022 gives to the owner only.
 */
export const restrictToOwner = (path: string): Promise<void> => chmod(path, 0o600)

function hasListener(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.once('connect', () => {
    socket.destroy()
    resolve(true)
  })
  socket.once('error', error => (codeOf(error) === 'ECONNREFUSED' ? resolve(false) : reject(error)))
  return promise
}
