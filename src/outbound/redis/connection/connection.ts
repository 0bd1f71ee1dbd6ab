import type { StoreFailure } from '../../../broker/tokens/second-level.ts'
import type { RedisAddress, RedisClient, RedisCommand } from './client.ts'
import { createOpener, isMoved } from './cluster.ts'
import type { CredentialsSource, RedisCredentials } from './credentials.ts'
import { createLink, linkTiming, textOf, within, type LinkSettings, type LinkTiming } from './link.ts'

/** A connection to Redis or Valkey that heals by itself. */
export interface RedisConnection {
  /**
   * Sends commands in one round trip, in one transaction (MULTI) when `atomic`. Resolves to one reply for each command, with
   * bulk strings as Buffers. An error reply of one command is an `Error` in its place; when `atomic`, no command is carried
   * out if one is refused before the transaction runs, and the promise rejects.
   *
   * Rejects when not connected, and when the connection is lost: the commands may have been carried out then. It has no
   * deadline, but a connection over which nothing comes is given up after some seconds.
   */
  readonly send: (commands: readonly RedisCommand[], atomic?: boolean) => Promise<readonly unknown[]>
  /**
   * Calls `listener` for each message of a channel, over a second connection. It subscribes again after a reconnect;
   * messages of the time between are lost. The listener must not throw.
   */
  readonly subscribe: (channel: string, listener: (message: Buffer) => void) => void
  /**
   * Calls `listener` once commands can be sent, and again each time one of the two connections was lost and is back, so that
   * it can find out what was missed.
   */
  readonly onConnected: (listener: () => void) => void
  /** Whether commands can be sent. */
  readonly isConnected: () => boolean
  /** Why no commands can be sent, in words; `undefined` while they can. Has no credential. */
  readonly trouble: () => string | undefined
  /** The kind of that error; `undefined` while commands can be sent, and before the first attempt has ended. */
  readonly failure: () => StoreFailure | undefined
  /** Closes both connections. Nothing is reported afterwards. */
  readonly close: () => Promise<void>
}

/** What a connection writes to the log: the broker's own log is one. */
export interface RedisLog {
  readonly info: (fields: object, message: string) => void
  readonly warn: (fields: object, message: string) => void
}

/** The optional parts of a connection, for tests. */
export interface ConnectionParts {
  readonly random?: () => number
  readonly timing?: LinkTiming
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number
}

/** Milliseconds for the subscription to a channel. */
const subscribeMs = 2_000
/** Milliseconds between two attempts to find another server in place of one that is read-only. */
const readOnlyEveryMs = 30_000
/** Failures in a row after which the second connection is reported. */
const refusedAfter = 3
/** A trouble that stays the same is logged once in this time. */
const logEveryMs = 60_000

/**
 * Connects in the background, and goes on until it is closed: one connection for commands, another for messages. Both are
 * in RESP 3, so that a connection with messages can authenticate again.
 */
export function connectRedis(
  address: RedisAddress,
  credentials: CredentialsSource,
  log: RedisLog,
  { random = Math.random, timing = linkTiming, monotonic = () => performance.now() }: ConnectionParts = {},
): RedisConnection {
  const listeners: (() => void)[] = []
  const notify = (): void => {
    if (main.client() !== undefined) for (const listener of listeners) listener()
  }
  const common = { open: createOpener(address, credentials), random, timing }
  const main = createLink({ ...common, ...createReport(log, address, monotonic, notify) })
  const subscriptions = createSubscriptions(common, notify, createRefusal(log, address, monotonic, main.client))
  const clients = (): readonly (RedisClient | undefined)[] => [main.client(), subscriptions.client()]
  const relocate = createRelocation(clients, monotonic)
  credentials.onRenewed?.(renewed => {
    for (const client of clients()) authenticateAgain(client, renewed)
  })
  return {
    send: async (commands, atomic = false) => {
      const client = main.client()
      if (!client) throw new Error(`not connected to Redis: ${main.trouble() ?? 'closed'}`)
      return sendAndFollow(client, commands, atomic, relocate)
    },
    subscribe: subscriptions.add,
    onConnected: listener => {
      listeners.push(listener)
    },
    isConnected: () => main.client() !== undefined,
    trouble: main.trouble,
    failure: main.failure,
    close: async () => {
      credentials.close?.()
      await Promise.all([main.close(), subscriptions.close()])
    },
  }
}

