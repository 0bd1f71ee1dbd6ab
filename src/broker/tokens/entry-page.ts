import type { CachedToken } from './cached-token.ts'
import { freshness, remainingMs, usableMs, type Freshness, type Moment } from './freshness.ts'
import type { TokenStore } from './token-store.ts'

/** Metadata of one cached token, never the token itself. */
export interface CacheEntry {
  readonly clientId: string
  /** Of the agent identity whose token it is. */
  readonly agentId: string | undefined
  readonly tenant: string
  readonly scope: string
  readonly state: Freshness
  /** The token's end, in milliseconds since 1970. */
  readonly endsAt: number
  /** Seconds for which the broker still serves it; 0 once it does not. */
  readonly usableSeconds: number
  /** Seconds until the next request for it starts a refresh; 0 when that is now. */
  readonly refreshInSeconds: number
  /** Whether it is still served, and was requested after its last refresh failed. */
  readonly isAtRisk: boolean
  /** Consecutive refreshes that failed or returned no token that lives longer. */
  readonly failedRefreshes: number
  readonly lastFailure: { readonly code: string; readonly reason: string; readonly at: number } | undefined
  /** As in the audit log. */
  readonly fingerprint: string
  readonly traceId: string | undefined
  readonly correlationId: string | undefined
}

/** States by which entries are listed: that of the token, or that it is at risk, whatever its state. */
export type ListedState = Freshness | 'at_risk'

/** Orders of entries: as they were fetched, the oldest first; or by their end, the first to end first. */
export type EntryOrder = 'fetched' | 'expires_on'

/** Where a page begins: behind an entry. */
export interface EntryPosition {
  readonly id: number
  /** When its token ends, in milliseconds since 1970. Used if entries are sorted by their end. */
  readonly endsAt: number
}

/** Which cached tokens to list. */
export interface EntryQuery {
  /** A tenant id in lower case; absent: all tenants. */
  readonly tenant?: string | undefined
  /** The client id of an agent identity, in lower case; absent: all tokens. */
  readonly agentId?: string | undefined
  readonly state?: ListedState | undefined
  /** Absent: as they were fetched. */
  readonly sort?: EntryOrder
  readonly limit: number
  /** {@link EntryPage.next} of the page before; absent: from the start. */
  readonly after?: EntryPosition | undefined
}

/** One page of cached tokens. */
export interface EntryPage {
  readonly entries: readonly CacheEntry[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: EntryPosition | undefined
}

/** The tokens of which a page is made. */
type ListedTokens = Pick<TokenStore, 'byId' | 'atRisk'>

/**
 * Lists cached tokens. An entry that is refreshed between two pages moves to the end, so it may be listed twice. No entry
 * that stays in the cache is missed. Iterates over all entries: for people and dashboards, not for hot paths.
 */
export function entryPage(tokens: ListedTokens, query: EntryQuery, moment: Moment): EntryPage {
  const { limit, sort } = query
  const matching = matchingTokens(tokens, query, moment)
  // One more than the page: then there is a next page.
  const found = sort === 'expires_on' ? firstToEnd(matching, limit + 1) : [...matching.take(limit + 1)]
  const page = found.slice(0, limit)
  const last = page.at(-1)
  return {
    entries: page.map(token => entryOf(token, tokens, moment)),
    next: found.length > limit && last ? { id: last.id, endsAt: endOf(last) } : undefined,
  }
}

/** In the order in which they were fetched. */
function* matchingTokens(
  { byId, atRisk }: ListedTokens,
  { tenant, agentId, state, sort, after }: EntryQuery,
  moment: Moment,
): Generator<CachedToken, void> {
  for (const token of byId.values()) {
    if (tenant !== undefined && token.tenant !== tenant) continue
    if (agentId !== undefined && token.agentId !== agentId) continue
    if (after && !(sort === 'expires_on' ? endsAfter(token, after) : token.id > after.id)) continue
    if (state === undefined || hasState(token, state, atRisk, moment)) yield token
  }
}

function hasState(token: CachedToken, state: ListedState, atRisk: TokenStore['atRisk'], moment: Moment): boolean {
  if (state === 'at_risk') return atRisk.has(token) && usableMs(token.life, moment) > 0
  return freshness(token.life, remainingMs(token.life, moment)) === state
}

/** Whole milliseconds, so that a cursor can say it exactly. */
const endOf = ({ life }: CachedToken): number => Math.floor(life.endsAt)

/** Whether a token comes after a position, by its end; of tokens that end together, in the order of their ids. */
function endsAfter(token: CachedToken, { id, endsAt }: EntryPosition): boolean {
  const end = endOf(token)
  return end === endsAt ? token.id > id : end > endsAt
}

/** Where a token belongs in a sorted list, by bisection. */
function indexFor(sorted: readonly CachedToken[], position: EntryPosition): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const token = sorted[middle]
    if (token && endsAfter(token, position)) high = middle
    else low = middle + 1
  }
  return low
}

/** The first tokens to end, in that order. Keeps no more than `count`, so that a large cache is not sorted for one page. */
function firstToEnd(tokens: Iterable<CachedToken>, count: number): readonly CachedToken[] {
  const first: CachedToken[] = []
  for (const token of tokens) {
    const position = { id: token.id, endsAt: endOf(token) }
    const last = first.at(-1)
    if (first.length === count) {
      if (last && !endsAfter(last, position)) continue
      first.pop()
    }
    first.splice(indexFor(first, position), 0, token)
  }
  return first
}

function entryOf(token: CachedToken, { atRisk }: ListedTokens, moment: Moment): CacheEntry {
  const remaining = remainingMs(token.life, moment)
  const state = freshness(token.life, remaining)
  const dueInMs = Math.max(remaining - token.life.dueBeforeEnd, token.refreshNotBefore - moment.monotonic)
  const usable = usableMs(token.life, moment)
  const { failure } = token
  return {
    clientId: token.clientId,
    agentId: token.agentId,
    tenant: token.tenant,
    scope: token.scope,
    state,
    endsAt: token.life.endsAt,
    usableSeconds: Math.max(0, Math.floor(usable / 1000)),
    refreshInSeconds: state === 'expired' ? 0 : Math.max(0, Math.ceil(dueInMs / 1000)),
    isAtRisk: usable > 0 && atRisk.has(token),
    failedRefreshes: token.failedRefreshes,
    lastFailure: failure && { code: failure.error.code, reason: failure.error.reason, at: failure.at },
    fingerprint: token.fingerprint,
    traceId: token.traceId,
    correlationId: token.correlationId,
  }
}
