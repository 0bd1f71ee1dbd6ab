import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { createClient, ErrorReply, RESP_TYPES } from '@redis/client'
import { readLimitedFile } from '../../files/files.ts'
import type { RedisCredentials } from './credentials.ts'

// The only file that imports the client library. It takes 21 MB of memory, so nothing imports this file before a connection
// is opened.

/** One command with its arguments, such as `['GET', 'name']`. */
export type RedisCommand = readonly (string | Buffer)[]

/** Where Redis is. */
export interface RedisAddress {
  readonly host: string
  readonly port: number
  readonly isEncrypted: boolean
  /** PEM file of the authorities to trust in place of the system's. It is read for each connection. */
  readonly caFile?: string | undefined
  /** The host of the settings, if this is the address of another node of its cluster. */
  readonly seedHost?: string
}

/** One connection. Once lost, it cannot be used again. */
export interface RedisClient {
  /**
   * Sends commands at once, in one transaction (MULTI) when `atomic`. Resolves to a reply for each; an error reply of one is
   * an `Error` in its place. Rejects if the connection is lost, or the transaction is not carried out.
   */
  readonly send: (commands: readonly RedisCommand[], atomic: boolean) => Promise<readonly unknown[]>
  /** The listener must not throw. */
  readonly subscribe: (channel: string, listener: (message: Buffer) => void) => Promise<void>
  /** Sends other credentials over the same connection. Rejects if they are refused. */
  readonly authenticate: (credentials: RedisCredentials) => Promise<void>
  /** Resolves once the connection is lost or destroyed, to the reason. */
  readonly lost: Promise<Error>
  readonly isLost: () => boolean
  readonly destroy: (reason: Error) => void
}

/** Milliseconds for the TCP and TLS handshakes. */
const connectMs = 2_000
/** Milliseconds for the authentication: a server that is stopped accepts connections, but does not respond. */
const handshakeMs = 2_000
const maxPemBytes = 1024 * 1024
/** The most commands without a reply. */
const maxPendingCommands = 10_000
/** The most bytes of commands without a reply. */
const maxPendingBytes = 16 * 1024 * 1024

/**
 * Connects and authenticates. Rejects if that takes more than four seconds, and when `signal` aborts.
 *
 * @param credentials `undefined`: none are sent
 */
export async function openClient(
  address: RedisAddress,
  credentials: RedisCredentials | undefined,
  signal: AbortSignal,
): Promise<RedisClient> {
  const raw = createClient({
    RESP: 3,
    socket: { ...(await socketOptions(address)), connectTimeout: connectMs, reconnectStrategy: false },
    ...(credentials && { username: credentials.username ?? 'default', password: credentials.password }),
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    clientInfoTag: 'token-broker',
    // The caller has deadlines of its own. These would need an AbortSignal for each command.
    commandOptions: { timeout: 0 },
  })
  const lost = Promise.withResolvers<Error>()
  let isLost = false
  const lose = (reason: Error): void => {
    isLost = true
    lost.resolve(reason)
  }
  raw.on('error', lose)
  raw.on('end', () => lose(new Error('the connection was closed')))
  await connectInTime(raw, signal)
  const typed = raw.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const command = (args: RedisCommand): Promise<unknown> => typed.sendCommand(args)
  const asReply = (thrown: unknown): unknown => {
    if (thrown instanceof ErrorReply) return thrown
    throw thrown
  }
  const pipeline = (commands: readonly RedisCommand[]): Promise<readonly unknown[]> =>
    Promise.all(commands.map(each => command(each).catch(asReply)))
  return {
    send: bounded((commands, atomic) => (atomic ? transaction(command, commands) : pipeline(commands))),
    subscribe: (channel, listener) => raw.subscribe(channel, listener, true),
    authenticate: async ({ username = 'default', password }) => {
      await command(['AUTH', username, password])
    },
    lost: lost.promise,
    isLost: () => isLost,
    destroy: reason => {
      lose(reason)
      raw.destroy()
    },
  }
}

/**
 * The certificate must be for the host of the settings or for the node's own: the nodes of a cluster often share one
 * certificate, and report addresses without a name.
 */
async function socketOptions({ host, port, isEncrypted, caFile, seedHost = host }: RedisAddress) {
  if (!isEncrypted) return { host, port }
  const servername = [host, seedHost].find(name => isIP(name) === 0)
  return {
    host,
    port,
    tls: true as const,
    ...(servername !== undefined && { servername }),
    ...(caFile !== undefined && { ca: await readLimitedFile(caFile, maxPemBytes) }),
    checkServerIdentity: (_: string, certificate: PeerCertificate) =>
      checkServerIdentity(host, certificate) && checkServerIdentity(seedHost, certificate),
  }
}

interface Connectable {
  readonly connect: () => Promise<unknown>
  readonly destroy: () => void
}

/** Destroys what is not connected in time. */
async function connectInTime(raw: Connectable, signal: AbortSignal): Promise<void> {
  const ms = connectMs + handshakeMs
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>()
  const timeout = setTimeout(() => giveUp(new Error(`it did not respond within ${ms / 1000} s`)), ms)
  const onAbort = (): void => giveUp(new Error('closed'))
  signal.addEventListener('abort', onAbort, { once: true })
  const connecting = raw.connect()
  try {
    signal.throwIfAborted()
    await Promise.race([connecting, givenUp])
  } catch (thrown) {
    // A socket that is still being opened can be destroyed only once it is open.
    connecting.then(
      () => raw.destroy(),
      () => undefined,
    )
    raw.destroy()
    throw thrown
  } finally {
    clearTimeout(timeout)
    signal.removeEventListener('abort', onAbort)
  }
}

/** Rejects commands while too many have no reply: a server that does not respond must not fill the memory. */
function bounded(send: RedisClient['send']): RedisClient['send'] {
  let pendingCommands = 0
  let pendingBytes = 0
  return async (commands, atomic) => {
    const bytes = commands.flat().reduce((sum, { length }) => sum + length, 0)
    if (pendingCommands + commands.length > maxPendingCommands || pendingBytes + bytes > maxPendingBytes)
      throw new Error('too many commands wait for a reply')
    pendingCommands += commands.length
    pendingBytes += bytes
    try {
      return await send(commands, atomic)
    } finally {
      pendingCommands -= commands.length
      pendingBytes -= bytes
    }
  }
}

type SendOne = (command: RedisCommand) => Promise<unknown>

/**
 * Without the client's own `multi`, which returns texts, and so would change the bytes of values. Commands that are sent at
 * once stay together.
 */
async function transaction(sendOne: SendOne, commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
  const replies = await Promise.all([['MULTI'], ...commands, ['EXEC']].map(sendOne))
  const executed = replies.at(-1)
  if (!Array.isArray(executed)) throw new Error('EXECABORT the transaction was not carried out')
  return executed
}
