import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuMsOf } from './cpu.ts'
import { startEmulator, type Emulator } from '../emulator/emulator.ts'
import { sample } from '../emulator/options.ts'

/** What all parts of the benchmark share: the emulator, a policy, a caller and its request bodies. */
export interface World {
  readonly emulator: Emulator
  readonly folder: string
  /** The broker's environment, without PORT. */
  readonly environment: Readonly<Record<string, string>>
  readonly authorization: string
  /** One request body per tenant. */
  readonly bodies: readonly string[]
  readonly close: () => Promise<void>
}

/** Many tenants are requested in turn, so that no single response stays in the processor's cache. */
const tenantCount = 500
const scope = 'https://graph.microsoft.com/.default'

/** Makes the tokens as long as real ones: the caller's JWT has about 1.5 kB, the access token about 1.6 kB. */
const padding = 'x'.repeat(800)

/** Starts an emulator with 500 tenants, and writes the policy and the CA for the broker. */
export async function createWorld(): Promise<World> {
  const ids = Array.from({ length: tenantCount }, (_, n) => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`)
  const emulator = await startEmulator({ tenants: ids.map(id => ({ id })) })
  emulator.configure({ expiresIn: 86_400 })
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-bench-'))
  const policyFile = join(folder, 'policy.yaml')
  const caFile = join(folder, 'ca.pem')
  await writeFile(caFile, emulator.caPem)
  await writeFile(policyFile, policyText(emulator))
  // The broker waits a second for a file that was just written, in case it is not complete yet.
  await utimes(policyFile, 0, 0)
  const token = await emulator.mintCallerToken({ sub: 'bench', padding }, { expiresIn: 86_400 })
  return {
    emulator,
    folder,
    environment: {
      PATH: process.env['PATH'] ?? '',
      ...emulator.environment(),
      BROKER_POLICY_FILE: policyFile,
      BROKER_DRAIN_SECONDS: '0',
      NODE_EXTRA_CA_CERTS: caFile,
    },
    authorization: `Bearer ${token}`,
    bodies: ids.map(tenant => JSON.stringify({ tenant, scope })),
    close: async () => {
      await emulator.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const policyText = (emulator: Emulator): string => `
applications: { default: ${sample.application} }
issuers: { emulator: { issuer: "${emulator.callerIssuer}", audiences: [token-broker] } }
rules:
  - { name: bench, callers: [{ issuer: emulator, subject: bench }], tenants: "*", scopes: ["${scope}"] }
`

/** A server under test, in its own process. */
export interface Server {
  readonly url: string
  readonly pid: number
  /** Milliseconds from the start of the process to its first 200. */
  readonly startMs: number
  /** Milliseconds of CPU time until then. */
  readonly startCpuMs: number
  readonly stop: () => Promise<void>
}

const startWithinMs = 20_000

/**
 * Starts a script and waits for the first 200; throws if there is none within 20 s. On Linux the script runs on the
 * first core. Its log is written, but to /dev/null. `within` changes the command line, to limit what the process may use.
 */
export async function startServer(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  firstRequest: (url: string) => Promise<Response>,
  within = (command: readonly [string, ...string[]]) => command,
): Promise<Server> {
  const port = await freePort()
  const [command, ...rest] = within(onCore(0, [process.execPath, ...args]))
  const started = performance.now()
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...environment, HOST: '127.0.0.1', PORT: String(port) },
  })
  const url = `http://127.0.0.1:${port}`
  while (performance.now() - started < startWithinMs && child.exitCode === null) {
    const response = await firstRequest(url).catch(() => undefined)
    await response?.arrayBuffer()
    if (response?.ok) {
      const startMs = performance.now() - started
      const pid = child.pid ?? 0
      return { url, pid, startMs, startCpuMs: await cpuMsOf(pid), stop: () => stop(child) }
    }
    await sleep(1)
  }
  await stop(child)
  throw new Error(`${args.join(' ')} did not return 200 within ${startWithinMs / 1000} s`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** A port of loopback that nothing uses. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A command line that runs on one core (with `taskset`, on Linux only). */
export function onCore(core: number, command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return process.platform === 'linux' ? ['taskset', '-c', String(core), ...command] : command
}

/** The median; of an even number of values, the upper one. NaN if there are none. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