/** @param relocate is called with each reply and error */
async function sendAndFollow(
  client: RedisClient,
  commands: readonly RedisCommand[],
  atomic: boolean,
  relocate: (reply: unknown) => void,
): Promise<readonly unknown[]> {
  try {
    const replies = await client.send(commands, atomic)
    replies.forEach(relocate)
    const moved = replies.find(isMoved)
    if (moved !== undefined) throw moved
    return replies
  } catch (thrown) {
    relocate(thrown)
    throw thrown
  }
}

const isReadOnly = (reply: unknown): boolean => reply instanceof Error && reply.message.startsWith('READONLY ')

/**
 * Ends both connections when a reply says that another server is the right one: after a failover, a server that was the
 * primary keeps its connections, and would refuse writes for ever. One that stays read-only is still read from, and only
 * looked at again every 30 s.
 */
function createRelocation(clients: () => readonly (RedisClient | undefined)[], monotonic: () => number) {
  let readOnlyAt = Number.NEGATIVE_INFINITY
  const leave = (reason: string): void => {
    for (const client of clients()) client?.destroy(new Error(reason))
  }
  return (reply: unknown): void => {
    if (isMoved(reply)) leave('another node of the cluster has the names of the broker now')
    if (!isReadOnly(reply) || monotonic() - readOnlyAt < readOnlyEveryMs) return
    readOnlyAt = monotonic()
    leave('it is read-only; another server may be the primary now')
  }
}

/** A token that is not accepted ends the connection; another one is opened then, with the credentials of that moment. */
function authenticateAgain(client: RedisClient | undefined, credentials: RedisCredentials): void {
  client?.authenticate(credentials).catch((thrown: unknown) => {
    client.destroy(new Error(`it did not accept renewed credentials: ${textOf(thrown)}`))
  })
}

/** The second connection, with its channels. */
function createSubscriptions(
  common: Pick<LinkSettings, 'open' | 'random' | 'timing'>,
  notify: () => void,
  refusal: ReturnType<typeof createRefusal>,
) {
  const channels = new Map<string, (message: Buffer) => void>()
  const subscribed = new WeakMap<RedisClient, Set<string>>()
  const resume = async (client: RedisClient): Promise<void> => {
    const known = subscribed.get(client) ?? new Set()
    subscribed.set(client, known)
    for (const [channel, listener] of channels) {
      if (known.has(channel)) continue
      known.add(channel)
      await within(client.subscribe(channel, listener), subscribeMs)
    }
  }
  const resumeNow = (): void => {
    const client = link.client()
    if (client) resume(client).catch((thrown: unknown) => client.destroy(new Error(textOf(thrown))))
  }
  const link = createLink({
    ...common,
    prepare: resume,
    up: () => {
      // A channel may have been added since.
      resumeNow()
      refusal.up()
      notify()
    },
    down: refusal.down,
  })
  return {
    add: (channel: string, listener: (message: Buffer) => void): void => {
      channels.set(channel, listener)
      resumeNow()
    },
    client: link.client,
    close: link.close,
  }
}

/** Writes to the log when the server becomes available or unavailable, and once a minute while it is not. */
function createReport(log: RedisLog, { host, port }: RedisAddress, monotonic: () => number, up: () => void) {
  const redis = `${host}:${port}`
  let isUp = false
  let loggedAt = Number.NEGATIVE_INFINITY
  return {
    up: () => {
      isUp = true
      log.info({ redis }, 'connected to Redis')
      up()
    },
    down: (trouble: string) => {
      if (!isUp && monotonic() - loggedAt < logEveryMs) return
      isUp = false
      loggedAt = monotonic()
      log.warn({ redis, trouble }, 'Redis is unavailable; replicas do not share tokens and purges')
    },
  }
}

/**
 * Writes to the log, once a minute, when the second connection fails again and again although the first one is there: the
 * user may not subscribe, for instance. A server that is unavailable is reported by the first connection.
 */
function createRefusal(
  log: RedisLog,
  { host, port }: RedisAddress,
  monotonic: () => number,
  mainClient: () => RedisClient | undefined,
) {
  let failures = 0
  let loggedAt = Number.NEGATIVE_INFINITY
  return {
    up: () => {
      failures = 0
    },
    down: (trouble: string) => {
      failures++
      if (failures < refusedAfter || mainClient() === undefined || monotonic() - loggedAt < logEveryMs) return
      loggedAt = monotonic()
      const message = 'Redis sends no messages; this replica learns of purges with a delay, and waits longer for others'
      log.warn({ redis: `${host}:${port}`, trouble }, message)
    },
  }
}
