import { open, type FileHandle } from 'node:fs/promises'

/**
 * Reads a file's text as a whole.
 * @throws Error if the file cannot be read, is larger than `maxBytes`, or is not UTF-8
 */
export async function readLimitedFile(path: string, maxBytes: number): Promise<string> {
  const file = await open(path)
  try {
    return await readLimited(file, path, maxBytes)
  } finally {
    await file.close()
  }
}

/**
 * The same as {@link readLimitedFile} for an open file, so that checks of its owner and mode apply to what is read.
 * Does not close it.
 */
export async function readLimited(file: FileHandle, path: string, maxBytes: number): Promise<string> {
  const buffer = Buffer.alloc(maxBytes + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length)
    if (bytesRead === 0) break
    length += bytesRead
    if (length > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length))
}
