import { LRUCache } from 'lru-cache'
import { asBrokerError, type BrokerError } from '../../errors.ts'
import { levels, type FailureLevel } from '../../reasons/row.ts'
import type { FetchFilter } from '../events.ts'
import type { Clock } from '../lib/clock.ts'
import { failureLevel, failurePeriodMs, type FetchTarget, forOthers, withSecondsLeft } from './negative-cache-rules.ts'

/** What is remembered of failed fetches of one application, one tenant or one key. */
export interface CachedFailure {
  readonly level: FailureLevel
  readonly clientId: string
  /** Not at the level of an application. */
  readonly tenant: string | undefined
  /** Only at the level of a key. */
  readonly scope: string | undefined
  /** Without its cause. */
  readonly error: BrokerError
  /** Failures in a row. */
  readonly failures: number
  /** Monotonic milliseconds of the first of them. */
  readonly since: number
  /** Monotonic milliseconds before which nothing is tried; after that, one fetch at a time is. */
  readonly until: number
}

/** Keeps fetches that are known to fail from being made again and again. Nothing in it is a token. */
export interface NegativeCache {
  /**
   * The remembered failure that a fetch for this target would meet now, if any: to be answered at once. It is the error
   * as it happened, without its cause; where waiting can help, with the remaining seconds (1 or more). Only looks.
   */
  readonly lookUp: (target: FetchTarget) => BrokerError | undefined
  /**
   * Makes a fetch unless a remembered failure stands in its way, and remembers how it went. Where the period of a failure
   * has ended, this is the one fetch that may find out; whoever comes before it settles meets the remembered failure.
   * Rejects with that failure, or with what the fetch rejects with, as a {@link BrokerError}.
   *
   * @param longestBackOff milliseconds; see {@link failurePeriodMs}
   */
  readonly run: <T>(target: FetchTarget, fetch: () => Promise<T>, longestBackOff?: number) => Promise<T>
  /**
   * Forgets all failures that stand in the way of what the filter names, and whatever comes of the fetches for it that
   * are under way. Counts the forgotten failures.
   */
  readonly purge: (filter: FetchFilter) => number
  /** What failed last and stands, or stood, in the way of this target: for those who watch. */
  readonly last: (target: FetchTarget) => CachedFailure | undefined
  /** Everything that is remembered, in no order: for those who count. */
  readonly all: () => Iterable<CachedFailure>
}

/** What a memory of failures needs, and its limit. */
export interface NegativeCacheOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Records per level, the least recently used leave first; default 10,000. */
  readonly max?: number
}

const defaultMax = 10_000
/** Milliseconds after which a probe that has not settled counts as lost. Longer than any exchange may take. */
export const probeMs = 90_000
/** Milliseconds beyond its period after which a failure that nobody probed says nothing any more. */
export const keptAfterMs = 5 * 60_000

/**
 * A memory of failures at the level where they belong: of an application, of an application in one tenant, of a key.
 * Three LRUs, apart from each other and from the tokens: who causes many failures pushes out failures of that level only.
 */
export function createNegativeCache(options: NegativeCacheOptions): NegativeCache {
  return new LruNegativeCache(options)
}

/** A fetch that is under way. */
interface Attempt {
  readonly target: FetchTarget
  readonly longestBackOff: number | undefined
  /** When it began, in the order of all beginnings and failures. */
  readonly order: number
  /** The failures whose period had ended when it began. */
  readonly probes: readonly FailureRecord[]
}

interface FailureRecord extends CachedFailure {
  error: BrokerError
  until: number
  /** When it was last made, in the order of all beginnings and failures. */
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
    let forgotten = 0
    for (const level of levels) {
      const records = this.#records[level]
      const gone = [...records.entries()].filter(([, record]) => matches(record, filter))
      for (const [key] of gone) records.delete(key)
      forgotten += gone.length
    }
    for (const attempt of this.#attempts) if (matches(attempt.target, filter)) this.#attempts.delete(attempt)
    return forgotten
  }

  last = (target: FetchTarget): CachedFailure | undefined => {
    // Looking is no use: it must not keep a record from leaving.
    const found = levels.map(level => this.#records[level].peek(cacheKeys[level](target)))
    return found.reduce((a, b) => (a === undefined || (b !== undefined && b.order > a.order) ? b : a), undefined)
  }

  all = (): Iterable<CachedFailure> => levels.flatMap(level => [...this.#records[level].values()])

  #find(level: FailureLevel, target: FetchTarget, now: number): FailureRecord | undefined {
    const records = this.#records[level]
    // The usual case, in which not even the key needs to be made.
    if (records.size === 0) return undefined
    const key = cacheKeys[level](target)
    const record = records.get(key)
    if (record === undefined || now < record.until + keptAfterMs || isInForce(record, now)) return record
    records.delete(key)
    return undefined
  }

  /** @throws BrokerError the failure that stands in the way */
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

  /** A success disproves what was remembered of its key, its tenant and its application; of other tenants, nothing. */
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
      // It failed for another reason, which says nothing about this one; but probes do not follow each other at once.
      if (record.level !== level) record.until = this.#options.clock.monotonic() + this.#between(1_000, 2_000)
    }
    if (level) this.#store(level, attempt, error)
  }

  #store(level: FailureLevel, { target, longestBackOff, order }: Attempt, error: BrokerError): void {
    const now = this.#options.clock.monotonic()
    const known = this.#find(level, target, now)
    // Fetches that were under way together fail together: that is one failure, not many in a row.
    if (known && known.order > order) return
    const failures = (known?.failures ?? 0) + 1
    this.#records[level].set(cacheKeys[level](target), {
      level,
      clientId: target.clientId,
      tenant: level === 'application' ? undefined : target.tenant,
      scope: level === 'key' ? target.scope : undefined,
      error: forOthers(error, level, target),
      failures,
      since: known?.since ?? now,
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

/** Whether something is among what is meant; what it does not name itself is of every kind. */
export const matches = (place: FetchFilter, filter: FetchFilter): boolean =>
  (['clientId', 'tenant', 'scope'] as const).every(
    part => filter[part] === undefined || place[part] === undefined || filter[part] === place[part],
  )

/** The error of a record as it is answered now. A record keeps one error object: it is replaced when the seconds change. */
function currentError(record: FailureRecord, now: number): BrokerError {
  record.error = withSecondsLeft(record.error, record.until - now)
  return record.error
}
