import { globSync } from 'node:fs'
import { join } from 'node:path'

/** Every Markdown page at the root and in `docs`, by its path from the root. */
export const pages = (): readonly string[] =>
  globSync(['*.md', 'docs/**/*.md'], { cwd: join(import.meta.dirname, '../..') }).toSorted()

/** The part of a Markdown text below a heading, up to the next heading of its level or a higher one. */
export function sectionOf(markdown: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0
  const lines = markdown.split('\n')
  const from = lines.indexOf(heading) + 1
  if (from === 0) throw new Error(`there is no heading "${heading}"`)
  const length = lines.slice(from).findIndex(line => new RegExp(`^#{1,${level}} `).test(line))
  return lines.slice(from, length === -1 ? undefined : from + length).join('\n')
}

/** The cells of all table rows in a Markdown text whose first cell is code, without the backticks around that. */
export const rowsOf = (markdown: string): readonly (readonly string[])[] =>
  [...markdown.matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, first = '', rest = '']) => [
    first,
    ...rest.split('|').map(cell => cell.trim()),
  ])

/** The fenced blocks of one language, without their fences. */
export const blocksOf = (markdown: string, language: string): readonly string[] =>
  [...markdown.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, block]) => block ?? '')

/** The anchors of a page's headings, as GitHub makes them. */
export const anchorsOf = (markdown: string): ReadonlySet<string> =>
  new Set(
    [...markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
