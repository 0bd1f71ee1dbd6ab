import { constants, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Milliseconds within which a file must be read. A read from a network file system whose server does not respond never
 * returns, and cannot be cancelled.
 */
const readWithinMs = 2_000

/**
 * The last read in each folder that has not returned. Reads in one folder wait for each other: each blocks a thread of
 * the process until it returns, and there are only four, which name lookups need too. A folder that hangs so blocks one.
 */
const lastReads = new Map<string, Promise<unknown>>()
/** The folders in which a read is overdue. Further reads there fail at once, so that no queue of them grows. */
const hungFolders = new Set<string>()

/**
 * Runs something that reads the file, after the reads in the same folder that are running.
 * @throws Error if it does not end in time. It may still be running then, but does not start any more
 */
export async function readInTime<T>(path: string, read: () => Promise<T>, withinMs = readWithinMs): Promise<T> {
  const folder = dirname(path)
  if (hungFolders.has(folder)) throw overdue(path, withinMs)
  const deadline = new AbortController()
  const late = sleep(withinMs, undefined, { signal: deadline.signal }).then(() => {
    deadline.abort()
    hungFolders.add(folder)
    throw overdue(path, withinMs)
  })
  const before = lastReads.get(folder) ?? Promise.resolve()
  const result = before.then(() => {
    deadline.signal.throwIfAborted()
    return read()
  })
  const settled = result.then(
    () => undefined,
    () => undefined,
  )
  lastReads.set(folder, settled)
  void settled.then(() => {
    if (lastReads.get(folder) !== settled) return
    lastReads.delete(folder)
    hungFolders.delete(folder)
  })
  try {
    return await Promise.race([result, late])
  } finally {
    deadline.abort()
    late.catch(() => undefined)
  }
}

const overdue = (path: string, withinMs: number): Error =>
  new Error(`${path} could not be read within ${withinMs / 1000} s; does its file system respond?`)

/**
 * Opens a regular file for reading, after symbolic links. Opening a named pipe or a device could wait for ever, or have
 * an effect.
 * @throws Error if it cannot be opened, or is no regular file
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    if ((await file.stat()).isFile()) return file
    throw new Error(`${path} is not a regular file`)
  } catch (thrown) {
    await file.close()
    throw thrown
  }
}

/** The text of a file, with what shows whether it was changed. */
export interface FileVersion {
  readonly text: string
  /** Changes with every write and every replacement of the file. `undefined` if it was written while it was read. */
  readonly stamp: string | undefined
  /** When it was last written, in milliseconds since 1970 by the clock of its file system. */
  readonly writtenAt: number
}

/**
 * Reads a file's text as a whole.
 * @throws Error if the file cannot be read in time, is no regular file, is larger than `maxBytes`, or is not UTF-8
 */
export const readLimitedFile = async (path: string, maxBytes: number): Promise<string> =>
  (await readVersion(path, maxBytes)).text

/** The same as {@link readLimitedFile}, with what shows whether the file was changed. */
export const readVersion = (path: string, maxBytes: number): Promise<FileVersion> =>
  readInTime(path, async () => {
    const file = await openRegular(path)
    try {
      const before = await file.stat({ bigint: true })
      const text = await readLimited(file, path, maxBytes)
      const after = await file.stat({ bigint: true })
      const isWhole = stampOf(before) === stampOf(after)
      return { text, stamp: isWhole ? stampOf(after) : undefined, writtenAt: Number(after.mtimeMs) }
    } finally {
      await file.close()
    }
  })

const stampOf = ({ dev, ino, size, mtimeNs }: BigIntStats): string => `${dev} ${ino} ${size} ${mtimeNs}`

/** Files are read in pieces, because most are much smaller than what they may be. */
const chunkBytes = 64 * 1024

/**
 * The same as {@link readLimitedFile} for an open file, so that checks of its owner and mode apply to what is read.
 * Does not close it.
 */
export async function readLimited(file: FileHandle, path: string, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = Buffer.alloc(chunkBytes)
    const { bytesRead } = await file.read(chunk, 0, chunkBytes)
    if (bytesRead === 0) break
    length += bytesRead
    if (length > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`)
    chunks.push(chunk.subarray(0, bytesRead))
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks, length))
}
