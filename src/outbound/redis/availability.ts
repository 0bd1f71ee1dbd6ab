import { setImmediate as loopTurn } from 'node:timers/promises'
import type { Clock, Wait } from '../../broker/lib/clock.ts'
import { messageOf } from '../../errors.ts'
import { within } from './connection/link.ts'

/** Knows whether the store responds: one that does not must not slow down every fetch. */
export interface Availability {
  /** Whether it responds, as far as is known. Nothing may be sent while it does not. Costs nothing. */
  readonly isUp: () => boolean
  /**
   * Waits for a reply. Rejects once the store is silent, and after `deadlineMs` milliseconds. The reply may still arrive
   * then: with it, the store is up again.
   *
   * @param reply to what was sent a moment ago. It must settle: with the reply, or when the connection is lost
   */
  readonly replied: <T>(reply: Promise<T>, deadlineMs: number) => Promise<T>
  /** There is a new connection, over which the store has responded. */
  readonly connected: () => void
  /** Milliseconds since 1970 of the last change. */
  readonly since: () => number
}

/** Milliseconds between two looks whether a reply has arrived. */
const lookEveryMs = 25

/** Error replies begin with a code: `OOM command not allowed …`. Errors of a socket do not. */
const isErrorReply = (thrown: unknown): boolean => /^[A-Z]{2,} /.test(messageOf(thrown))

/** What the circuit breaker of the store needs. */
export interface AvailabilityOptions {
  readonly clock: Clock
  readonly wait: Wait
  /** See `Deadlines`. */
  readonly silentMs: number
  /** Called when the store becomes available or unavailable, with the milliseconds since 1970. */
  readonly changed: (isUp: boolean, since: number) => void
}

/**
 * Creates the circuit breaker of the store. It opens once the store is silent for so long, so it opens once, and not
 * for each key. In a burst replies are late, but they arrive, so it stays closed. It needs no probe: what was sent before
 * is one. A refused write (`OOM`, `READONLY`) is a reply, so reads go on.
 */
export function createAvailability(options: AvailabilityOptions): Availability {
  return new SilenceBreaker(options)
}

class SilenceBreaker implements Availability {
  readonly #options: AvailabilityOptions
  #isUp = true
  #since: number
  /** How many replies the store owes. */
  #owed = 0
  /** Changes with each reply, and when the store owes none. */
  #progress = 0
  #isWatching = false
  /** Rejects what waits for a reply. */
  readonly #waiting = new Set<(error: Error) => void>()

  constructor(options: AvailabilityOptions) {
    this.#options = options
    this.#since = options.clock.now()
  }

  isUp = (): boolean => this.#isUp

  since = (): number => this.#since

  connected = (): void => {
    if (!this.#isUp) this.#change(true)
  }

  replied = async <T>(reply: Promise<T>, deadlineMs: number): Promise<T> => {
    const silence = Promise.withResolvers<never>()
    this.#waiting.add(silence.reject)
    this.#expect(reply)
    try {
      return await within(Promise.race([reply, silence.promise]), deadlineMs)
    } finally {
      this.#waiting.delete(silence.reject)
    }
  }

  #expect(reply: Promise<unknown>): void {
    this.#owed++
    reply.then(
      () => this.#settled(true),
      (thrown: unknown) => this.#settled(isErrorReply(thrown)),
    )
    void this.#watch()
  }

  /** @param isReply otherwise the connection was lost, or the command was not sent */
  #settled(isReply: boolean): void {
    this.#owed--
    if (isReply || this.#owed === 0) this.#progress++
    if (isReply) this.connected()
  }

  /** Looks in intervals whether a reply has arrived, while the store owes one. */
  async #watch(): Promise<void> {
    if (this.#isWatching) return
    this.#isWatching = true
    const { wait, silentMs } = this.#options
    let silent = 0
    while (this.#owed > 0 && this.#isUp) {
      const before = this.#progress
      await wait(lookEveryMs, never)
      // Looks are counted instead of time, and a turn of the loop is waited for: replies that lie in the socket of a process
      // that was too busy to read them are read first.
      await loopTurn()
      silent = this.#progress === before ? silent + lookEveryMs : 0
      if (silent >= silentMs) this.#change(false)
    }
    this.#isWatching = false
  }

  #change(to: boolean): void {
    this.#isUp = to
    this.#since = this.#options.clock.now()
    this.#options.changed(to, this.#since)
    if (to) return void this.#watch()
    const error = new Error(`there was no response for ${this.#options.silentMs} ms`)
    for (const reject of this.#waiting) reject(error)
  }
}

const never = new AbortController().signal
