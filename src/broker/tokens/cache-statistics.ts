import type { CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import { failurePage, type FailurePage, type FailureQuery } from './negative-cache/failure-page.ts'
import type { CachedFailure } from './negative-cache/records.ts'
import type { FailureLevel } from '../../reasons/row.ts'
import { entryPage, type EntryPage, type EntryQuery } from './entry-page.ts'
import { momentOf, usableMs, type Moment } from './freshness.ts'
import type { QueueLoad } from './fair-queue/fair-queue.ts'
import type { TokenStore } from './token-store.ts'

/** Cache statistics. */
export interface CacheStatistics {
  readonly entries: number
  readonly maxEntries: number
  /** Fetches in flight or queued, at most one per key. */
  readonly fetching: number
  /** Exchanges in flight, and entries in the fair queue. */
  readonly load: QueueLoad
  /** The negative cache, including expired failures that were not tried again. */
  readonly failures: readonly FailureCount[]
  /** Entries evicted since the start because the cache was full. */
  readonly evictions: number
  /** Valid tokens that were requested after their last refresh failed. */
  readonly atRisk: number
  /** Seconds until the first of those becomes unusable. */
  readonly atRiskUsableSeconds: number | undefined
}

/** Number of failures in the negative cache with one level and reason. */
export interface FailureCount {
  readonly level: FailureLevel
  readonly reason: string
  readonly count: number
}

/** What operators see of a cache. */
export interface CacheInspector {
  readonly statistics: () => CacheStatistics
  /** Entries that match; see {@link entryPage}. */
  readonly page: (query: EntryQuery) => EntryPage
  /** Cached failures, also those whose period is over, as long as they are counted in the statistics; then limited tenants. */
  readonly failures: (query: FailureQuery) => FailurePage
}

/** The parts of a cache that an inspector reads. */
export interface InspectedCache {
  readonly tokens: TokenStore
  readonly fetching: () => number
  readonly load: () => QueueLoad
  readonly failures: () => Iterable<CachedFailure>
  /** Tenants whose limit of exchanges was reached lately. Not counted in the statistics. */
  readonly limited: () => Iterable<CachedFailure>
  readonly clock: Clock
}

/** Reports on a cache. It changes nothing, not even what is evicted next, and none of its results has a token. */
export function createCacheInspector(inspected: InspectedCache): CacheInspector {
  const { tokens, fetching, load, failures, limited, clock } = inspected
  return {
    statistics: () => ({
      entries: tokens.size,
      maxEntries: tokens.max,
      fetching: fetching(),
      load: load(),
      failures: countFailures(failures()),
      evictions: tokens.evictions,
      ...riskOf(tokens.atRisk, momentOf(clock)),
    }),
    page: query => entryPage(tokens, query, momentOf(clock)),
    failures: query => failurePage([...failures(), ...limited()], query, momentOf(clock)),
  }
}

function countFailures(failures: Iterable<CachedFailure>): readonly FailureCount[] {
  const counts = new Map<string, FailureCount>()
  for (const { level, error } of failures) {
    const key = `${level} ${error.reason}`
    counts.set(key, { level, reason: error.reason, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  return [...counts.values()]
}

/** Without a list in between: in an outage all tokens may be at risk. */
function riskOf(
  tokens: Iterable<CachedToken>,
  moment: Moment,
): Pick<CacheStatistics, 'atRisk' | 'atRiskUsableSeconds'> {
  let atRisk = 0
  let shortest = Number.POSITIVE_INFINITY
  for (const token of tokens) {
    const usable = usableMs(token.life, moment)
    if (usable <= 0) continue
    atRisk++
    shortest = Math.min(shortest, usable)
  }
  return { atRisk, atRiskUsableSeconds: atRisk === 0 ? undefined : shortest / 1000 }
}
