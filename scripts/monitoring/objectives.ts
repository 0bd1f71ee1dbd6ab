import { tokenEndpoints, type Alert } from './alert.ts'

/** A rule that records a query as a series of its own. */
export interface Recording {
  readonly record: string
  readonly expr: string
}

/**
 * The objective of availability: of the requests that the broker issued a token for, or refused only because of itself
 * (`internal_error`, `overloaded`), this share is issued, over 30 days. Errors of callers, of Entra, of the identity
 * endpoint and of issuers do not count: other alerts report them.
 */
export const availabilityObjective = 0.999

const ofTokens = (outcomes: string) =>
  `token_broker_requests_total{endpoint=~"${tokenEndpoints}",outcome=~"${outcomes}"}`

/** The name of the recorded share of errors within a window. */
export const errorRatio = (window: string): string => `token_broker:availability_errors:ratio_rate${window}`

/** The share of errors for each window of a burn-rate alert. It is 0 without an error, and absent without a request. */
export const recordings: readonly Recording[] = ['5m', '30m', '1h', '6h'].map(window => {
  const all = `sum by (job) (rate(${ofTokens('issued|internal_error|overloaded')}[${window}]))`
  const bad = `sum by (job) (rate(${ofTokens('internal_error|overloaded')}[${window}]))`
  return { record: errorRatio(window), expr: `(${bad} or 0 * ${all}) / (${all} > 0)` }
})

/** How many times faster than the objective allows the errors must come, in both windows. */
const burnRate = (short: string, long: string, factor: number): string => {
  const limit = `${factor} * ${Number((1 - availabilityObjective).toFixed(6))}`
  return `${errorRatio(short)} > ${limit} and ${errorRatio(long)} > ${limit}`
}

/** The alerts of the objectives, with the factors of https://sre.google/workbook/alerting-on-slos/. */
export const objectiveAlerts: readonly Alert[] = [
  {
    alert: 'TokenBrokerAvailabilityBurnsFast',
    expr: burnRate('5m', '1h', 14.4),
    for: '2m',
    severity: 'critical',
    summary: '{{ $value | humanizePercentage }} of the requests fail because of the broker itself.',
    description:
      'At this rate, the errors that the objective allows in 30 days are used up in about two days. Look at `overloaded` and `internal_error` in `token_broker_requests_total`.',
  },
  {
    alert: 'TokenBrokerAvailabilityBurnsSlowly',
    expr: burnRate('30m', '6h', 6),
    for: '15m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the requests have failed for hours because of the broker itself.',
    description:
      'At this rate, the errors that the objective allows in 30 days are used up in about five days. Look at `overloaded` and `internal_error` in `token_broker_requests_total`.',
  },
]
