import type { Grant } from '../../broker/authorization/authorize.ts'
import type { IssuedToken, SecondLevelEvents } from '../../broker/events.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Wanted } from '../../broker/tokens/second-level.ts'
import type { BrokerError } from '../../errors.ts'
import { publish } from './channel.ts'
import type { Deadlines } from './deadlines.ts'
import { startOfLease } from './lease-id.ts'
import type { Sealer } from './sealing/sealed-token.ts'
import type { Store } from './store.ts'
import type { StoredTokens } from './stored-tokens.ts'
import type { Listener, News } from './wake-ups.ts'

/** Milliseconds to the first look whether the token is there, in case its message was lost. Grows to {@link longestPollMs}. */
const firstPollMs = 100
const longestPollMs = 250
/** A failure of an older lease, in milliseconds, is ignored: it may have been recorded and sent again. */
export const oldestFailureMs = 10_000

/** What waiting for another replica needs. */
export interface HolderOptions {
  readonly store: Store
  readonly tokens: StoredTokens
  readonly sealer: Sealer
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly events: Pick<SecondLevelEvents, 'lease'>
}

/** Which token is waited for. */
export interface Sought {
  readonly grant: Grant
  readonly wanted: Wanted
  readonly signal: AbortSignal
  /** The name of the key, under the first key of the ring. */
  readonly name: string
}

/** The replica that has the lease of a key, as those see it that wait for its exchange. */
export class Holder {
  readonly #options: HolderOptions

  constructor(options: HolderOptions) {
    this.#options = options
  }

  /**
   * Waits for the token.
   *
   * @param lease the id of the lease
   * @param ms milliseconds: no longer than a lease lasts
   * @param listener listens since before the lease was seen
   * @returns `undefined` once there is neither a lease nor a token
   * @throws BrokerError the failure of that replica
   */
  async result(sought: Sought, lease: string | undefined, ms: number, listener: Listener) {
    const { tokens, clock, deadlines } = this.#options
    const { grant, wanted, signal } = sought
    const until = clock.monotonic() + ms
    let leaseId = lease
    for (let pause = firstPollMs; !signal.aborted && clock.monotonic() < until; pause = longerPause(pause)) {
      const news = await listener.next(pause, signal)
      this.#throwFailure(news, grant, leaseId)
      const finding = await tokens.find(grant, wanted, deadlines.awaitedMs)
      if (finding.token || finding.outcome === 'unavailable') return finding.token
      if (finding.leaseId === undefined) {
        this.#throwFailure(news ?? (await this.#lastNews(sought, listener)), grant, leaseId)
        return undefined
      }
      leaseId = finding.leaseId
    }
    return undefined
  }

  /** Resolves to a token that another replica stores; never, if the signal aborts first. */
  async stored({ grant, wanted, signal }: Sought, listener: Listener): Promise<IssuedToken> {
    const { tokens, deadlines } = this.#options
    while (!signal.aborted) {
      await listener.next(longestPollMs, signal)
      if (signal.aborted) break
      const { token } = await tokens.find(grant, wanted, deadlines.awaitedMs)
      if (token) return token
    }
    return new Promise(() => undefined)
  }

  /**
   * The news of a lease that has ended. It comes over another connection, so that the end may be seen first; but a message
   * that is published now arrives after it.
   */
  async #lastNews({ name, signal }: Sought, listener: Listener): Promise<News | undefined> {
    const { store, deadlines } = this.#options
    try {
      await store.send([publish({ type: 'stored', name })], deadlines.awaitedMs)
      return await listener.next(deadlines.awaitedMs, signal)
    } catch {
      return undefined
    }
  }

  /** @throws BrokerError the failure in the news, if it is one of the holder of the lease */
  #throwFailure(news: News | undefined, grant: Grant, leaseId: string | undefined): void {
    const failure = this.#failureIn(news, grant, leaseId)
    if (failure === undefined) return
    this.#options.events.lease('waited')
    throw failure
  }

  /** The failure that the holder of the lease shared; `undefined` if it is not its, or is old. */
  #failureIn(news: News | undefined, grant: Grant, leaseId: string | undefined): BrokerError | undefined {
    if (!Buffer.isBuffer(news) || leaseId === undefined) return undefined
    if (this.#options.clock.now() - startOfLease(leaseId) > oldestFailureMs) return undefined
    return this.#options.sealer.openFailure(grant, leaseId, news)
  }
}

const longerPause = (pause: number): number => Math.min(longestPollMs, pause * 1.5)
