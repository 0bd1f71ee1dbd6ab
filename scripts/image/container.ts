import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { must, run, runAnyway, type Ended } from './command.ts'

/** An image and the engine that runs it. */
export interface Subject {
  readonly engine: 'podman' | 'docker'
  /** The engine's own options. */
  readonly options: readonly string[]
  readonly image: string
}

/** A running container. */
export interface Container {
  readonly name: string
  /** Milliseconds from the command that started it to the first token. */
  readonly commandToTokenMs: number
  /** Milliseconds from the start of its process, as the engine reports it, to the first token. */
  readonly processToTokenMs: number
  readonly exec: (command: readonly string[], variables?: readonly string[]) => Promise<Ended>
  /** Sends SIGTERM and waits. Resolves to the exit code and the milliseconds that it took. */
  readonly terminate: () => Promise<{ readonly code: number; readonly ms: number }>
  /** Everything that it wrote. */
  readonly logs: () => Promise<string>
  readonly remove: () => Promise<void>
}

const firstTokenWithinMs = 30_000

/**
 * The strictest options that the documentation promises to work. The limits are lower than those of any machine, which
 * podman's defaults may not be. The health check runs by hand, because podman runs it with systemd.
 */
function runOptions({ engine }: Subject): readonly string[] {
  return [
    '--pull=never',
    '--network=host',
    '--read-only',
    ...(engine === 'podman' ? ['--read-only-tmpfs=false'] : []),
    '--cap-drop=all',
    '--security-opt=no-new-privileges',
    '--security-opt=label=disable',
    '--ulimit=nofile=4096:4096',
    '--ulimit=nproc=1024:1024',
    '--no-healthcheck',
  ]
}

/** Runs the image's entry point until it exits, and kills it after a minute. */
export async function runToEnd(subject: Subject, args: readonly string[]): Promise<Ended> {
  const [name, engine] = [newName(), [subject.engine, ...subject.options]]
  try {
    return await run([...engine, 'run', '--rm', '--name', name, ...runOptions(subject), subject.image, ...args])
  } finally {
    await runAnyway([...engine, 'rm', '--force', name])
  }
}

const newName = (): string => `token-broker-${randomUUID()}`

/**
 * Starts the image's default command and waits for the first token.
 *
 * @param folder becomes /etc/token-broker, read-only
 * @param requestToken requests a token
 * @throws if there is none within 30 seconds; the container is removed then
 */
export async function start(
  subject: Subject,
  environment: Readonly<Record<string, string>>,
  folder: string,
  requestToken: () => Promise<Response>,
): Promise<Container> {
  const [name, engine] = [newName(), [subject.engine, ...subject.options]]
  const variables = Object.entries(environment).map(([key, value]) => `--env=${key}=${value}`)
  const options = [...runOptions(subject), ...variables, `--volume=${folder}:/etc/token-broker:ro`]
  const remove = async () => void (await runAnyway([...engine, 'rm', '--force', name]))
  const failed = new AbortController()
  const started = performance.now()
  try {
    const [firstToken] = await Promise.all([
      untilToken(requestToken, failed.signal),
      must([...engine, 'run', '--detach', '--name', name, ...options, subject.image]),
    ])
    const startedAt = await must([...engine, 'inspect', '--format', '{{json .State.StartedAt}}', name])
    return {
      name,
      commandToTokenMs: firstToken.monotonic - started,
      processToTokenMs: firstToken.wall - Date.parse(JSON.parse(startedAt) as string),
      exec: (command, extra = []) =>
        run([...engine, 'exec', ...extra.map(variable => `--env=${variable}`), name, ...command]),
      terminate: () => terminate(engine, name),
      logs: async () => {
        const { stdout, stderr } = await run([...engine, 'logs', name])
        return stdout + stderr
      },
      remove,
    }
  } catch (thrown) {
    failed.abort()
    const { stdout, stderr } = await runAnyway([...engine, 'logs', name])
    await remove()
    throw new Error(`${String(thrown)}\n${stdout}${stderr}`, { cause: thrown })
  }
}

async function untilToken(
  requestToken: () => Promise<Response>,
  stopped: AbortSignal,
): Promise<{ monotonic: number; wall: number }> {
  let last = 'no response'
  const end = performance.now() + firstTokenWithinMs
  while (performance.now() < end && !stopped.aborted) {
    const response = await requestToken().catch(() => undefined)
    const text = await response?.text()
    if (response?.ok) return { monotonic: performance.now(), wall: Date.now() }
    if (response) last = `${response.status} ${text}`
    await sleep(2)
  }
  throw new Error(`no token within ${firstTokenWithinMs} ms: ${last}`)
}

async function terminate(engine: readonly string[], name: string): Promise<{ code: number; ms: number }> {
  const started = performance.now()
  await must([...engine, 'kill', '--signal', 'TERM', name])
  const code = Number(await must([...engine, 'wait', name], 30))
  return { code, ms: performance.now() - started }
}
