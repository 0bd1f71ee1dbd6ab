import type { Grant } from '../../src/broker/authorization/authorize.ts'
import type { FetchFilter, IssuedToken, PurgeReach, TokenSource } from '../../src/broker/events.ts'
import type { Clock } from '../../src/broker/lib/clock.ts'
import { matches } from '../../src/broker/tokens/negative-cache/records.ts'
import type { LookUp, SecondLevel, Wanted } from '../../src/broker/tokens/second-level.ts'

interface Value {
  readonly token: IssuedToken
  /** The number of purges when its exchange began, and the store's life in which it did. */
  readonly sequence: number
  readonly epoch: number
}

interface Lease {
  /** By the store's monotonic clock. */
  readonly until: number
  readonly ended: PromiseWithResolvers<{ readonly failure?: unknown }>
}

/** So long a lease lasts, and so long a replica counts as live after it was last connected. Milliseconds. */
export const leaseMs = 1500
export const heartbeatMs = 5000
/** The store remembers so many purges. */
export const maxPurges = 1000

/** A second level in memory, for tests: what Redis does, without a network, with a clock that the test moves. */
export class MemoryStore {
  readonly clock: Clock
  /** Awaited before and after everything that a replica does in the store. A test may delay it. */
  latency: () => Promise<void> = () => Promise.resolve()
  readonly values = new Map<string, Value>()
  readonly leases = new Map<string, Lease>()
  readonly replicas = new Set<MemorySecondLevel>()
  purges: { readonly sequence: number; readonly filter: FetchFilter }[] = []
  sequence = 0
  epoch = 1

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A replica that is connected. @param clock its own; default: the store's */
  replica(clock = this.clock): MemorySecondLevel {
    const replica = new MemorySecondLevel(this, `replica-${this.replicas.size + 1}`, clock)
    this.replicas.add(replica)
    return replica
  }

  /** Ends the leases whose time is over: to be called after the clock was moved. @param now default: ends all of them */
  expireLeases(now = Number.POSITIVE_INFINITY): void {
    for (const [key, { until, ended }] of this.leases) {
      if (now < until) continue
      this.leases.delete(key)
      ended.resolve({})
    }
  }

  /** Everything is lost, as in a restart without persistence. The replicas connect again at once. */
  restart(): void {
    this.values.clear()
    this.purges = []
    this.sequence = 0
    this.epoch++
    this.expireLeases()
    for (const replica of this.replicas) replica.catchUp()
  }

  /** Whether a value is from before a purge of its key, or from before the store was emptied. */
  isPurged({ sequence, epoch }: Value, grant: Grant): boolean {
    const [first] = this.purges
    if (epoch !== this.epoch || (first && first.sequence > sequence + 1)) return true
    return this.purges.some(purge => purge.sequence > sequence && matches(grant, purge.filter))
  }
}

/** One replica's {@link SecondLevel}. */
export class MemorySecondLevel implements SecondLevel {
  readonly #store: MemoryStore
  readonly #name: string
  readonly #clock: Clock
  #listener: (filter: FetchFilter) => void = () => undefined
  #cut: PromiseWithResolvers<void> | undefined = Promise.withResolvers()
  #changedAt: number
  #lastSeen = Number.POSITIVE_INFINITY
  /** The purges and the epoch that it knows. */
  #sequence: number
  #epoch: number

  constructor(store: MemoryStore, name: string, clock: Clock) {
    this.#store = store
    this.#name = name
    this.#clock = clock
    this.#changedAt = clock.now()
    this.#sequence = store.sequence
    this.#epoch = store.epoch
  }

  get isConnected(): boolean {
    return this.#cut !== undefined
  }

  get isLive(): boolean {
    return this.isConnected || this.#store.clock.monotonic() < this.#lastSeen + heartbeatMs
  }

  untilCurrent = (): Promise<void> | undefined => undefined

  isAvailable = (): boolean => this.isConnected

  /** Ends the connection to the store. */
  cutOff(): void {
    this.#cut?.resolve()
    this.#cut = undefined
    this.#lastSeen = this.#store.clock.monotonic()
    this.#changedAt = this.#clock.now()
  }

  /** Connects again, and learns the purges that were made meanwhile. */
  reconnect(): void {
    this.#cut ??= Promise.withResolvers()
    this.#changedAt = this.#clock.now()
    this.catchUp()
  }

