import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'

/** One file of the page, as it is served. */
export interface PageFile {
  readonly type: string
  readonly content: Buffer
  /** An entity tag (RFC 9110 §8.8.3): it changes with the content. */
  readonly etag: string
}

/** The page, completely in memory. */
export interface Page {
  readonly document: PageFile
  /** What the document loads, by its path below the document: `view/main.js`. */
  readonly parts: ReadonlyMap<string, PageFile>
}

/** The folder of the page, from the folder of package.json. */
export const pageFolder = 'web'

/**
 * The OAuth library of the page, a file of its package without changes: path below the document, and path from the folder of
 * package.json. The image has it too.
 */
export const library = { path: 'lib/oauth4webapi.js', source: 'node_modules/oauth4webapi/build/index.js' } as const

/** Media types by extension. Other files, such as the compiler's settings, are not served. */
const types: Readonly<Record<string, string>> & { readonly '.js': string } = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Bytes of all files together. */
const maxBytes = 512 * 1024

/**
 * Reads the page once. No later request reads a file, so no path of a request reaches the file system.
 *
 * @param root the folder of package.json
 * @throws if the document is missing, or if the files have more than 512 KiB
 */
export async function readPage(root: string): Promise<Page> {
  const folder = join(root, pageFolder)
  const parts = new Map<string, PageFile>()
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const type = types[extname(entry.name)]
    if (type === undefined || !entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const content = await readFile(path)
    bytes += content.length
    if (bytes > maxBytes) throw new Error(`the files in ${folder} have more than ${maxBytes} bytes`)
    parts.set(relative(folder, path).split(sep).join('/'), { type, content, etag: etagOf(content) })
  }
  const document = parts.get('index.html')
  if (!document) throw new Error(`${folder} has no index.html`)
  parts.delete('index.html')
  return { document, parts }
}

/** Reads {@link library}. It is loaded only where people sign in with an issuer. */
export async function readLibrary(root: string): Promise<PageFile> {
  const content = await readFile(join(root, library.source))
  return { type: types['.js'], content, etag: etagOf(content) }
}

/** An entity tag of a content. */
export const etagOf = (content: Buffer | string): string =>
  `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`
