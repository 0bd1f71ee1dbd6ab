import type { Grant } from '../../broker/authorization/authorize.ts'
import type { IssuedToken, SecondLevelEvents, TokenSource } from '../../broker/events.ts'
import { failureLevel } from '../../broker/tokens/negative-cache/negative-cache-rules.ts'
import type { Wanted } from '../../broker/tokens/second-level.ts'
import { asBrokerError, type BrokerError } from '../../errors.ts'
import { publish, type Message } from './channel.ts'
import { Holder, type HolderOptions, type Sought } from './holder.ts'
import { newLeaseId } from './lease-id.ts'
import { leaseName } from './names.ts'
import type { PurgeMark } from './sealing/sealed-token.ts'
import type { Finding } from './stored-tokens.ts'
import type { RedisCommand } from './connection/client.ts'
import type { Listener, WakeUps } from './wake-ups.ts'

/** How often a fetch waits for another replica before it makes the exchange without a lease. */
const waitsInAll = 2

/** What leases need. */
export interface LeasesOptions extends HolderOptions {
  readonly wakeUps: WakeUps
  /** The purges that are known now. */
  readonly mark: () => PurgeMark | undefined
  /** The longest time that a caller waits, in milliseconds. */
  readonly timeoutMs: number
  readonly events: Pick<SecondLevelEvents, 'lease' | 'sharedStore'>
}

/** One fetch. */
interface Fetch extends Sought {
  readonly exchange: TokenSource
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
  readonly #holder: Holder

  constructor(options: LeasesOptions) {
    this.#options = options
    this.#holder = new Holder(options)
    this.#leaseMs = Math.floor(Math.min(options.deadlines.leaseMs, options.timeoutMs / 2))
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
        const token = taken.token ?? (await this.#holder.result(fetch, taken.leaseId, this.#leaseMs, listener))
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
      return await Promise.race([exchange(signal), this.#holder.stored({ ...fetch, signal }, listener)])
    } finally {
      settled.abort()
    }
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
    const { store, tokens, clock, deadlines } = this.#options
    const lease = { id: newLeaseId(clock.now()), endsAt: clock.monotonic() + this.#leaseMs }
    const set: RedisCommand = ['SET', leaseName(name), lease.id, 'NX', 'PX', String(this.#leaseMs)]
    try {
      const [reply, ...found] = await store.send([set, ...tokens.commands(grant)], deadlines.awaitedMs)
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
      void this.#sendOrIgnore([news, ...this.#release(name, lease)])
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
    const { clock, deadlines } = this.#options
    return clock.monotonic() + deadlines.awaitedMs < endsAt ? [['DEL', leaseName(name)]] : []
  }

  async #sendOrIgnore(commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
    if (commands.length === 0) return []
    const { store, deadlines } = this.#options
    return store.send(commands, deadlines.awaitedMs).catch(() => [])
  }
}
