import type { Grant } from '../../broker/authorization/authorize.ts'
import type { IssuedToken, SecondLevelEvents, TokenSource } from '../../broker/events.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import { failureLevel } from '../../broker/tokens/negative-cache/negative-cache-rules.ts'
import type { Wanted } from '../../broker/tokens/second-level.ts'
import { asBrokerError, type BrokerError } from '../../errors.ts'
import { encodeMessage, type Message } from './channel.ts'
import { newLeaseId, startOfLease } from './lease-id.ts'
import { eventsChannel, leaseName } from './names.ts'
import type { PurgeMark, Sealer } from './sealing/sealed-token.ts'
import type { Finding, StoredTokens } from './stored-tokens.ts'
import type { RedisCommand } from './connection/client.ts'
import type { Store } from './store.ts'
import type { Listener, News, WakeUps } from './wake-ups.ts'

/**
 * Milliseconds that a lease lasts, or half the time that callers wait, if that is less. After it, another replica makes the
 * exchange: the holder may have ended, or Entra may not respond to it.
 */
export const longestLeaseMs = 1500
/**
 * Milliseconds for a store that is slow, where a caller waits. The alternative is an exchange of 150 to 500 ms. One that is
 * silent is noticed sooner, by its circuit breaker.
 */
export const awaitedDeadlineMs = 250
/** Milliseconds to the first look whether the token is there, in case its message was lost. Grows to {@link longestPollMs}. */
const firstPollMs = 100
const longestPollMs = 250
/** How often a fetch waits for another replica before it makes the exchange without a lease. */
const waitsInAll = 2
/** A failure of an older lease, in milliseconds, is ignored: it may have been recorded and sent again. */
export const oldestFailureMs = 10_000

/** What leases need. */
export interface LeasesOptions {
  readonly store: Store
  readonly tokens: StoredTokens
  readonly sealer: Sealer
  readonly wakeUps: WakeUps
  readonly clock: Clock
  /** The purges that are known now. */
  readonly mark: () => PurgeMark | undefined
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  readonly events: Pick<SecondLevelEvents, 'lease' | 'sharedStore'>
}

/** One fetch. */
interface Fetch {
  readonly grant: Grant
  readonly wanted: Wanted
  readonly signal: AbortSignal
  readonly exchange: TokenSource
  /** The name of the key, under the first key of the ring. */
  readonly name: string
}

/** A lease that this replica has. */
interface Lease {
  readonly id: string
  /** Monotonic milliseconds. Afterwards it may be another replica's. */
  readonly endsAt: number
}

/** One exchange per key for all replicas. */
export class Leases {
  readonly #options: LeasesOptions
  readonly #leaseMs: number

  constructor(options: LeasesOptions) {
    this.#options = options
    this.#leaseMs = Math.floor(Math.min(longestLeaseMs, options.timeoutMs / 2))
  }

