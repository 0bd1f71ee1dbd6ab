import type { CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import { failurePage, type FailurePage, type FailureQuery } from './negative-cache/failure-page.ts'
import type { CachedFailure } from './negative-cache/records.ts'
import type { FailureLevel } from '../../reasons/row.ts'
import { freshness, momentOf, remainingMs, usableMs, type Freshness, type Moment } from './freshness.ts'
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
  /** A tenant id in lower case; absent: all tenants. */
  readonly tenant?: string | undefined
  readonly limit: number
  /** {@link EntryPage.next} of the page before; absent: from the start. */
  readonly after?: number | undefined
}

/** One page of cached tokens. */
export interface EntryPage {
  readonly entries: readonly CacheEntry[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: number | undefined
}

/** What operators see of a cache. */
export interface CacheInspector {
  readonly statistics: () => CacheStatistics
  /**
   * Entries in the order in which they were fetched. An entry that is refreshed between two pages moves to the end, so it
   * may be listed twice. No entry that stays in the cache is missed. Iterates over all entries before the page: for people
   * and dashboards, not for hot paths.
   */
  readonly page: (query: EntryQuery) => EntryPage
  /** Cached failures, also those whose period is over, as long as they are counted in the statistics. */
  readonly failures: (query: FailureQuery) => FailurePage
}

/** The parts of a cache that an inspector reads. */
export interface InspectedCache {
  readonly tokens: TokenStore
  readonly fetching: () => number
  readonly load: () => QueueLoad
  readonly failures: () => Iterable<CachedFailure>
  readonly clock: Clock
}

/** Reports on a cache. It changes nothing, not even what is evicted next, and none of its results has a token. */
export function createCacheInspector(inspected: InspectedCache): CacheInspector {
  const { tokens, fetching, load, failures, clock } = inspected
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
    page: query => pageOf(tokens.byId, query, momentOf(clock)),
    failures: query => failurePage(failures(), query, momentOf(clock)),
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

function pageOf(byId: TokenStore['byId'], { tenant, limit, after = 0 }: EntryQuery, moment: Moment): EntryPage {
  const entries: CacheEntry[] = []
  let last: number | undefined
  for (const [id, token] of byId) {
    if (id <= after || (tenant !== undefined && token.tenant !== tenant)) continue
    // The page is full, and this is one more: there is a next page.
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
