/**
 * What the broker counts of its work, with the labels by which it does. They are the metrics of the same names, such as
 * `token_broker_requests_total`.
 */
export const counterLabels = {
  /** Requests: `issued`, `ok`, or the error code. */
  requests: ['endpoint', 'outcome'],
  /** Requests by class of the response, and their duration. */
  durations: ['endpoint', 'outcome'],
  /** Authenticated requests that the policy denied. */
  denials: ['endpoint', 'reason'],
  /** Requests refused because of a limit of the policy. */
  limited_requests: ['limit'],
  /** Tokens issued to callers, by how the cache got them. */
  cache_requests: ['result'],
  /** Background refreshes. */
  cache_refreshes: ['outcome'],
  /** Requests that failed from the negative cache. */
  negative_cache_hits: ['reason'],
  /** Exchanges with Entra, and their duration. */
  exchanges: ['outcome'],
  /** Fetches of the managed identity's token, and their duration. */
  identity_fetches: ['outcome'],
  /** Look-ups in the second level, and their duration. */
  shared_lookups: ['outcome'],
  /** Tokens written to the second level. */
  shared_stores: ['outcome'],
  /** Fetches by what they did about the lease of their key. */
  shared_leases: ['outcome'],
  /** Connections dropped because a listener had too many. */
  dropped_connections: ['reason'],
} as const satisfies Readonly<Record<string, readonly string[]>>

/** The name of a counter. */
export type CounterName = keyof typeof counterLabels

/** The counters whose events have a duration. */
export const timedCounters = [
  'durations',
  'exchanges',
  'identity_fetches',
  'shared_lookups',
] as const satisfies CounterName[]

/** How often one combination of label values was counted since the start. */
export interface CounterSeries {
  readonly labels: Readonly<Record<string, string | number | undefined>>
  readonly count: number
  /** The sum of the durations, of {@link timedCounters} only. */
  readonly seconds?: number
}

/**
 * All counters. A combination that was never counted may be absent. The values come from the source code, so their number
 * does not depend on callers.
 */
export type Counters = ReadonlyMap<CounterName, readonly CounterSeries[]>
