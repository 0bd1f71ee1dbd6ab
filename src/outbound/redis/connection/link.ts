import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../../../errors.ts'
import type { StoreFailure } from '../../../broker/tokens/second-level.ts'
import type { RedisClient } from './client.ts'
import { failureOf } from './failure.ts'

/** A connection that is opened again whenever it is lost. */
export interface Link {
  /** The client in use; `undefined` while there is none. */
  readonly client: () => RedisClient | undefined
  /** Why there is no client: the last error, as a text. `undefined` while there is one. */
  readonly trouble: () => string | undefined
  /** The kind of that error; `undefined` while there is a client, and before the first attempt has ended. */
  readonly failure: () => StoreFailure | undefined
  /** Resolves once the client in use is closed. One that is being opened is closed as soon as it can be. */
  readonly close: () => Promise<void>
}

/** What a link does, and how often. */
export interface LinkSettings {
  /** @param failures how many attempts have failed since the last connection */
  readonly open: (failures: number, signal: AbortSignal) => Promise<RedisClient>
  /** Called with each new client, before it is in use. If it rejects, the client is not used. */
  readonly prepare?: (client: RedisClient) => Promise<void>
  /** Called once a new client is in use. */
  readonly up: () => void
  /** Called when a client is lost, and when none could be opened. */
  readonly down: (trouble: string) => void
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly timing: LinkTiming
}

/** Milliseconds. */
export interface LinkTiming {
  /** Between two checks whether the server still responds. */
  readonly pingMs: number
  /** After which a server that does not respond to a check is given up. */
  readonly silentMs: number
  /** The longest pause between two attempts to connect. */
  readonly longestPauseMs: number
}

/** What brokers use. */
export const linkTiming: LinkTiming = { pingMs: 5_000, silentMs: 3_000, longestPauseMs: 2_000 }

const firstPauseMs = 50
/** A connection that ends sooner than this counts as a failed attempt, so that pauses grow. */
const steadyMs = 10_000

/** Why there is no client. */
interface Trouble {
  readonly text: string
  readonly failure?: StoreFailure
}

const troubleOf = (thrown: unknown): Trouble => ({ text: textOf(thrown), failure: failureOf(thrown) })

/** Opens a connection at once, and goes on until `close`. */
export function createLink({ open, prepare, up, down, random, timing }: LinkSettings): Link {
  const closing = new AbortController()
  const { signal } = closing
  let client: RedisClient | undefined
  let trouble: Trouble | undefined = { text: 'not connected yet' }

  /** Resolves to the reason once the connection is lost. */
  const use = async (opened: RedisClient): Promise<Error> => {
    const onClose = (): void => opened.destroy(new Error('closed'))
    signal.addEventListener('abort', onClose, { once: true })
    try {
      await Promise.race([prepare?.(opened), opened.lost.then(throwIt)])
      signal.throwIfAborted()
      client = opened
      trouble = undefined
      up()
      return await lostOrSilent(opened, timing)
    } finally {
      client = undefined
      opened.destroy(new Error('not usable'))
      signal.removeEventListener('abort', onClose)
    }
  }

  const run = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted; failures++) {
      const begun = performance.now()
      try {
        trouble = troubleOf(await use(await open(failures, signal)))
        if (performance.now() - begun > steadyMs) failures = 0
      } catch (thrown) {
        trouble = troubleOf(thrown)
      }
      if (signal.aborted) return
      down(trouble.text)
      await pause(failures, timing, random, signal)
    }
  }
  const ended = run()
  return {
    client: () => (client?.isLost() === false ? client : undefined),
    trouble: () => trouble?.text,
    failure: () => trouble?.failure,
    close: async () => {
      closing.abort()
      if (client !== undefined) await ended
    },
  }
}

/** Waits longer after each failure. A random half, so that replicas that lost the same server do not return together. */
async function pause(failures: number, { longestPauseMs }: LinkTiming, random: () => number, signal: AbortSignal) {
  const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 16))
  await sleep(longest * (0.5 + random() / 2), undefined, { ref: false, signal }).catch(() => undefined)
}

/** Resolves once the connection is lost. Checks in between that the server responds, and gives the connection up if not. */
async function lostOrSilent(client: RedisClient, { pingMs, silentMs }: LinkTiming): Promise<Error> {
  const checks = setInterval(() => void check(client, silentMs), pingMs).unref()
  try {
    return await client.lost
  } finally {
    clearInterval(checks)
  }
}

function throwIt(error: Error): never {
  throw error
}

/** The end of a connection is not always reported: a network that drops packets, or a server that is stopped. */
async function check(client: RedisClient, silentMs: number): Promise<void> {
  try {
    await within(client.send([['PING']], false), silentMs)
  } catch (thrown) {
    client.destroy(new Error(`it does not respond: ${textOf(thrown)}`))
  }
}

/**
 * Rejects if `work` takes longer. A reply that lies in the socket is read first: on a busy machine, the timer can be due
 * before a reply that came in time.
 */
export function within<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timeout = setTimeout(
    () => setImmediate(() => late.reject(new Error(`there was no response within ${ms} ms`))),
    ms,
  )
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timeout))
}

/**
 * An error as a text. That of a name with several addresses has no message of its own. A server repeats the arguments of a
 * command that it does not know: those of `HELLO` and `AUTH` are the user and the password, so they are cut off.
 */
export function textOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === '')
    return [...new Set(thrown.errors.map(messageOf))].join('; ')
  const message = messageOf(thrown).replace(/,? with args beginning with[^]*/, '')
  return message || (codeOf(thrown) ?? 'unknown error')
}
