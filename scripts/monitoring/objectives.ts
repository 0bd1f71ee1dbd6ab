import { shareOf, type Alert } from './alert.ts'
import { requestRate } from './request-errors.ts'

/** A rule that records a query as a series of its own. */
export interface Recording {
  readonly record: string
  readonly expr: string
}

/** A service-level objective: the share of events that must be good over 30 days. */
interface Objective {
  /** The share, below 1. */
  readonly share: number
  /** The recorded share of bad events is named after it. */
  readonly record: string
  /** PromQL of that share within a window: 0 without a bad event, absent without an event. */
  readonly badShare: (window: string) => string
}

const perJob = (series: string, window: string) => `sum by (job) (rate(${series}[${window}]))`

/**
 * Of the requests that the broker issued a token for, or refused only because of itself (`internal_error`, `overloaded`),
 * this share is issued. Errors of callers, of Entra, of the identity endpoint and of issuers do not count: other alerts
 * report them.
 */
const availability: Objective = {
  share: 0.999,
  record: 'availability_errors',
  badShare: window =>
    shareOf(
      requestRate(window, 'outcome=~"internal_error|overloaded"'),
      requestRate(window, 'outcome=~"issued|internal_error|overloaded"'),
    ),
}

/** Seconds within which a cached token must be issued: a bound of a bucket of the histogram. */
export const fastSeconds = 0.025

/** Of the requests for which the token was cached, this share has a response within {@link fastSeconds}. */
const latency: Objective = {
  share: 0.99,
  record: 'slow_cached_tokens',
  badShare: window => {
    const durations = (suffix: string, more = '') =>
      perJob(`token_broker_request_duration_seconds_${suffix}{outcome="cached"${more}}`, window)
    return `1 - ${durations('bucket', `,le="${fastSeconds}"`)} / (${durations('count')} > 0)`
  },
}

const recordOf =
  ({ record }: Objective) =>
  (window: string) =>
    `token_broker:${record}:ratio_rate${window}`

/** The name of the recorded share of requests that failed because of the broker itself, within a window. */
export const errorRatio = recordOf(availability)
/** The name of the recorded share of cached tokens that were issued too late, within a window. */
export const slowRatio = recordOf(latency)

/** The share of bad events of each objective, for each window of a burn-rate alert. */
export const recordings: readonly Recording[] = [availability, latency].flatMap(objective =>
  ['5m', '30m', '1h', '6h'].map(window => ({ record: recordOf(objective)(window), expr: objective.badShare(window) })),
)

/** How many times faster than the objective allows bad events must come, in both windows. */
const burnRate = (objective: Objective, short: string, long: string, factor: number): string => {
  const limit = `${factor} * ${Number((1 - objective.share).toFixed(6))}`
  return `${recordOf(objective)(short)} > ${limit} and ${recordOf(objective)(long)} > ${limit}`
}

/** The windows, factors and waiting times of https://sre.google/workbook/alerting-on-slos/. */
const fast = (objective: Objective) =>
  ({ expr: burnRate(objective, '5m', '1h', 14.4), for: '2m', severity: 'critical' }) as const
const slow = (objective: Objective) =>
  ({ expr: burnRate(objective, '30m', '6h', 6), for: '15m', severity: 'warning' }) as const

/** The alerts of the objectives. */
export const objectiveAlerts: readonly Alert[] = [
  {
    alert: 'TokenBrokerAvailabilityBurnsFast',
    ...fast(availability),
    summary: '{{ $value | humanizePercentage }} of the requests fail because of the broker itself.',
    description:
      'At this rate, the errors that the objective allows in 30 days are used up in about two days. Look at `overloaded` and `internal_error` in `token_broker_requests_total`.',
  },
  {
    alert: 'TokenBrokerAvailabilityBurnsSlowly',
    ...slow(availability),
    summary: '{{ $value | humanizePercentage }} of the requests have failed for hours because of the broker itself.',
    description:
      'At this rate, the errors that the objective allows in 30 days are used up in about five days. Look at `overloaded` and `internal_error` in `token_broker_requests_total`.',
  },
  {
    alert: 'TokenBrokerLatencyBurnsFast',
    ...fast(latency),
    summary: '{{ $value | humanizePercentage }} of the cached tokens take longer than 25 ms.',
    description:
      'At this rate, the slow responses that the objective allows in 30 days are used up in about two days. Look at the CPU and the event loop delay of each replica, and at how long the keys of issuers take.',
  },
  {
    alert: 'TokenBrokerLatencyBurnsSlowly',
    ...slow(latency),
    summary: '{{ $value | humanizePercentage }} of the cached tokens have taken longer than 25 ms for hours.',
    description:
      'At this rate, the slow responses that the objective allows in 30 days are used up in about five days. Look at the CPU and the event loop delay of each replica, and at how long the keys of issuers take.',
  },
]
