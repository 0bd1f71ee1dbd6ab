import type { Spans } from '../../broker/lib/spans.ts'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { SecondLevelEvents } from '../../broker/events.ts'
import type { Clock, Wait } from '../../broker/lib/clock.ts'
import type {
  LookUp,
  ReplicaReport,
  SecondLevel,
  SecondLevelStatus,
  StoreFailure,
  Wanted,
} from '../../broker/tokens/second-level.ts'
import { createAvailability, type Availability } from './availability.ts'
import { decodeMessage, publish } from './channel.ts'
import type { RedisConnection } from './connection/connection.ts'
import type { KeyRing } from './sealing/key-ring.ts'
import { redisDeadlines, type Deadlines } from './deadlines.ts'
import { Leases } from './leases.ts'
import { eventsChannel } from './names.ts'
import { markCommands, markOf } from './positions.ts'
import { openHeartbeat, sealHeartbeat } from './purges/purge-messages.ts'
import { Purges } from './purges/purges.ts'
import { createReplicas, heartbeatMs, liveMs, type Replicas } from './purges/replicas.ts'
import { createSealer } from './sealing/sealed-token.ts'
import { StoredTokens } from './stored-tokens.ts'
import { createStore, type Store } from './store.ts'
import { createWakeUps, type WakeUps } from './wake-ups.ts'
import { createLru } from '../../broker/lib/lru.ts'

/** Keys whose look-up failed a moment ago. */
const maxUnanswered = 10_000

/** What the second level on Redis needs. */
export interface RedisSecondLevelOptions {
  readonly connection: RedisConnection
  /** The key ring in use. */
  readonly ring: () => KeyRing
  /** The name of this replica: 1 to 64 letters, digits, `-` and `_`. No other replica may have it. */
  readonly replica: string
  /** What this replica says about its memory in its heartbeats. */
  readonly report: () => Omit<ReplicaReport, 'replica'>
  readonly clock: Clock
  readonly wait: Wait
  readonly events: SecondLevelEvents
  readonly minRemainingSeconds: number
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  /** Default: {@link redisDeadlines}. */
  readonly deadlines?: Deadlines
  /** Each request to Redis is one. Default: none. */
  readonly spans?: Spans | undefined
}

/** Creates the second level on Redis or Valkey. It uses the connection once it is started. */
export function createRedisSecondLevel(options: RedisSecondLevelOptions): SecondLevel {
  return new RedisSecondLevel(options)
}

class RedisSecondLevel implements SecondLevel {
  readonly #options: RedisSecondLevelOptions
  readonly #deadlines: Deadlines
  readonly #availability: Availability
  readonly #store: Store
  readonly #replicas: Replicas
  readonly #purges: Purges
  readonly #tokens: StoredTokens
  readonly #leases: Leases
  readonly #wakeUps: WakeUps
  /** Key → monotonic milliseconds of a look-up without response: the fetch that follows it does not wait for the store again. */
  readonly #unanswered = createLru<string, number>(maxUnanswered)
  /** Monotonic milliseconds of the last heartbeat that this process made. */
  #lastBeat: number
  #catchingUp: Promise<void> | undefined
  #heartbeats: NodeJS.Timeout | undefined

