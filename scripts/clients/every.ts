import { join } from 'node:path'
import { execute } from './execute.ts'

const script = join(import.meta.dirname, 'run.ts')
const root = join(import.meta.dirname, '../..')
/** Milliseconds. */
const languageTimeout = 25 * 60_000
/** How many run at the same time. They mostly wait, but their compilers do not. */
const atOnce = 4

/** Runs a language in a process of its own, and prints what it prints. @returns whether it passed */
async function runAlone(name: string): Promise<boolean> {
  const command = [process.execPath, script, name] as const
  const { code, stdout, stderr } = await execute(command, { cwd: root, env: process.env, timeout: languageTimeout })
  process.stdout.write(`${stdout}\n`)
  process.stderr.write(stderr)
  return code === 0
}

/**
 * Runs every language or tool, some at a time. One that fails is run again by itself, because a registry may not respond, and
 * a busy machine may be slow. It has failed if it fails twice.
 *
 * @returns the exit code
 */
export async function runEvery(names: readonly string[]): Promise<number> {
  const left = [...names]
  const again: string[] = []
  const runOthers = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) if (!(await runAlone(name))) again.push(name)
  }
  await Promise.all(Array.from({ length: atOnce }, runOthers))
  const failed: string[] = []
  for (const name of again) {
    process.stdout.write(`${name} failed; once more, by itself:\n\n`)
    if (!(await runAlone(name))) failed.push(name)
  }
  process.stdout.write(failed.length === 0 ? 'every language passed\n' : `failed twice: ${failed.join(', ')}\n`)
  return failed.length === 0 ? 0 : 1
}
