import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A Redis for the brokers of `npm run dev`, on loopback, with nothing on disk. */
export interface DevRedis {
  readonly url: string
  readonly close: () => Promise<void>
}

const startWithinMs = 10_000

/** The program: from `scripts/tools.sh`, or from the PATH. */
function findProgram(): string | undefined {
  const folders = [join(import.meta.dirname, '../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
  const programs = folders.flatMap(folder => ['redis-server', 'valkey-server'].map(name => join(folder, name)))
  return programs.find(program => existsSync(program))
}

/** Starts Redis or Valkey on a port of loopback. @returns `undefined` if neither is installed */
export async function startDevRedis(port: number, folder: string): Promise<DevRedis | undefined> {
  const program = findProgram()
  if (program === undefined) return undefined
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  // In a group of its own: Ctrl-C must end it after the brokers, not with them.
  const child = spawn(program, args, { stdio: 'ignore', detached: true })
  const exited = once(child, 'exit')
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  }
  for (const end = Date.now() + startWithinMs; Date.now() < end && child.exitCode === null; await sleep(20)) {
    if (await responds(port)) return { url: `redis://127.0.0.1:${port}`, close }
  }
  await close()
  throw new Error(`${program} does not respond`)
}

async function responds(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** A new key ring for the brokers. */
export const newKeyRing = (): string => `dev:${randomBytes(32).toString('base64')}\n`
