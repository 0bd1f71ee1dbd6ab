/** One alert of `alerts/token-broker.rules.yaml`. `docs/alerts.md` has a section for each, and a test compares them. */
export interface Alert {
  readonly alert: string
  /** PromQL. */
  readonly expr: string
  /** How long the expression must be true, such as `5m`. Without it, the alert fires at once. */
  readonly for?: string
  readonly severity: 'critical' | 'warning'
  /** One sentence. It may contain labels and the value, in the notation of Prometheus. */
  readonly summary: string
  /** What to look at first. Without labels and values. */
  readonly description: string
}

/** Series of a counter that rose within an hour, or that began within it: `increase` misses a series' first event. */
export const anyWithinAnHour = (series: string): string =>
  `increase(${series}[1h]) > 0 or (${series} unless ${series} offset 1h)`

/** The endpoints that issue tokens, as a pattern of the label `endpoint`. */
export const tokenEndpoints = 'tokens|oauth_token|entra_token|entra_v1_token|identity'

/** The share of events that are bad, of two sums: 0 without a bad event, absent without an event. */
export const shareOf = (bad: string, all: string): string => `(${bad} or 0 * ${all}) / (${all} > 0)`
