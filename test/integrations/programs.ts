import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Closing } from '../support/broker.ts'

/** A folder for a test's files, with `token-broker` as a command. */
export interface Workplace {
  readonly folder: string
  /** Writes a file, and returns its path. */
  readonly file: (name: string, content: string) => Promise<string>
  /** Runs a program there, with `input` as its standard input. Rejects if its exit code is not 0. */
  readonly run: (
    program: string,
    args: readonly string[],
    input?: string,
  ) => Promise<{ stdout: string; stderr: string }>
}

/** Creates a folder in which `token-broker` runs the sources of this repository. It is removed at the end. */
export async function workplace(t: Closing): Promise<Workplace> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-example-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const cli = join(import.meta.dirname, '../../src/cli.ts')
  await mkdir(join(folder, 'bin'))
  await chmod(await file('bin/token-broker', `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`), 0o755)
  const env = { PATH: [join(folder, 'bin'), process.env['PATH']].join(delimiter), HOME: folder }
  return {
    folder,
    file,
    run: (program, args, input = '') => {
      const running = promisify(execFile)(program, args, { cwd: folder, env, timeout: 60_000 })
      running.child.stdin?.on('error', () => undefined).end(input)
      return running
    },
  }
}
