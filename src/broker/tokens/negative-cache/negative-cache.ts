import type { LRUCache } from 'lru-cache'
import { asBrokerError, type BrokerError } from '../../../errors.ts'
import { levels, type FailureLevel } from '../../../reasons/row.ts'
import type { FetchFilter } from '../../events.ts'
import type { Clock } from '../../lib/clock.ts'
import { isOutage, Outage } from './outage.ts'
import {
  type Attempt,
  cacheKeys,
  type CachedFailure,
  currentError,
  type FailureRecord,
  isInForce,
  isProbed,
  matches,
} from './records.ts'
import { failureLevel, failurePeriodMs, type FetchTarget, forOthers } from './negative-cache-rules.ts'
import { createLru } from '../../lib/lru.ts'

/** Caches failures of fetches, so that a fetch that is known to fail is not repeated. It has no tokens. */
export interface NegativeCache {
  /**
   * Returns the cached failure that a fetch for this target would get now; `undefined` if the fetch may be made. Starts
   * no fetch. Checked before a fetch is queued; {@link run} checks again when its turn comes.
   *
   * The error has no cause, and a remedy only if other callers may read it. A retryable one has the remaining seconds (1 or
   * more) as `retryAfter`.
   */
  readonly lookUp: (target: FetchTarget) => BrokerError | undefined
  /**
   * Makes a fetch, unless a failure is cached for its target, and caches its outcome: a failure is stored at its level, a
   * success removes the failures of the key, its tenant and its application, and soon ends those of an upstream that was out
   * of order, for all keys.
   *
   * Once the period of a failure is over, the next fetch is its probe. Until the probe settles, all other fetches that the
   * failure affects get the cached failure.
   *
   * Rejects with the cached failure, or with the error of the fetch, as a {@link BrokerError}.
   *
   */
  readonly run: <T>(target: FetchTarget, fetch: () => Promise<T>, options?: RunOptions) => Promise<T>
  /**
   * Whether a request that got the cached failure of its key should cause a fetch in the background, with
   * {@link RunOptions.early}, to find out whether the upstream is well again: one in a second for all keys, and only if the
   * upstream was out of order. No probe is made for a limit (429) or for an error that needs an operator.
   *
   * @param charged called only if one should be made; if it returns false, none is made, and the turn is not used up
   */
  readonly shouldProbe: (target: FetchTarget, charged: () => boolean) => boolean
  /**
   * Removes all failures that affect a target of the filter, wider ones too: a purge of one tenant removes the failure of
   * the application. Outcomes of matching fetches that are under way are not cached.
   *
   * @returns the number of removed failures
   */
  readonly purge: (filter: FetchFilter) => number
  /** Returns all cached failures in no order, also those whose period is over. Does not count as a use: for statistics. */
  readonly all: () => Iterable<CachedFailure>
}

/** How a fetch differs from that of a caller that waits for it. */
export interface RunOptions {
  /** Milliseconds; see {@link failurePeriodMs}. */
  readonly longestBackOff?: number | undefined
  /** Whether it is made in spite of the failure of its key; see {@link NegativeCache.shouldProbe}. */
  readonly early?: boolean
  /** Whether the result came from the upstream itself, which then is well. Called after a success. Default: it did. */
  readonly isExchanged?: () => boolean
}

/** What a negative cache needs, and its limit. */
export interface NegativeCacheOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** The largest number of failures per level; then the least recently used one is evicted. Default: 10,000. */
  readonly max?: number
  /** Whether a request for this tenant would be sent to the upstream now. Default: always. */
  readonly admits?: ((tenant: string) => boolean) | undefined
}

const defaultMax = 10_000
/** A probe that has not settled after this time, in milliseconds, is given up. Longer than any exchange may take. */
export const probeMs = 90_000
/**
 * A failure is removed if no probe was made for so long after its period, in milliseconds. Until then, another failure is
 * the next one in a row.
 */
export const keptAfterMs = 5 * 60_000

/**
 * Creates a negative cache with three levels: failures of an application, of an application in one tenant, and of a key.
 * Each level is an LRU of its own. So a caller that causes many failures evicts failures of the same level only, and no
 * tokens.
 */
export function createNegativeCache(options: NegativeCacheOptions): NegativeCache {
  return new LruNegativeCache(options)
}

class LruNegativeCache implements NegativeCache {
  readonly #options: NegativeCacheOptions
  readonly #records: Readonly<Record<FailureLevel, LRUCache<string, FailureRecord>>>
  readonly #attempts = new Set<Attempt>()
  readonly #outage: Outage
  #order = 0

  constructor(options: NegativeCacheOptions) {
    this.#options = options
    const { max = defaultMax } = options
    this.#outage = new Outage(options.random)
    const dispose = (record: FailureRecord) => this.#outage.delete(record)
    const records = () => createLru<string, FailureRecord>(max, dispose)
    this.#records = { application: records(), tenant: records(), key: records() }
  }

  lookUp = (target: FetchTarget): BrokerError | undefined => {
    const now = this.#options.clock.monotonic()
    const record = this.#inForce(target, now)
    return record && currentError(record, now)
  }

