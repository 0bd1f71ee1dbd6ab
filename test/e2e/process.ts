import { spawn } from 'node:child_process'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Emulator } from '../../emulator/emulator.ts'
import { type Command, runCommand } from '../../src/commands/command.ts'
import { ExitError } from '../../src/exit.ts'
import { type Closing, parseObject, policyOf, until } from '../support/broker.ts'

const cli = join(import.meta.dirname, '../../src/cli.ts')

/** A token-broker process. */
export interface Run {
  readonly stdout: () => string
  readonly stderr: () => string
  /** The messages of the log so far. */
  readonly messages: () => readonly string[]
  readonly signal: (signal: NodeJS.Signals) => void
  /** The exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>
  readonly hasExited: () => boolean
}

/** For Node itself: the modules that a test's process has compiled need not be compiled again. */
const { NODE_COMPILE_CACHE } = process.env
const nodeOptions = NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }

/**
 * Runs the command, with no environment of the broker's but the given one; killed when the test ends.
 *
 * @param flags Node's own; by default the one that keeps its inspector closed
 */
export function run(
  t: Closing,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  flags: readonly string[] = ['--disable-sigusr1'],
): Run {
  const child = spawn(process.execPath, [...flags, cli, ...args], {
    env: { ...nodeOptions, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr, gone] = ['', '', false]
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exited = new Promise<number | null>(resolve => {
    child.on('close', code => {
      gone = true
      resolve(code)
    })
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return {
    stdout: () => stdout,
    stderr: () => stderr,
    messages: () => stdout.split('\n').map(line => String(parseObject(line)['msg'])),
    signal: signal => void child.kill(signal),
    exited,
    hasExited: () => gone,
  }
}

/** How a command ended. */
interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command in a process of its own to its end. */
export async function ended(t: Closing, args: readonly string[]): Promise<Ended> {
  const command = run(t, args)
  return { code: await command.exited, stdout: command.stdout(), stderr: command.stderr() }
}

/**
 * Runs a command in this process, which takes a hundredth of the time. `args` follow the command's name. Errors become
 * what `src/cli.ts` writes and the exit code that it sets.
 */
export async function endedHere(command: Command, args: readonly string[]): Promise<Ended> {
  let stdout = ''
  const out = (text: string): void => void (stdout += text)
  try {
    const surroundings = { environment: {}, out, now: Date.now, handOverSignals: () => undefined }
    return { code: await runCommand(command, args, surroundings), stdout, stderr: '' }
  } catch (thrown) {
    if (!(thrown instanceof ExitError)) throw thrown
    return { code: thrown.exitCode, stdout, stderr: `token-broker: ${thrown.message}\n` }
  }
}

/** The environment of a broker that uses the emulator and lets the system choose the port. */
export async function environmentOf(
  t: Closing,
  emulator: Emulator,
  changes: Readonly<Record<string, string>> = {},
): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [policyFile, caFile] = [join(folder, 'policy.yaml'), join(folder, 'ca.pem')]
  await writeFile(policyFile, JSON.stringify(policyOf(emulator)))
  // Written long ago: a new file is read once it is complete.
  await utimes(policyFile, 0, 0)
  await writeFile(caFile, emulator.caPem)
  return {
    ...emulator.environment(),
    PORT: '0',
    BROKER_POLICY_FILE: policyFile,
    BROKER_DRAIN_SECONDS: '1',
    BROKER_UPSTREAM_TIMEOUT_MS: '5000',
    // Read by Node itself when the process starts.
    NODE_EXTRA_CA_CERTS: caFile,
    ...changes,
  }
}

/** Runs `serve` and waits until it listens. */
export async function serve(
  t: Closing,
  environment: Readonly<Record<string, string>>,
  flags?: readonly string[],
): Promise<Run & { url: string }> {
  const broker = run(t, ['serve'], environment, flags)
  const address = () => /listening at (https?:\/\/[\d.:]+)/.exec(broker.stdout())?.[1]
  await until('listening', () => address() !== undefined || broker.hasExited(), 20)
  const url = address()
  if (url === undefined) throw new Error(`the broker does not listen: ${broker.stderr()}`)
  return { ...broker, url }
}
