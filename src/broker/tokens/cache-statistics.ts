import type { LRUCache } from 'lru-cache'
import type { CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import type { CachedFailure } from './negative-cache.ts'
import type { FailureLevel } from '../../reasons/row.ts'
import { freshness, momentOf, remainingMs, usableMs, type Freshness, type Moment } from './freshness.ts'
import type { QueueLoad } from './fair-queue.ts'

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

/** Metadata of one cached token, never the token itself. */
export interface CacheEntry {
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  readonly state: Freshness
  /** The token's end, in milliseconds since 1970. */
  readonly endsAt: number
  /** Seconds for which the broker still serves it; 0 once it does not. */
  readonly usableSeconds: number
  /** Seconds until the next request for it starts a refresh; 0 when that is now. */
  readonly refreshInSeconds: number
  /** Consecutive refreshes that failed or returned no token that lives longer. */
  readonly failedRefreshes: number
  readonly lastFailure: { readonly code: string; readonly reason: string; readonly at: number } | undefined
  /** As in the audit log. */
  readonly fingerprint: string
  readonly traceId: string | undefined
  readonly correlationId: string | undefined
}

/** Which cached tokens to list. */
export interface EntryQuery {
  /** A tenant id in lower case; all tenants without. */
  readonly tenant?: string | undefined
  readonly limit: number
  /** The `next` of the page before. */
  readonly after?: number | undefined
}

/** One page of cached tokens. */
export interface EntryPage {
  readonly entries: readonly CacheEntry[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: number | undefined
}

/** The cache as operators see it. */
export interface CacheInspector {
  readonly statistics: () => CacheStatistics
  /**
   * Entries in the order in which they were fetched. One that is refreshed between two pages moves to the end, so it may
   * be seen twice, and none that stays is missed. Passes over all keys before the page: for people and dashboards.
   */
  readonly page: (query: EntryQuery) => EntryPage
}

/** What a view looks at; the cache goes on owning it. */
export interface InspectedCache {
  readonly tokens: LRUCache<string, CachedToken>
  /** The cached tokens by their ids, in the order of these. */
  readonly order: ReadonlyMap<number, CachedToken>
  readonly fetching: () => number
  readonly load: () => QueueLoad
  readonly failures: () => Iterable<CachedFailure>
  readonly atRisk: ReadonlySet<CachedToken>
  readonly evictions: () => number
  readonly clock: Clock
}

/** Shows a cache to operators. It changes nothing, and none of its results holds a token. */
export function createCacheInspector({
  tokens: held,
  order,
  fetching,
  load,
  failures,
  atRisk,
  evictions,
  clock,
}: InspectedCache): CacheInspector {
  return {
    statistics: () => ({
      entries: held.size,
      maxEntries: held.max,
      fetching: fetching(),
      load: load(),
      failures: countFailures(failures()),
      evictions: evictions(),
      ...riskOf(atRisk, momentOf(clock)),
    }),
    page: query => pageOf(order, query, momentOf(clock)),
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

/** One pass: in an outage all tokens may be at risk. */
function riskOf(
  tokens: Iterable<CachedToken>,
  moment: Moment,
): Pick<CacheStatistics, 'atRisk' | 'atRiskUsableSeconds'> {
  let atRisk = 0
  let first = Number.POSITIVE_INFINITY
  for (const token of tokens) {
    const left = usableMs(token.life, moment)
    if (left <= 0) continue
    atRisk++
    first = Math.min(first, left)
  }
  return { atRisk, atRiskUsableSeconds: atRisk === 0 ? undefined : first / 1000 }
}

function pageOf(order: InspectedCache['order'], { tenant, limit, after = 0 }: EntryQuery, moment: Moment): EntryPage {
  const entries: CacheEntry[] = []
  let last: number | undefined
  for (const [id, token] of order) {
    if (id <= after || (tenant !== undefined && token.tenant !== tenant)) continue
    // There is one more, so there is a next page.
    if (entries.length === limit) return { entries, next: last }
    entries.push(entryOf(token, moment))
    last = id
  }
  return { entries, next: undefined }
}

function entryOf(token: CachedToken, moment: Moment): CacheEntry {
  const remaining = remainingMs(token.life, moment)
  const state = freshness(token.life, remaining)
  const dueInMs = Math.max(remaining - token.life.dueBeforeEnd, token.refreshNotBefore - moment.monotonic)
  const { failure } = token
  return {
    clientId: token.clientId,
    tenant: token.tenant,
    scope: token.scope,
    state,
    endsAt: token.life.endsAt,
    usableSeconds: Math.max(0, Math.floor(usableMs(token.life, moment) / 1000)),
    refreshInSeconds: state === 'expired' ? 0 : Math.max(0, Math.ceil(dueInMs / 1000)),
    failedRefreshes: token.failedRefreshes,
    lastFailure: failure && { code: failure.error.code, reason: failure.error.reason, at: failure.at },
    fingerprint: token.fingerprint,
    traceId: token.traceId,
    correlationId: token.correlationId,
  }
}
