import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What a test file and the helpers that it imports reach, by words in their text. */
const processes = /'node:child_process'/
/** The heap is measured, or the process' trust store, environment or DNS is changed. */
const processWide =
  /'node:(?:v8|vm)'|setDefaultCACertificates|process\.env\[[^\]]+\] = |delete process\.env|network-off\.ts'/
const emulator = 'emulator/emulator.ts'

/** Whether a test file starts processes itself. `file` is a path from `root`. */
export const startsProcesses = (root: string, file: string): boolean =>
  reached(root, file).some(({ text }) => processes.test(text))

/** Whether a test file must not share its process with others: it starts an emulator or a process, or changes its own. */
export const needsOwnProcess = (root: string, file: string): boolean =>
  reached(root, file).some(({ path, text }) => path === emulator || processes.test(text) || processWide.test(text))

interface Source {
  readonly path: string
  readonly text: string
}

const known = new Map<string, readonly Source[]>()

/** The file and what it imports, followed through helpers, but not into what is tested. */
function reached(root: string, file: string): readonly Source[] {
  const before = known.get(file)
  if (before) return before
  const sources = new Map<string, Source>()
  const follow = (path: string): void => {
    if (sources.has(path) || !/^(?:test|emulator)\//.test(path) || !existsSync(join(root, path))) return
    const text = readFileSync(join(root, path), 'utf8')
    sources.set(path, { path, text })
    for (const [, specifier = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g))
      follow(normalize(join(dirname(path), specifier)))
  }
  follow(file)
  const all = [...sources.values()]
  known.set(file, all)
  return all
}
