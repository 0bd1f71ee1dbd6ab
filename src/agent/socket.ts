import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { codeOf } from '../errors.ts'

/**
 * Removes a Unix socket that a process left behind when it ended.
 * @throws Error when something else has the path, or somebody listens there
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((thrown: unknown) => {
    if (codeOf(thrown) === 'ENOENT') return undefined
    throw thrown
  })
  if (found === undefined) return
  if (!found.isSocket()) throw new Error(`${path} is there already and is no socket`)
  if (await hasListener(path)) throw new Error(`another process listens at ${path}`)
  await unlink(path)
}

/** Lets only its owner connect. Nobody else could before either: that takes the right to write. */
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
