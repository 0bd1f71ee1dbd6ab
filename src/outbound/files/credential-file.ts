import { readLimitedFile } from './files.ts'

/** Bytes of the largest credential, such as a token or an API key, that is read from a file. */
const maxCredentialBytes = 64 * 1024

/**
 * Reads a file that contains exactly one credential for the header `Authorization`. White space at its beginning and its
 * end does not count.
 *
 * @throws Error that names the file and has none of its content
 */
export async function readCredentialFile(path: string): Promise<string> {
  const text = (await readLimitedFile(path, maxCredentialBytes)).trim()
  if (text === '') throw new Error(`${path} is empty`)
  if (!/^[!-~]+$/.test(text)) throw new Error(`${path} must contain exactly one credential, without white space`)
  return text
}
