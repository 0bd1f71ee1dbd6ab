import { randomBytes } from 'node:crypto'
import type { FetchFilter, SecondLevelEvents } from '../../../broker/events.ts'
import type { Clock, Wait } from '../../../broker/lib/clock.ts'
import type { PurgeReach } from '../../../broker/tokens/second-level.ts'
import { publish } from '../channel.ts'
import { Confirmations } from './confirmations.ts'
import type { Deadlines } from '../deadlines.ts'
import { markCommands, markOf } from '../positions.ts'
import { epochName, purgesName, sequenceName } from '../names.ts'
import { maxPurges, PurgeLog, unreadablePurge, type LogChange, type Purge, type StoredLog } from './purge-log.ts'
import { openPurge, sealPurge } from './purge-messages.ts'
import { liveMs, type Replicas } from './replicas.ts'
import type { KeyRing } from '../sealing/key-ring.ts'
import type { PurgeMark } from '../sealing/sealed-token.ts'
import type { RedisCommand } from '../connection/client.ts'
import type { Store } from '../store.ts'

/** Purges that are read at once when few are new. */
const fewPurges = 32
/** Purges that are written back at once. */
const mostGivenBack = 200
/** How often a new epoch is tried in a row, if other replicas begin one at the same time. */
const epochAttempts = 3

/** What purges need. */
export interface PurgesOptions {
  /** The name of this replica. */
  readonly replica: string
  readonly store: Store
  readonly ring: () => KeyRing
  readonly replicas: Replicas
  readonly clock: Clock
  readonly wait: Wait
  readonly deadlines: Deadlines
  readonly purgeReceived: SecondLevelEvents['purgeReceived']
  /** Monotonic milliseconds at which this process was last seen running. */
  readonly lastSeenRunning: () => number
}

/** Purges of all replicas: makes them, applies those of others, and confirms them. */
export class Purges {
  readonly #options: PurgesOptions
  readonly #log = new PurgeLog()
  readonly #confirmations: Confirmations
  #listener: (filter: FetchFilter) => void = () => undefined
  #reading: Promise<boolean> | undefined
  /** Whether a purge was published after the running read may have seen the stream. */
  #readsAgain = false
  #isGivingBack = false

  constructor(options: PurgesOptions) {
    this.#options = options
    this.#confirmations = new Confirmations(options)
  }

  /** Calls the listener for each purge of another replica; `{}` if some may have been missed. */
  observe(listener: (filter: FetchFilter) => void): void {
    this.#listener = listener
  }

  /** How far the purges are known; `undefined` until they were read once. */
  get mark(): PurgeMark | undefined {
    return this.#log.mark
  }

  /** Whether a purge after this mark concerns the target. Correct only after {@link upTo} of the same mark or a later one. */
  isPurged(target: FetchFilter, mark: PurgeMark): boolean {
    return this.#log.isPurged(target, mark)
  }

  /** Reads purges if those up to this mark are not known yet. @returns false if they could not be read */
  async upTo(mark: PurgeMark): Promise<boolean> {
    return this.#log.includes(mark) || (await this.read())
  }

  /** Reads the store's purges, applies and confirms new ones. Never rejects. @returns whether it succeeded */
  read(): Promise<boolean> {
    if (this.#reading) {
      this.#readsAgain = true
      return this.#reading
    }
    this.#reading = this.#readAll()
    return this.#reading
  }

  async #readAll(): Promise<boolean> {
    try {
      for (;;) {
        this.#readsAgain = false
        if (!(await this.#readOnce())) return false
        if (!this.#readsAgain) return true
      }
    } catch {
      return false
    } finally {
      // At once: a read that is wanted from now on must not join this one.
      this.#reading = undefined
    }
  }

  async #readOnce(): Promise<boolean> {
    for (let attempt = 0; attempt < epochAttempts; attempt++) {
      const stored = await this.#fetchLog()
      if (stored === undefined) {
        await this.#send([['SET', epochName, newId(), 'NX']])
        continue
      }
      const change = this.#log.read(stored)
      if (!change.isRolledBack) {
        this.#apply(change)
        return true
      }
      await this.#send([['SET', epochName, newId()]])
    }
    return false
  }

  /** @returns `undefined` if no epoch has begun */
  async #fetchLog(): Promise<StoredLog | undefined> {
    const { mark } = this
    const count = mark === undefined ? maxPurges : fewPurges
    const stored = await this.#fetchLast(count)
    if (stored === undefined || count === maxPurges) return stored
    const isEnough = stored.epoch === mark?.epoch && stored.sequence - count <= mark.sequence
    return isEnough ? stored : this.#fetchLast(maxPurges)
  }