  /** See `fetch` of `SecondLevel`. */
  async fetch(grant: Grant, wanted: Wanted, signal: AbortSignal, exchange: TokenSource): Promise<IssuedToken> {
    const { sealer, wakeUps, events } = this.#options
    const fetch: Fetch = { grant, wanted, signal, exchange, name: sealer.names(grant)[0] }
    // Before a lease is requested, so that news of its holder cannot be missed.
    const listener = wakeUps.listen(fetch.name)
    const exchangeAlone = (until: AbortSignal) => this.exchangeAlone(grant, until, exchange)
    try {
      for (let nth = 0; nth < waitsInAll && !signal.aborted; nth++) {
        const taken = await this.#take(fetch)
        if (taken === undefined) return await exchangeAlone(signal)
        const { lease, mark } = taken
        if (lease && nth === 0) return await this.#exchangeForAll(fetch, lease, mark)
        if (lease)
          return await this.#first(fetch, listener, own => this.#exchangeForAll({ ...fetch, signal: own }, lease, mark))
        const token = taken.token ?? (await this.#waitForHolder(fetch, taken.leaseId, listener))
        if (token) {
          events.lease('waited')
          return token
        }
      }
      return await this.#first(fetch, listener, exchangeAlone)
    } finally {
      listener.stop()
    }
  }

  /**
   * Makes the exchange after another replica has not finished its own in time, and returns the token that comes first: Entra
   * may respond slowly to both. The exchange is aborted if it is not the first.
   */
  async #first(
    fetch: Fetch,
    listener: Listener,
    exchange: (signal: AbortSignal) => Promise<IssuedToken>,
  ): Promise<IssuedToken> {
    const settled = new AbortController()
    const signal = AbortSignal.any([fetch.signal, settled.signal])
    try {
      return await Promise.race([exchange(signal), this.#storedByAnother({ ...fetch, signal }, listener)])
    } finally {
      settled.abort()
    }
  }

  /** Resolves to the token that another replica stores; never, if the signal aborts first. */
  async #storedByAnother({ grant, wanted, signal }: Fetch, listener: Listener): Promise<IssuedToken> {
    while (!signal.aborted) {
      await listener.next(longestPollMs, signal)
      const { token } = signal.aborted ? nothing : await this.#options.tokens.find(grant, wanted, awaitedDeadlineMs)
      if (token) return token
    }
    return new Promise(() => undefined)
  }

  /** Makes the exchange without a lease. Its token is shared all the same, if the store takes it. */
  async exchangeAlone(grant: Grant, signal: AbortSignal, exchange: TokenSource): Promise<IssuedToken> {
    this.#options.events.lease('alone')
    const mark = this.#options.mark()
    const issued = await exchange(grant, signal)
    void this.#share(grant, issued, mark, [])
    return issued
  }

  /** Tries to get the lease, and looks once more whether the token is there. @returns `undefined` without the store */
  async #take({ grant, wanted, name }: Fetch): Promise<(Finding & { readonly lease?: Lease }) | undefined> {
    const { store, tokens, clock } = this.#options
    const lease = { id: newLeaseId(clock.now()), endsAt: clock.monotonic() + this.#leaseMs }
    const set: RedisCommand = ['SET', leaseName(name), lease.id, 'NX', 'PX', String(this.#leaseMs)]
    try {
      const [reply, ...found] = await store.send([set, ...tokens.commands(grant)], awaitedDeadlineMs)
      // A store that cannot write (it is full, or a read-only replica) has no leases.
      if (reply instanceof Error) return undefined
      const finding = await tokens.read(grant, wanted, found)
      if (reply === null) return finding
      if (finding.token === undefined) return { ...finding, lease }
      void this.#sendOrIgnore(this.#release(name, lease))
      return finding
    } catch {
      return undefined
    }
  }

  /**
   * Waits for the replica that has the lease.
   * @returns `undefined` once there is neither a lease nor a token
   * @throws BrokerError the failure of that replica
   */
  async #waitForHolder(fetch: Fetch, holder: string | undefined, listener: Listener): Promise<IssuedToken | undefined> {
    const { tokens, clock } = this.#options
    const { grant, wanted, signal } = fetch
    const until = clock.monotonic() + this.#leaseMs
    let leaseId = holder
    for (let ms = firstPollMs; !signal.aborted && clock.monotonic() < until; ms = Math.min(longestPollMs, ms * 1.5)) {
      const failure = this.#failureIn(await listener.next(ms, signal), grant, leaseId)
      if (failure) {
        this.#options.events.lease('waited')
        throw failure
      }
      const finding = await tokens.find(grant, wanted, awaitedDeadlineMs)
      leaseId = finding.leaseId
      if (finding.token || leaseId === undefined) return finding.token
    }
    return undefined
  }

  /** The failure that the holder of the lease shared; `undefined` if it is not its, or is old. */
  #failureIn(news: News | undefined, grant: Grant, leaseId: string | undefined): BrokerError | undefined {
    if (!Buffer.isBuffer(news) || leaseId === undefined) return undefined
    if (this.#options.clock.now() - startOfLease(leaseId) > oldestFailureMs) return undefined
    return this.#options.sealer.openFailure(grant, leaseId, news)
  }

  /** Makes the exchange for all replicas, and wakes those that wait. */
  async #exchangeForAll(fetch: Fetch, lease: Lease, mark: PurgeMark | undefined): Promise<IssuedToken> {
    const { grant, signal, exchange, name } = fetch
    this.#options.events.lease('won')
    try {
      const issued = await exchange(grant, signal)
      // Not awaited: the callers of this replica need not wait for the store.
      void this.#share(grant, issued, mark, [publish({ type: 'stored', name }), ...this.#release(name, lease)])
      return issued
    } catch (thrown) {
      const news = publish(this.#newsOf(grant, name, lease, asBrokerError(thrown)))
      void this.#sendOrIgnore([...this.#release(name, lease), news])
      throw thrown
    }
  }

  /**
   * A failure that no request would get again is one of this replica: its identity, its circuit, its end. Those that wait
   * then only learn that the lease has ended, and make the exchange.
   */
  #newsOf(grant: Grant, name: string, { id }: Lease, error: BrokerError): Message {
    const isForAll = failureLevel(error) !== undefined
    const sealed = isForAll ? this.#options.sealer.sealFailure(grant, id, error) : undefined
    return sealed ? { type: 'failed', name, sealed } : { type: 'stored', name }
  }

  /** Stores a token, and sends what follows in the same round trip. Never rejects. */
  async #share(
    grant: Grant,
    issued: IssuedToken,
    mark: PurgeMark | undefined,
    then: readonly RedisCommand[],
  ): Promise<void> {
    const { tokens, clock, events } = this.#options
    const began = clock.monotonic()
    const writing = tokens.writing(grant, issued, mark)
    const [stored] = await this.#sendOrIgnore([...writing, ...then])
    if (writing.length === 0) return
    const isStored = stored !== undefined && !(stored instanceof Error)
    events.sharedStore(isStored ? 'stored' : 'failed', (clock.monotonic() - began) / 1000)
  }

  /** Ends a lease, unless it may have ended and be another replica's by now. */
  #release(name: string, { endsAt }: Lease): readonly RedisCommand[] {
    return this.#options.clock.monotonic() + awaitedDeadlineMs < endsAt ? [['DEL', leaseName(name)]] : []
  }

  async #sendOrIgnore(commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
    if (commands.length === 0) return []
    return this.#options.store.send(commands, awaitedDeadlineMs).catch(() => [])
  }
}

const nothing = { token: undefined }

const publish = (message: Message): RedisCommand => ['PUBLISH', eventsChannel, encodeMessage(message)]
