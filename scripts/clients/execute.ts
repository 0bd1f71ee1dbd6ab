import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import type { Command } from './languages.ts'

/** How a command ended. */
export interface Outcome {
  /** Null if it could not be started, or was killed. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, or kills it after `timeout` milliseconds. */
export async function execute(
  [program, ...args]: Command,
  options: { cwd: string; env: NodeJS.ProcessEnv; timeout: number },
): Promise<Outcome> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], killSignal: 'SIGKILL' })
  const exited = new Promise<number | null>(resolve => {
    child.on('error', () => resolve(null))
    child.on('close', code => resolve(code))
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await exited, stdout, stderr }
}
