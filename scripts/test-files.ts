import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What a test file and the helpers that it imports reach, by words in their text. */
const processes = /'node:child_process'|'playwright-core'|\/scripts\/infra\/bicep\.ts'/
/** The heap is measured, or the process' trust store, environment, timers or DNS is changed. */
const processWide =
  /'node:(?:v8|vm)'|setDefaultCACertificates|process\.env\[[^\]]+\] = |delete process\.env|network-off\.ts'/
const timers = /mock\.timers\.enable/
/** Its tokens have the real time; the clock of a file stands at the time at which its process loaded it. */
const realTime = /from 'oidc-provider'/
/** A helper starts an emulator when it is imported: the files of a process would share it, with its clock. */
const sharedWorld = /^(?:export )?const .+ = await startWorld\(/m
const emulator = 'emulator/emulator.ts'
/** It trusts each emulator's authority besides the others, and MSAL reads the environment once for each. */
const worlds = 'test/support/broker.ts'

/**
 * Where a test file runs:
 *
 * - `unit`: it starts no emulator and no process, so all of them share one process
 * - `emulator`: it starts an emulator, so a few processes share these files; each file has an emulator of its own
 * - `alone`: it changes or measures its process, needs the real time, or a helper starts its emulator
 * - `processes`: it starts processes itself, such as a browser; in a process of its own too
 */
export type Kind = 'unit' | 'emulator' | 'alone' | 'processes'

/** Where a test file runs. `file` is a path from `root`. */
export function kindOf(root: string, file: string): Kind {
  const sources = reached(root, file)
  if (sources.some(({ text }) => processes.test(text))) return 'processes'
  if (sources.some(({ path, text }) => path !== worlds && processWide.test(text))) return 'alone'
  if (!sources.some(({ path }) => path === emulator)) return 'unit'
  const isShared = ({ path, text }: Source): boolean => !path.endsWith('.test.ts') && sharedWorld.test(text)
  return sources.some(source => timers.test(source.text) || realTime.test(source.text) || isShared(source))
    ? 'alone'
    : 'emulator'
}

interface Source {
  readonly path: string
  readonly text: string
}

/** The file and what it imports, followed through helpers, but not into what is tested. */
function reached(root: string, file: string): readonly Source[] {
  const sources = new Map<string, Source>()
  const follow = (path: string): void => {
    if (sources.has(path) || !/^(?:test|emulator)\//.test(path) || !existsSync(join(root, path))) return
    const text = readFileSync(join(root, path), 'utf8')
    sources.set(path, { path, text })
    for (const [, specifier = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g))
      follow(normalize(join(dirname(path), specifier)))
  }
  follow(file)
  return [...sources.values()]
}
