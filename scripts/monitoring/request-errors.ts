import type { Reason } from '../../src/errors.ts'
import { tokenEndpoints } from './alert.ts'

/** The code that has {@link misfiledReasons} too. */
const misconfiguredCode = 'federation_misconfigured'
const otherCommonErrors =
  'upstream_unavailable|identity_unavailable|issuer_unavailable|upstream_invalid|overloaded|internal_error'
/** Codes of errors for which neither the caller nor one tenant is the reason, as a pattern of the label `outcome`. */
export const commonErrors = `${otherCommonErrors}|${misconfiguredCode}`
/** Codes of errors for which one tenant, or what is requested of it, is the reason. */
export const tenantErrors = 'consent_required|upstream_rejected'

/** The reasons that concern one agent identity, and neither its blueprint nor the others. */
export const agentReasons = 'agent_identity|agent_assertion' satisfies `${Reason}|${Reason}`
/**
 * The reasons of exchanges for which one tenant, one agent identity or one request is the reason. Not `client`: a code that is
 * not known may concern every tenant.
 */
export const tenantReasons = `consent|request|unknown|cloud|${agentReasons}`

/** The {@link tenantReasons} of errors whose code is one of {@link commonErrors}. */
const misfiledReasons = `cloud|${agentReasons}`

/** Requests for tokens per second and job, within a window. */
export const requestRate = (window: string, ...matchers: readonly string[]): string =>
  `sum by (job) (rate(${tokenRequests(...matchers)}[${window}]))`

/** The series of the requests for tokens. */
export const tokenRequests = (...matchers: readonly string[]): string =>
  `token_broker_requests_total{${[...matchers, `endpoint=~"${tokenEndpoints}"`].join(',')}}`

/** The sum of rates that may be absent: 0 if all are, absent if `all` is. */
const sumOf = (rates: readonly string[], all: string): string =>
  `(${rates.map(rate => `(${rate} or 0 * ${all})`).join(' + ')})`

/** What is refused because of its caller does not count at all: anyone can send it, and could hide an outage behind it. */
const judged = (window: string, matchers: readonly string[]): string =>
  requestRate(window, ...matchers, `outcome=~"issued|${commonErrors}|${tenantErrors}"`)

/**
 * The rates of failures with {@link misfiledReasons}: those that the negative cache returned, and those of exchanges. No
 * counter of requests has the reason. Of the requests that wait for one exchange, this counts one.
 */
const misfiled = (window: string, matchers: readonly string[]): readonly string[] =>
  [
    ['token_broker_negative_cache_hits_total', 'reason'],
    ['token_broker_exchange_duration_seconds_count', 'outcome'],
  ].map(
    ([counter, label]) =>
      `sum by (job) (rate(${counter}{${[...matchers, `${label}=~"${misfiledReasons}"`].join(',')}}[${window}]))`,
  )

/**
 * The share of the requests for tokens that fail, and neither because of the caller nor of one tenant or agent identity, within
 * a window: 0 without an error, absent without a request.
 */
export function commonErrorShare(window: string, ...matchers: readonly string[]): string {
  const all = judged(window, matchers)
  const misconfigured = requestRate(window, ...matchers, `outcome="${misconfiguredCode}"`)
  // Only from that code: refreshes of such a tenant must not hide other errors.
  const others = misfiled(window, matchers).map(rate => ` - (${rate} or 0 * ${misconfigured})`)
  const failed = [
    requestRate(window, ...matchers, `outcome=~"${otherCommonErrors}"`),
    `clamp_min(${misconfigured}${others.join('')}, 0)`,
  ]
  return `${sumOf(failed, all)} / (${all} > 0)`
}

/** The rate of the requests for tokens that fail because of one tenant or agent identity: 0 without an error. */
export function tenantErrorRate(window: string, ...matchers: readonly string[]): string {
  const all = judged(window, matchers)
  const failed = [requestRate(window, ...matchers, `outcome=~"${tenantErrors}"`), ...misfiled(window, matchers)]
  return sumOf(failed, all)
}

/** The share of {@link tenantErrorRate}: absent without a request. */
export const tenantErrorShare = (window: string, ...matchers: readonly string[]): string =>
  `${tenantErrorRate(window, ...matchers)} / (${judged(window, matchers)} > 0)`

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
