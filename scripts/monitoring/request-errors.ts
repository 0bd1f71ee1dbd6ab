import type { Reason } from '../../src/errors.ts'
import { shareOf, tokenEndpoints } from './alert.ts'

/** Codes of errors for which neither the caller nor one tenant is the reason, as a pattern of the label `outcome`. */
export const commonErrors =
  'upstream_unavailable|identity_unavailable|issuer_unavailable|federation_misconfigured|upstream_invalid|overloaded|internal_error'
/** Codes of errors for which one tenant, or what is requested of it, is the reason. */
export const tenantErrors = 'consent_required|upstream_rejected'

/** The reasons that concern one agent identity, and neither its blueprint nor the others. */
export const agentReasons = 'agent_identity|agent_assertion' satisfies `${Reason}|${Reason}`
/**
 * The reasons of exchanges for which one tenant, one agent identity or one request is the reason. Not `client`: a code that is
 * not known may concern every tenant.
 */
export const tenantReasons = `consent|request|unknown|cloud|${agentReasons}`

/** Requests for tokens per second and job, within a window. */
export const requestRate = (window: string, ...matchers: readonly string[]): string =>
  `sum by (job) (rate(${tokenRequests(...matchers)}[${window}]))`

/** The series of the requests for tokens. */
export const tokenRequests = (...matchers: readonly string[]): string =>
  `token_broker_requests_total{${[...matchers, `endpoint=~"${tokenEndpoints}"`].join(',')}}`

/**
 * The share of the requests for tokens that fail with one of the codes, within a window: 0 without an error, absent without a
 * request. Requests that were refused because of their caller (401, 403, 429 and other 4xx) do not count at all: anyone can
 * send them, and could hide an outage behind them.
 */
export const errorShare = (codes: string, window: string, ...matchers: readonly string[]): string =>
  shareOf(
    requestRate(window, ...matchers, `outcome=~"${codes}"`),
    requestRate(window, ...matchers, `outcome=~"issued|${commonErrors}|${tenantErrors}"`),
  )

/** The share from which on {@link commonErrors} are an alert, and the panel is red. */
export const failingShare = 0.05

/**
 * What Prometheus writes into a text: the label of the series with the highest rate, within a text; nothing if
 * no series has a rate.
 *
 * @param series a counter with the matcher `job="%s"`, which becomes the alert's own job
 * @param text has `{{ . }}` for the value of the label
 */
export const mostFrequent = (label: string, series: string, window: string, text: string): string =>
  `{{ with printf \`topk(1, sum by (${label}) (rate(${series}[${window}])) > 0)\` $labels.job | query }}` +
  `{{ with first . | label "${label}" }}${text}{{ end }}{{ end }}`

/** The most frequent of some error codes, with the section of docs/errors.md about it. */
export const mostFrequentError = (codes: string, window: string): string =>
  mostFrequent(
    'outcome',
    tokenRequests('job="%s"', `outcome=~"${codes}"`),
    window,
    ', most often with {{ . }} (docs/errors.md#{{ . }})',
  )