  constructor(options: RedisSecondLevelOptions) {
    const { connection, clock, spans, ring, wait, replica, events, timeoutMs, deadlines = redisDeadlines } = options
    this.#options = options
    this.#deadlines = deadlines
    this.#lastBeat = clock.monotonic()
    this.#availability = createAvailability({
      clock,
      wait,
      silentMs: deadlines.silentMs,
      changed: events.secondLevelChanged,
    })
    this.#store = createStore(connection, this.#availability, spans)
    this.#replicas = createReplicas(replica, clock)
    const sealer = createSealer(ring)
    const shared = { ...options, deadlines, store: this.#store, sealer }
    this.#purges = new Purges({
      ...shared,
      replicas: this.#replicas,
      purgeReceived: events.purgeReceived,
      lastSeenRunning: () => this.#lastBeat,
    })
    this.#wakeUps = createWakeUps(wait)
    this.#tokens = new StoredTokens({ ...shared, purges: this.#purges })
    this.#leases = new Leases({
      ...shared,
      timeoutMs,
      tokens: this.#tokens,
      wakeUps: this.#wakeUps,
      mark: () => this.#purges.mark,
    })
  }

  lookUp = async (grant: Grant, wanted: Wanted): Promise<LookUp> => {
    const { clock, events } = this.#options
    const { awaitedMs, backgroundMs } = this.#deadlines
    const began = clock.monotonic()
    const deadlineMs = wanted.isAwaited ? awaitedMs : backgroundMs
    const { outcome, token, leaseId } = await this.#tokens.find(grant, wanted, deadlineMs)
    if (outcome === 'unavailable') this.#unanswered.set(grant.key, clock.monotonic())
    events.sharedLookUp(outcome, (clock.monotonic() - began) / 1000)
    return { token, isFetching: leaseId !== undefined }
  }

  fetch: SecondLevel['fetch'] = (grant, wanted, signal, exchange) => {
    const unansweredAt = this.#unanswered.get(grant.key)
    this.#unanswered.delete(grant.key)
    const wasJustUnanswered = unansweredAt !== undefined && this.#options.clock.monotonic() - unansweredAt < heartbeatMs
    return wasJustUnanswered || !this.#store.isUp()
      ? this.#leases.exchangeAlone(grant, signal, exchange)
      : this.#leases.fetch(grant, wanted, signal, exchange)
  }

  purge: SecondLevel['purge'] = filter => this.#purges.purge(filter)

  observePurges: SecondLevel['observePurges'] = listener => this.#purges.observe(listener)

  untilCurrent = (monotonic: number): Promise<void> | undefined =>
    monotonic - this.#lastBeat < liveMs ? undefined : (this.#catchingUp ??= this.#catchUp())

  async #catchUp(): Promise<void> {
    await this.#purges.read()
    // Also without the store: then what is in memory is served.
    this.#lastBeat = this.#options.clock.monotonic()
    this.#catchingUp = undefined
  }

  isAvailable = (): boolean => this.#store.isUp()

  status = (): SecondLevelStatus => {
    const isUp = this.#store.isUp() && this.#purges.mark !== undefined
    return {
      isUp,
      since: this.#availability.since(),
      detail: isUp ? 'reachable' : 'does not respond; this replica works without Redis',
      failure: this.#store.isUp() ? undefined : this.#failure(),
      replicas: isUp ? this.#replicas.live()?.values().toArray() : undefined,
      keys: this.#options.ring().keys.map(({ kid }) => kid),
    }
  }

  /** A connection over which nothing comes has no error of its own. */
  #failure(): StoreFailure | undefined {
    const { connection } = this.#options
    return connection.isConnected() ? 'timeout' : connection.failure()
  }

  start = async (): Promise<void> => {
    const { connection, wait } = this.#options
    const first = Promise.withResolvers<void>()
    const settled = new AbortController()
    connection.subscribe(eventsChannel, this.#received)
    connection.onConnected(() => void this.#connected().then(first.resolve))
    this.#heartbeats = setInterval(this.#beat, heartbeatMs).unref()
    await Promise.race([first.promise, wait(heartbeatMs, settled.signal)])
    settled.abort()
  }

  close = async (): Promise<void> => {
    clearInterval(this.#heartbeats)
    await this.#options.connection.close().catch(() => undefined)
  }

  /** After each connection: purges may have been missed, and the other replicas do not know this one. */
  async #connected(): Promise<void> {
    this.#availability.connected()
    await this.#purges.read()
    await this.#publishHeartbeat()
  }

  /** Once a second: tells the others that this replica lives, and looks for purges whose message was lost. */
  #beat = (): void => {
    const at = this.#options.clock.monotonic()
    // Not earlier: what is read meanwhile must see for how long this process was stopped.
    void this.#publishHeartbeat().finally(() => (this.#lastBeat = Math.max(this.#lastBeat, at)))
  }

  async #publishHeartbeat(): Promise<void> {
    const { ring, replica, report } = this.#options
    const sealed = sealHeartbeat(ring(), { ...report(), replica })
    try {
      const [, ...found] = await this.#store.send(
        [publish({ type: 'heartbeat', sealed }), ...markCommands],
        this.#deadlines.purgeMs,
      )
      if (await this.#purges.upTo(markOf(found))) await this.#purges.giveBack()
    } catch {
      // The circuit breaker has counted it.
    }
  }

  #received = (bytes: Buffer): void => {
    const message = decodeMessage(bytes)
    // Bytes of another version, or of someone else: the channel is only a hint.
    if (message === undefined) return
    switch (message.type) {
      case 'stored':
        return this.#wakeUps.wake(message.name, 'stored')
      case 'failed':
        return this.#wakeUps.wake(message.name, message.sealed)
      case 'purged':
        return void this.#purges.read()
      case 'confirmed':
        return this.#purges.confirmed(message.sealed)
      case 'heartbeat':
        return this.#heard(message.sealed)
      default:
        message satisfies never
    }
  }

  #heard(sealed: Buffer): void {
    const report = openHeartbeat(this.#options.ring(), sealed)
    if (report) this.#replicas.heard(report)
    else this.#replicas.unreadable()
  }
}
