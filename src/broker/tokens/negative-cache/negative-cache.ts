import { LRUCache } from 'lru-cache'
import { asBrokerError, type BrokerError } from '../../../errors.ts'
import { levels, type FailureLevel } from '../../../reasons/row.ts'
import type { FetchFilter } from '../../events.ts'
import type { Clock } from '../../lib/clock.ts'
import { failureLevel, failurePeriodMs, type FetchTarget, forOthers, withSecondsLeft } from './negative-cache-rules.ts'

/** A cached failure of one application, of one application in one tenant, or of one key. */
export interface CachedFailure {
  readonly level: FailureLevel
  readonly clientId: string
  /** `undefined` at the level `application`: the failure is served for all tenants. */
  readonly tenant: string | undefined
  /** Only at the level `key`. */
  readonly scope: string | undefined
  /** Without its cause. */
  readonly error: BrokerError
  /** Consecutive failures. */
  readonly failures: number
  /** Monotonic milliseconds. Before, no fetch is made. Afterwards one fetch at a time is made, the probe. */
  readonly until: number
}

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
   * success removes the failures of the key, its tenant and its application.
   *
   * Once the period of a failure is over, the next fetch is its probe. Until the probe settles, all other fetches that the
   * failure affects get the cached failure.
   *
   * Rejects with the cached failure, or with the error of the fetch, as a {@link BrokerError}.
   *
   * @param longestBackOff milliseconds; see {@link failurePeriodMs}
   */
  readonly run: <T>(target: FetchTarget, fetch: () => Promise<T>, longestBackOff?: number) => Promise<T>
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

/** What a negative cache needs, and its limit. */
export interface NegativeCacheOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** The largest number of failures per level; then the least recently used one is evicted. Default: 10,000. */
  readonly max?: number
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

/** A fetch that is under way. */
interface Attempt {
  readonly target: FetchTarget
  readonly longestBackOff: number | undefined
  /** A sequence number, in one order with those of {@link FailureRecord}. */
  readonly order: number
  /** The failures that it is the probe of: their period was over when it started. */
  readonly probes: readonly FailureRecord[]
}

interface FailureRecord extends CachedFailure {
  error: BrokerError
  until: number
  /** A sequence number, in one order with those of {@link Attempt}. */
  readonly order: number
  probe: { readonly by: Attempt; readonly until: number } | undefined
}

const cacheKeys: Readonly<Record<FailureLevel, (target: FetchTarget) => string>> = {
  application: ({ clientId }) => clientId,
  tenant: ({ clientId, tenant }) => `${clientId} ${tenant}`,
  key: ({ key }) => key,
}

class LruNegativeCache implements NegativeCache {
  readonly #options: NegativeCacheOptions
  readonly #records: Readonly<Record<FailureLevel, LRUCache<string, FailureRecord>>>
  readonly #attempts = new Set<Attempt>()
  #order = 0

  constructor(options: NegativeCacheOptions) {
    this.#options = options
    const { max = defaultMax } = options
    this.#records = { application: new LRUCache({ max }), tenant: new LRUCache({ max }), key: new LRUCache({ max }) }
  }

  lookUp = (target: FetchTarget): BrokerError | undefined => {
    const now = this.#options.clock.monotonic()
    for (const level of levels) {
      const record = this.#find(level, target, now)
      if (record && isInForce(record, now)) return currentError(record, now)
    }
    return undefined
  }

  run = async <T>(target: FetchTarget, fetch: () => Promise<T>, longestBackOff?: number): Promise<T> => {
    const attempt = this.#begin(target, longestBackOff)
    try {
      const fetched = await fetch()
      this.#succeeded(attempt)
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

  /** @throws BrokerError the cached failure */
  #begin(target: FetchTarget, longestBackOff: number | undefined): Attempt {
    const failure = this.lookUp(target)
    if (failure) throw failure
    const now = this.#options.clock.monotonic()
    const probes = levels.map(level => this.#find(level, target, now)).filter(record => record !== undefined)
    const attempt = { target, longestBackOff, order: ++this.#order, probes }
    for (const record of probes) record.probe = { by: attempt, until: now + probeMs }
    this.#attempts.add(attempt)
    return attempt
  }

  /** A success shows that its key, its tenant and its application work. It says nothing about other tenants. */
  #succeeded(attempt: Attempt): void {
    if (!this.#attempts.delete(attempt)) return
    for (const level of levels) this.#records[level].delete(cacheKeys[level](attempt.target))
  }

  #failed(attempt: Attempt, error: BrokerError): void {
    if (!this.#attempts.delete(attempt)) return
    const level = failureLevel(error)
    for (const record of attempt.probes) {
      if (record.probe?.by !== attempt) continue
      record.probe = undefined
      // The probe failed for another reason, so this failure may persist or not. The next probe waits 1 to 2 s.
      if (record.level !== level) record.until = this.#options.clock.monotonic() + this.#between(1_000, 2_000)
    }
    if (level) this.#store(level, attempt, error)
  }

  #store(level: FailureLevel, { target, longestBackOff, order }: Attempt, error: BrokerError): void {
    const now = this.#options.clock.monotonic()
    const known = this.#find(level, target, now)
    // Concurrent fetches that fail together count once towards the back-off.
    if (known && known.order > order) return
    const failures = (known?.failures ?? 0) + 1
    this.#records[level].set(cacheKeys[level](target), {
      level,
      clientId: target.clientId,
      tenant: level === 'application' ? undefined : target.tenant,
      scope: level === 'key' ? target.scope : undefined,
      error: forOthers(error, level, target),
      failures,
      until: now + failurePeriodMs(level, error, failures, this.#options.random, longestBackOff),
      order: ++this.#order,
      probe: undefined,
    })
  }

  #between(least: number, most: number): number {
    return least + this.#options.random() * (most - least)
  }
}

const isInForce = ({ until, probe }: FailureRecord, now: number): boolean =>
  now < until || (probe !== undefined && now < probe.until)

/**
 * Whether a token, a fetch or a cached failure matches a filter. A field that is absent, on either side, stands for all
 * values.
 */
export const matches = (candidate: FetchFilter, filter: FetchFilter): boolean =>
  (['clientId', 'tenant', 'scope'] as const).every(
    field => filter[field] === undefined || candidate[field] === undefined || filter[field] === candidate[field],
  )

/** The error as it is served now. A record has one error object, which is replaced when the remaining seconds change. */
function currentError(record: FailureRecord, now: number): BrokerError {
  record.error = withSecondsLeft(record.error, record.until - now)
  return record.error
}
