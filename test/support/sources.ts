import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** A file of the project, by its path from the root. */
export const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Every TypeScript file below a folder, by its path from the root. */
export const sourcesBelow = (folder: string): string[] => globSync(`${folder}/**/*.ts`, { cwd: root }).toSorted()

/** Every file of a folder and below it, by its path from the root. */
export const filesBelow = (folder: string): string[] =>
  globSync(`${folder}/**/*`, { cwd: root, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    .toSorted()

/** The project's own files that a file imports, types included. */
export const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, specifier]) =>
    normalize(join(dirname(path), specifier ?? '')),
  )
