import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** How a command ended. */
export interface Ended {
  /** `null` if a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const interruption = new AbortController()

/** Makes SIGINT and SIGTERM end the running command. After that, only commands that clean up can start. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interruption.abort())
}

/** Runs a command, and kills it after `seconds` (default 60). A command that cannot run has code 127. */
export const run = (command: readonly string[], seconds = 60): Promise<Ended> =>
  execute(command, seconds, { signal: interruption.signal })

/** Like {@link run}, but also after a signal, and for up to 120 s. For cleaning up. */
export const runAnyway = (command: readonly string[]): Promise<Ended> => execute(command, 120, {})

async function execute(
  [program = '', ...args]: readonly string[],
  seconds: number,
  options: { readonly signal?: AbortSignal },
): Promise<Ended> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    // Its own process group, so that Ctrl-C reaches only this script, which then ends the command.
    detached: true,
    ...options,
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, stdout, stderr }
  } catch (thrown) {
    return { code: 127, stdout, stderr: `${stderr}${String(thrown)}` }
  }
}

/**
 * Like {@link run}, for commands that must succeed.
 * @throws if it fails, with the command and the last 30 lines of its output
 */
export async function must(command: readonly string[], seconds?: number): Promise<string> {
  const { code, stdout, stderr } = await run(command, seconds)
  if (code === 0) return stdout
  const output = `${stdout}\n${stderr}`.trim().split('\n').slice(-30).join('\n')
  throw new Error(`"${command.join(' ').slice(0, 300)}" exited with ${code ?? 'a signal'}:\n${output}`)
}