  shouldProbe = (target: FetchTarget, charged: () => boolean): boolean => {
    const now = this.#options.clock.monotonic()
    const record = this.#inForce(target, now)
    if (record === undefined || !isOutage(record) || isProbed(record, now)) return false
    if (now < record.until && !this.#outage.isProbeDue(target, record, now)) return false
    if (this.#options.admits?.(target.tenant) === false || !charged()) return false
    this.#outage.probed(target, now)
    return true
  }

  run = async <T>(target: FetchTarget, fetch: () => Promise<T>, options: RunOptions = {}): Promise<T> => {
    const attempt = this.#begin(target, options)
    try {
      const fetched = await fetch()
      this.#succeeded(attempt, options.isExchanged?.() ?? true)
      return fetched
    } catch (thrown) {
      const error = asBrokerError(thrown)
      this.#failed(attempt, error)
      throw error
    }
  }

  purge = (filter: FetchFilter): number => {
    let removed = 0
    for (const level of levels) {
      const records = this.#records[level]
      const matching = [...records.entries()].filter(([, record]) => matches(record, filter))
      for (const [key] of matching) records.delete(key)
      removed += matching.length
    }
    for (const attempt of this.#attempts) if (matches(attempt.target, filter)) this.#attempts.delete(attempt)
    return removed
  }

  all = (): Iterable<CachedFailure> => levels.flatMap(level => [...this.#records[level].values()])

  #find(level: FailureLevel, target: FetchTarget, now: number): FailureRecord | undefined {
    const records = this.#records[level]
    // The usual case: no failures. Then there is no need to make a key.
    if (records.size === 0) return undefined
    const key = cacheKeys[level](target)
    const record = records.get(key)
    if (record === undefined || now < record.until + keptAfterMs || isInForce(record, now)) return record
    records.delete(key)
    return undefined
  }

  /** The widest failure that a fetch for this target would get now. */
  #inForce(target: FetchTarget, now: number): FailureRecord | undefined {
    for (const level of levels) {
      const record = this.#find(level, target, now)
      if (record && isInForce(record, now)) return record
    }
    return undefined
  }

  /** @throws BrokerError the cached failure */
  #begin(target: FetchTarget, { longestBackOff, early = false }: RunOptions): Attempt {
    const now = this.#options.clock.monotonic()
    const failure = this.#inForce(target, now)
    if (failure && !(early && isOutage(failure) && !isProbed(failure, now))) throw currentError(failure, now)
    const probes = levels.map(level => this.#find(level, target, now)).filter(record => record !== undefined)
    const attempt = { target, longestBackOff, early, order: ++this.#order, probes }
    for (const record of probes) record.probe = { by: attempt, until: now + probeMs }
    this.#attempts.add(attempt)
    return attempt
  }

  /**
   * A success shows that its key, its tenant and its application work. Of other tenants it says only that the upstream is
   * there.
   */
  #succeeded(attempt: Attempt, isExchanged: boolean): void {
    if (isExchanged) this.#outage.recovered(this.#options.clock.monotonic())
    if (!this.#attempts.delete(attempt)) return
    for (const level of levels) this.#records[level].delete(cacheKeys[level](attempt.target))
  }

  #failed(attempt: Attempt, error: BrokerError): void {
    if (!this.#attempts.delete(attempt)) return
    const level = failureLevel(error)
    const now = this.#options.clock.monotonic()
    for (const record of attempt.probes) {
      if (record.probe?.by !== attempt) continue
      record.probe = undefined
      // The probe failed for another reason, so this failure may persist or not. The next probe waits 1 to 2 s.
      if (record.level !== level && now >= record.until) record.until = now + this.#between(1_000, 2_000)
    }
    if (level) this.#store(level, attempt, error)
  }

  #store(level: FailureLevel, { target, longestBackOff, order, early }: Attempt, error: BrokerError): void {
    const now = this.#options.clock.monotonic()
    const known = this.#find(level, target, now)
    // Concurrent fetches that fail together count once towards the back-off.
    if (known && known.order > order) return
    if (known && early && now < known.until && error.handling.outage !== 'none') {
      // A probe before its time does not make the back-off longer.
      known.error = forOthers(error, level, target)
      known.failedAt = now
      return
    }
    const failures = (known?.failures ?? 0) + 1
    const record: FailureRecord = {
      level,
      clientId: target.clientId,
      agentId: level === 'application' ? undefined : target.agentId,
      tenant: level === 'application' ? undefined : target.tenant,
      scope: level === 'key' ? target.scope : undefined,
      error: forOthers(error, level, target),
      failures,
      since: known?.since ?? now,
      until: now + failurePeriodMs(level, error, failures, this.#options.random, longestBackOff),
      failedAt: now,
      order: ++this.#order,
      probe: undefined,
      recoveries: (known?.recoveries ?? 0) + (known?.recovered === true ? 1 : 0),
      recovered: false,
    }
    this.#records[level].set(cacheKeys[level](target), record)
    this.#outage.add(record)
  }

  #between(least: number, most: number): number {
    return least + this.#options.random() * (most - least)
  }
}
