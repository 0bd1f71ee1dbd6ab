import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** How a command ended. */
export interface Ended {
  /** `null` when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const interruption = new AbortController()

/** From now on SIGINT and SIGTERM end the command that runs, and let no other begin but those that clean up. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interruption.abort())
}

/** Runs a command to its end, which is forced after so many seconds (default 60). What cannot be run has code 127. */
export const run = (command: readonly string[], seconds = 60): Promise<Ended> =>
  execute(command, seconds, { signal: interruption.signal })

/** As {@link run}, also after a signal: for cleaning up. */
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
    // A process group of its own: Ctrl-C reaches this script alone, which then decides.
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
 * As {@link run}, for commands that must succeed.
 * @throws with the command and the end of what it said, when it does not
 */
export async function must(command: readonly string[], seconds?: number): Promise<string> {
  const { code, stdout, stderr } = await run(command, seconds)
  if (code === 0) return stdout
  const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-30).join('\n')
  throw new Error(`"${command.join(' ').slice(0, 300)}" ended with ${code ?? 'a signal'}:\n${said}`)
}
