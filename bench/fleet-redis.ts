import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './world.ts'

/** A Redis of its own on loopback, without persistence: once killed, it starts empty. */
export interface BenchRedis {
  readonly url: string
  /** Sends one command without arguments that contain spaces. Resolves to the first line of the reply. */
  readonly command: (line: string) => Promise<string>
  readonly signal: (name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL') => void
  /** Starts it again on the same port, after it was killed. */
  readonly restart: () => Promise<void>
  readonly close: () => Promise<void>
}

const startWithinMs = 10_000

/** Starts `redis-server`, or the program that `REDIS_SERVER` names. */
export async function startRedis(): Promise<BenchRedis> {
  const port = await freePort()
  const command = (line: string) => sendInline(port, line)
  let child = await start(port, command)
  return {
    url: `redis://127.0.0.1:${port}`,
    command,
    signal: name => void child.kill(name),
    restart: async () => {
      child = await start(port, command)
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function start(port: number, command: (line: string) => Promise<string>): Promise<ChildProcess> {
  const program = process.env['REDIS_SERVER'] ?? 'redis-server'
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp']
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  await once(child, 'spawn')
  for (const end = Date.now() + startWithinMs; Date.now() < end; await sleep(20)) {
    const reply = await command('PING').catch(() => '')
    if (reply === '+PONG') return child
  }
  throw new Error(`${program} does not respond`)
}

async function sendInline(port: number, line: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.setTimeout(startWithinMs, () => socket.destroy(new Error('no reply')))
    socket.write(`${line}\r\n`)
    const [data] = (await once(socket, 'data')) as [Buffer]
    return data.toString('latin1').split('\r\n', 1)[0] ?? ''
  } finally {
    socket.destroy()
  }
}