  /** Applies the purges that it does not know yet. Returns whether it could. */
  catchUp(): boolean {
    if (!this.isConnected) return false
    const { epoch, sequence, purges } = this.#store
    const [first] = purges
    if (epoch !== this.#epoch || (first && first.sequence > this.#sequence + 1)) this.#listener({})
    else for (const purge of purges) if (purge.sequence > this.#sequence) this.#listener(purge.filter)
    this.#epoch = epoch
    this.#sequence = sequence
    return true
  }

  lookUp = async (grant: Grant, { newerThan }: Wanted): Promise<LookUp> => {
    await this.#store.latency()
    const found = this.#read(grant, newerThan)
    await this.#store.latency()
    return this.isConnected ? found : { token: undefined, isFetching: false }
  }

  fetch = async (grant: Grant, wanted: Wanted, signal: AbortSignal, exchange: TokenSource): Promise<IssuedToken> => {
    for (;;) {
      const { token } = await this.lookUp(grant, wanted)
      if (token) return token
      if (this.#cut === undefined) return exchange(grant, signal)
      const lease = this.#leaseOf(grant)
      if (lease === undefined) return this.#exchangeForAll(grant, signal, exchange)
      const aborted = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true })
      const ended = await Promise.race([lease.ended.promise, this.#cut.promise, aborted.promise])
      if (ended?.failure !== undefined) throw ended.failure
    }
  }

  purge = async (filter: FetchFilter): Promise<PurgeReach> => {
    const store = this.#store
    await store.latency()
    if (!this.isConnected) return { live: undefined, confirmed: 1 }
    this.catchUp()
    this.#sequence = ++store.sequence
    store.purges.push({ sequence: store.sequence, filter })
    if (store.purges.length > maxPurges) store.purges.shift()
    const others = [...store.replicas].filter(replica => replica !== this && replica.isLive)
    const confirmed = await Promise.all(
      others.map(async replica => {
        await store.latency()
        return replica.catchUp()
      }),
    )
    return { live: others.length + 1, confirmed: confirmed.filter(Boolean).length + 1 }
  }

  observePurges = (listener: (filter: FetchFilter) => void): void => {
    this.#listener = listener
  }

  get name(): string {
    return this.#name
  }

  status = () => ({
    isUp: this.isConnected,
    since: this.#changedAt,
    detail: this.isConnected ? 'connected' : 'not connected',
    replicas: this.isConnected
      ? [...this.#store.replicas].filter(({ isLive }) => isLive).map(replica => replica.#report())
      : undefined,
    keys: ['memory'],
  })

  #report = () => ({ replica: this.#name, entries: 0, fetching: 0, atRisk: 0 })

  start = (): Promise<void> => Promise.resolve()

  close = (): Promise<void> => {
    this.cutOff()
    this.#store.replicas.delete(this)
    return Promise.resolve()
  }

  #read(grant: Grant, newerThan = Number.NEGATIVE_INFINITY): LookUp {
    if (!this.isConnected) return { token: undefined, isFetching: false }
    const value = this.#store.values.get(grant.key)
    const isFetching = this.#leaseOf(grant) !== undefined
    if (value === undefined || this.#store.isPurged(value, grant)) return { token: undefined, isFetching }
    const { issuedAt = 0, expiresIn } = value.token
    const isOfUse = issuedAt > newerThan && issuedAt + expiresIn * 1000 > this.#store.clock.now()
    return { token: isOfUse ? value.token : undefined, isFetching }
  }

  /** The lease of a key that is in force. */
  #leaseOf({ key }: Grant): Lease | undefined {
    const lease = this.#store.leases.get(key)
    return lease && this.#store.clock.monotonic() < lease.until ? lease : undefined
  }

  async #exchangeForAll(grant: Grant, signal: AbortSignal, exchange: TokenSource): Promise<IssuedToken> {
    const store = this.#store
    const { epoch, sequence } = store
    const lease: Lease = { until: store.clock.monotonic() + leaseMs, ended: Promise.withResolvers() }
    store.leases.get(grant.key)?.ended.resolve({})
    store.leases.set(grant.key, lease)
    const release = (outcome: { readonly failure?: unknown }) => {
      if (!this.isConnected) return
      if (store.leases.get(grant.key) === lease) store.leases.delete(grant.key)
      lease.ended.resolve(outcome)
    }
    try {
      const token = await exchange(grant, signal)
      await store.latency()
      if (this.isConnected) store.values.set(grant.key, { token, sequence, epoch })
      release({})
      return token
    } catch (failure) {
      release({ failure })
      throw failure
    }
  }
}
