import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { createAuthority } from '../../emulator/certificates.ts'
import { until, type Closing } from './broker.ts'
import { freePort } from './ports.ts'

const folders = [join(import.meta.dirname, '../../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
const pathOf = (program: string): string | undefined =>
  folders.map(folder => join(folder, program)).find(file => existsSync(file))

/** The servers that are installed. Both speak the same protocol. */
export const redisPrograms: readonly string[] = ['redis-server', 'valkey-server'].filter(
  program => pathOf(program) !== undefined,
)

/** The `skip` option of a test: why no server can run here, or `false`. */
export const withoutRedis = redisPrograms.length === 0 && 'redis-server is neither in .tools/bin nor in PATH'

/** How a server is started. */
export interface RedisOptions {
  /** Default: the first of {@link redisPrograms}. */
  readonly program?: string
  /** Password of the user `default`. */
  readonly password?: string
  /** A server certificate for these names or addresses, of the authority of the file {@link RedisServer.caFile}. */
  readonly tlsFor?: readonly string[]
  /** Further settings: `['--maxmemory', '2mb']`. */
  readonly settings?: readonly string[]
}

/** A real server on loopback, with nothing on disk. */
export interface RedisServer {
  readonly port: number
  /** The authority's certificate, with TLS. */
  readonly caFile: string
  /** Sends one command over a connection of its own, and resolves to its reply as text; an error reply begins with `-`. */
  readonly command: (...args: readonly string[]) => Promise<string>
  /** Stops the process without ending its connections (SIGSTOP), until {@link resume}. */
  readonly pause: () => void
  readonly resume: () => void
  /** Kills the process (SIGKILL). */
  readonly kill: () => Promise<void>
  /** Starts it again at the same port, empty. Kills it before if it runs. */
  readonly restart: (settings?: readonly string[]) => Promise<void>
}

/** Starts a server. It is killed at the end of the test or the file. */
export async function startRedis(closing: Closing, options: RedisOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-redis-'))
  const program = pathOf(options.program ?? redisPrograms[0] ?? 'redis-server') ?? 'redis-server'
  let port = await freePort()
  const tls = await writeCertificates(folder, options.tlsFor)
  const send = (args: readonly string[]): Promise<string> => sendCommand(port, tls?.ca, options.password, args)
  let running: ChildProcess | undefined

  const start = async (settings: readonly string[]): Promise<void> => {
    const child = spawn(program, argumentsOf(folder, port, options, tls !== undefined, settings), { stdio: 'ignore' })
    running = child
    await until('redis-server responds', async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with exit code ${child.exitCode}`)
      return send(['PING']).then(
        reply => reply === '+PONG',
        () => false,
      )
    })
  }
  const kill = async (): Promise<void> => {
    const child = running
    running = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
    await promise
  }
  closing.after(async () => {
    await kill()
    await rm(folder, { recursive: true, force: true })
  })
  // Another process may have taken the port in the meantime.
  await start([]).catch(async () => {
    port = await freePort()
    await start([])
  })
  return {
    port,
    caFile: join(folder, 'ca.pem'),
    command: (...args) => send(args),
    pause: () => void running?.kill('SIGSTOP'),
    resume: () => void running?.kill('SIGCONT'),
    kill,
    restart: async (settings = []) => {
      await kill()
      await start(settings)
    },
  }
}

function argumentsOf(
  folder: string,
  port: number,
  { password, settings = [] }: RedisOptions,
  isEncrypted: boolean,
  more: readonly string[],
): readonly string[] {
  const file = (name: string): string => join(folder, name)
  return [
    ...(isEncrypted
      ? ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', file('ca.pem')]
      : ['--port', String(port)]),
    ...(isEncrypted ? ['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key')] : []),
    // With it a node of a cluster connects to the others.
    ...(isEncrypted ? ['--tls-client-cert-file', file('client.crt'), '--tls-client-key-file', file('client.key')] : []),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--dir',
    folder,
    ...(password === undefined ? [] : ['--requirepass', password]),
    ...settings,
    ...more,
  ]
}

/** One for the process, so that the nodes of a cluster trust each other. */
const authority = createAuthority('redis CA')

async function writeCertificates(folder: string, names: readonly string[] | undefined) {
  if (names === undefined) return undefined
  await writeFile(join(folder, 'ca.pem'), authority.caPem)
  for (const usage of ['server', 'client'] as const) {
    const { certPem, keyPem } = authority.issue({ names, usage })
    await writeFile(join(folder, `${usage}.crt`), certPem)
    await writeFile(join(folder, `${usage}.key`), keyPem)
  }
  return { ca: authority.caPem }
}

/** A client of its own, so that tests do not depend on the one they test. */
function sendCommand(port: number, ca: string | undefined, password: string | undefined, args: readonly string[]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = { host: '127.0.0.1', port }
  const socket: Socket = ca === undefined ? connectTcp(options) : connectTls({ ...options, rejectUnauthorized: false })
  const encode = (words: readonly string[]): string =>
    `*${words.length}\r\n${words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
  const commands = password === undefined ? [args] : [['AUTH', password], args]
  socket.setTimeout(10_000, () => socket.destroy(new Error('no reply')))
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('no reply')))
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
    const first = replyAt(received, 0)
    const last = first && commands.length > 1 ? replyAt(received, first.end) : first
    if (!last) return
    resolve(last.text)
    socket.destroy()
  })
  socket.write(commands.map(encode).join(''))
  return promise
}

/** One reply of RESP 2: a bulk string without its length, an array with an element in each line. `undefined`: not whole. */
function replyAt(received: string, start: number): { readonly text: string; readonly end: number } | undefined {
  const lineEnd = received.indexOf('\r\n', start)
  if (lineEnd === -1) return undefined
  const line = received.slice(start, lineEnd)
  const length = Number(line.slice(1))
  let end = lineEnd + 2
  if (line.startsWith('$') && length >= 0) {
    const text = received.slice(end, end + length)
    return received.length < end + length + 2 ? undefined : { text, end: end + length + 2 }
  }
  if (!line.startsWith('*')) return { text: line, end }
  const elements: string[] = []
  while (elements.length < length) {
    const element = replyAt(received, end)
    if (!element) return undefined
    elements.push(element.text)
    end = element.end
  }
  return { text: elements.join('\n'), end }
}