  async #fetchLast(count: number): Promise<StoredLog | undefined> {
    const [epoch, sequence, entries] = await this.#send(
      [...markCommands, ['XREVRANGE', purgesName, '+', '-', 'COUNT', String(count)]],
      true,
    )
    const mark = markOf([epoch, sequence])
    if (mark.epoch === '') return undefined
    const found: readonly unknown[] = Array.isArray(entries) ? entries.slice(0, mark.sequence) : []
    // Someone has removed entries: then it is not known which purge has which number, so none is known.
    const known = found.length < Math.min(mark.sequence, count) ? [] : found
    return { ...mark, purges: known.map(entry => this.#readEntry(entry)).toReversed() }
  }

  /** An entry that no key of the ring opens stands for a purge of everything. */
  #readEntry(entry: unknown): Purge {
    const [id, fields] = Array.isArray(entry) ? (entry as readonly unknown[]) : []
    const sealed = Array.isArray(fields) ? (fields as readonly unknown[])[1] : undefined
    const purge = Buffer.isBuffer(sealed) ? openPurge(this.#options.ring(), sealed) : undefined
    return purge ?? unreadablePurge(String(id), this.#options.clock.now())
  }

  #apply({ apply, isTrimmed, isNewEpoch }: LogChange): void {
    const { clock, purgeReceived, lastSeenRunning } = this.#options
    // This process was stopped, and the store lost its purges meanwhile: possibly no other replica knows them.
    const wasAbsent = isNewEpoch && clock.monotonic() - lastSeenRunning() > liveMs
    if (isTrimmed || wasAbsent) this.#listener({})
    for (const { filter, at } of apply) {
      this.#listener(filter)
      purgeReceived(Math.max(0, clock.now() - at) / 1000)
    }
    const confirmations = apply.slice(-fewPurges).map(({ id }) => this.#confirmations.message(id))
    // Look-ups that wait for this read need not wait for it. Without it, the purge does not count as confirmed.
    if (confirmations.length > 0) void this.#send(confirmations).catch(() => undefined)
  }

  /**
   * Writes the purges to the store that it does not have: it was unavailable when they were made, or has lost its data.
   * Called at each heartbeat, so that what fails is tried again, and not all replicas write the same ones. Never rejects.
   */
  async giveBack(): Promise<void> {
    const missing = this.#log.missing.slice(0, mostGivenBack)
    if (missing.length === 0 || this.#isGivingBack) return
    this.#isGivingBack = true
    try {
      await this.#publish(missing)
      this.#log.stored(missing)
    } catch {
      // The circuit breaker has counted it.
    } finally {
      this.#isGivingBack = false
    }
  }

  /** Makes a purge known to all replicas, and waits for their confirmations. Never rejects. */
  async purge(filter: FetchFilter): Promise<PurgeReach> {
    const { clock, wait, deadlines } = this.#options
    const purge = { id: newId(), at: clock.now(), filter }
    this.#log.record(purge)
    const awaited = this.#confirmations.expect(purge.id)
    const settled = new AbortController()
    try {
      // Its own confirmation comes over the channel, after the heartbeats of all replicas that were there before.
      await this.#publish([purge], [this.#confirmations.message(purge.id)])
      void this.read()
      if (awaited.isPossible) await Promise.race([awaited.done, wait(deadlines.confirmMs, settled.signal)])
      return awaited.reach()
    } catch {
      this.#log.notStored(purge)
      return { live: undefined, confirmed: 1 }
    } finally {
      settled.abort()
      awaited.stop()
    }
  }

  /** @throws if the store did not take them */
  async #publish(purges: readonly Purge[], then: readonly RedisCommand[] = []): Promise<void> {
    const ring = this.#options.ring()
    const entries = purges.flatMap((purge): readonly RedisCommand[] => [
      ['INCR', sequenceName],
      ['XADD', purgesName, 'MAXLEN', String(maxPurges), '*', 'p', sealPurge(ring, purge)],
    ])
    await this.#send([...entries, publish({ type: 'purged' }), ...then], true)
  }

  /** A confirmation arrived. */
  confirmed(sealed: Buffer): void {
    this.#confirmations.received(sealed)
  }

  /** @throws if the store did not respond, or responded to one of the commands with an error */
  async #send(commands: readonly RedisCommand[], atomic = false): Promise<readonly unknown[]> {
    const { store, deadlines } = this.#options
    const replies = await store.send(commands, deadlines.purgeMs, atomic)
    const refused = replies.find(reply => reply instanceof Error)
    if (refused) throw refused
    return replies
  }
}

const newId = (): string => randomBytes(16).toString('base64url')
