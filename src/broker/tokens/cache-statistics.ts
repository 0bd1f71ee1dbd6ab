import type { LRUCache } from 'lru-cache'
import { placeOf, type CachedToken } from './cached-token.ts'
import type { Clock } from '../lib/clock.ts'
import type { RememberedFailure } from './negative-cache.ts'
import type { FailureLevel } from './negative-cache-rules.ts'
import { freshness, momentOf, remainingMs, servedForMs, type Freshness, type Moment } from './freshness.ts'
import type { Load } from './fair-queue.ts'

/** The cache in numbers. */
export interface CacheStatistics {
  readonly entries: number
  readonly maxEntries: number
  /** Fetches under way or waiting for their turn, one per key. */
  readonly fetching: number
  /** Exchanges under way, and places in the queue for one. */
  readonly load: Load
  /** Remembered failures, those whose time is over and that nobody has tried again included. */
  readonly failures: readonly FailureCount[]
  /** Entries pushed out by others since start. */
  readonly evictions: number
  /** Valid tokens whose last refresh failed and that were asked for since. */
  readonly atRisk: number
  /** Seconds until the first of those is no longer handed out. */
  readonly firstLossInSeconds: number | undefined
}

/** Remembered failures of one kind. */
export interface FailureCount {
  readonly level: FailureLevel
  readonly reason: string
  readonly count: number
}

/** What may be told of one cached token: never the token. */
export interface CacheEntry {
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  readonly state: Freshness
  /** The token's end, in milliseconds since 1970. */
  readonly endsAt: number
  /** Seconds until it is no longer handed out; 0 once expired. */
  readonly servedForSeconds: number
  /** Seconds until the next request for it starts a refresh; 0 when that is now. */
  readonly refreshInSeconds: number
  /** Refreshes in a row that failed or brought nothing newer. */
  readonly vainRefreshes: number
  readonly lastFailure: { readonly code: string; readonly reason: string; readonly at: number } | undefined
  /** As in the audit trail. */
  readonly fingerprint: string
  readonly traceId: string | undefined
  readonly correlationId: string | undefined
}

export interface EntryQuery {
  /** A tenant id in lower case; all tenants without. */
  readonly tenant?: string | undefined
  readonly limit: number
  /** The `next` of the page before. */
  readonly after?: number | undefined
}

export interface EntryPage {
  readonly entries: readonly CacheEntry[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: number | undefined
}

/** The cache as operators see it. */
export interface CacheView {
  readonly statistics: () => CacheStatistics
  /**
   * Entries in the order in which they were fetched. One that is refreshed between two pages moves to the end, so it may
   * be seen twice, and none that stays is missed. Passes over all keys before the page: for people and dashboards.
   */
  readonly page: (query: EntryQuery) => EntryPage
}

/** What a view looks at; the cache goes on owning it. */
export interface Viewed {
  readonly held: LRUCache<string, CachedToken>
  /** The keys that are held by their tokens' ids, in the order of these. */
  readonly order: ReadonlyMap<number, string>
  readonly fetching: () => number
  readonly load: () => Load
  readonly failures: () => Iterable<RememberedFailure>
  readonly atRisk: ReadonlySet<CachedToken>
  readonly evictions: () => number
  readonly clock: Clock
}

export function createCacheView({
  held,
  order,
  fetching,
  load,
  failures,
  atRisk,
  evictions,
  clock,
}: Viewed): CacheView {
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
    page: query => pageOf(held, order, query, momentOf(clock)),
  }
}

function countFailures(failures: Iterable<RememberedFailure>): readonly FailureCount[] {
  const counts = new Map<string, FailureCount>()
  for (const { level, error } of failures) {
    const key = `${level} ${error.reason}`
    counts.set(key, { level, reason: error.reason, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  return [...counts.values()]
}

/** One pass: in an outage all tokens may be at risk. */
function riskOf(tokens: Iterable<CachedToken>, moment: Moment): Pick<CacheStatistics, 'atRisk' | 'firstLossInSeconds'> {
  let atRisk = 0
  let first = Number.POSITIVE_INFINITY
  for (const token of tokens) {
    const left = servedForMs(token.life, moment)
    if (left <= 0) continue
    atRisk++
    first = Math.min(first, left)
  }
  return { atRisk, firstLossInSeconds: atRisk === 0 ? undefined : first / 1000 }
}

function pageOf(
  held: Viewed['held'],
  order: Viewed['order'],
  { tenant, limit, after = 0 }: EntryQuery,
  moment: Moment,
): EntryPage {
  const wanted = tenant === undefined ? '' : ` ${tenant} `
  const entries: CacheEntry[] = []
  let last: number | undefined
  for (const [id, key] of order) {
    if (id <= after || !key.includes(wanted)) continue
    // There is one more, so there is a next page.
    if (entries.length === limit) return { entries, next: last }
    const token = held.peek(key)
    if (token) entries.push(entryOf(key, token, moment))
    last = id
  }
  return { entries, next: undefined }
}

function entryOf(key: string, token: CachedToken, moment: Moment): CacheEntry {
  const remaining = remainingMs(token.life, moment)
  const state = freshness(token.life, remaining)
  const dueInMs = Math.max(remaining - token.life.dueBeforeEnd, token.refreshNotBefore - moment.monotonic)
  const { failure } = token
  return {
    ...placeOf(key),
    state,
    endsAt: token.life.endsAt,
    servedForSeconds: Math.max(0, Math.floor(servedForMs(token.life, moment) / 1000)),
    refreshInSeconds: state === 'expired' ? 0 : Math.max(0, Math.ceil(dueInMs / 1000)),
    vainRefreshes: token.vainRefreshes,
    lastFailure: failure && { code: failure.error.code, reason: failure.error.reason, at: failure.at },
    fingerprint: token.fingerprint,
    traceId: token.traceId,
    correlationId: token.correlationId,
  }
}
