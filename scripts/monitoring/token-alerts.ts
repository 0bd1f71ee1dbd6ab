import { anyWithinAnHour, type Alert } from './alert.ts'
import {
  agentReasons,
  commonErrors,
  commonErrorShare,
  failingShare,
  mostFrequent,
  mostFrequentError,
  tenantErrorRate,
  tenantErrors,
  tenantErrorShare,
  tenantReasons,
} from './request-errors.ts'

const atRiskUntil = 'time() + token_broker_cache_at_risk_usable_seconds'
const exchanges = 'token_broker_exchange_duration_seconds'
const identityFailures = 'token_broker_identity_fetch_duration_seconds_count{job="%s",outcome!="ok"}'

/** Seconds from which on Entra is slow, as on the page; exchanges normally take 0.05 to 0.5. */
export const slowSeconds = 1.5
/** What one successful exchange in twenty takes longer than, in seconds, by labels. NaN without an exchange. */
export const slowest = (labels: string, ...matchers: readonly string[]): string =>
  `histogram_quantile(0.95, sum by (${labels}) (rate(${exchanges}_bucket{${[...matchers, 'outcome="ok"'].join(',')}}[15m])))`

/** Alerts about tokens and what the broker needs to obtain them. */
export const tokenAlerts: readonly Alert[] = [
  {
    alert: 'TokenBrokerRequestErrorsHigh',
    // It also fires long after the last token expired, when no token is at risk and no refresh runs any more.
    expr: `${commonErrorShare('5m')} > ${failingShare}`,
    for: '2m',
    severity: 'critical',
    summary: `{{ $value | humanizePercentage }} of the token requests fail, and not because of the callers${mostFrequentError(commonErrors, '5m')}.`,
    description:
      'Look at `/health` for the failing upstream, and at the `token.failed` lines of the audit log for the reason and the remedy.',
  },
  {
    alert: 'TokenBrokerTenantErrorsHigh',
    expr: `${tenantErrorShare('15m')} > 0.1 and on (job) 900 * ${tenantErrorRate('15m')} >= 10`,
    severity: 'warning',
    summary: `{{ $value | humanizePercentage }} of the token requests fail because Entra refuses a tenant, an agent identity or what is requested of it${mostFrequentError(tenantErrors, '15m')}.`,
    description:
      'No metric has the tenant: `/cache/failures` lists the tenants with the codes of Entra and the remedy, and so do the `token.failed` lines of the audit log.',
  },
  {
    alert: 'TokenBrokerTokenExpiryImminent',
    expr: 'min by (job, instance) (min_over_time(token_broker_cache_at_risk_usable_seconds[5m])) < 300',
    severity: 'critical',
    summary: 'Callers of {{ $labels.instance }} lose a token in {{ $value | humanizeDuration }}: its refresh failed.',
    description:
      'Look at the `token.refresh_failed` lines of the audit log for the reason and the remedy. `/cache/entries` lists the tokens that failed to refresh.',
  },
  {
    alert: 'TokenBrokerTokensAtRisk',
    // Every attempt resets the gauges until the token is requested again, so they are read over ten minutes; but not of a token that has expired since.
    expr: `sum by (job) (max_over_time(token_broker_cache_entries_at_risk[10m]) and max_over_time((${atRiskUntil})[10m:30s]) > time()) > 0`,
    for: '5m',
    severity: 'warning',
    summary:
      'The refresh of tokens in use fails. Callers get each of them until it expires. Number of these tokens: {{ printf "%.0f" $value }}.',
    description:
      'Look at `/health` and at the `token.refresh_failed` lines of the audit log, and fix the cause before the tokens expire.',
  },
  {
    alert: 'TokenBrokerRefreshesFailing',
    expr: 'sum by (job) (increase(token_broker_cache_refreshes_total{outcome!~"replaced|not_yet"}[15m])) > 0',
    for: '15m',
    severity: 'warning',
    summary: 'Some token refreshes fail again and again: about {{ printf "%.0f" $value }} in 15 minutes.',
    description:
      'Others may succeed, and callers get cached tokens until these expire. Look at the `token.refresh_failed` lines of the audit log for the tenants, the reason and the remedy.',
  },
  {
    alert: 'TokenBrokerFederationMisconfigured',
    expr: 'sum by (job, outcome) (increase(token_broker_exchange_duration_seconds_count{outcome=~"federation|assertion"}[10m])) > 0',
    for: '5m',
    severity: 'critical',
    summary: "Entra does not accept the broker's client assertion ({{ $labels.outcome }}).",
    description:
      'Check the federated credential of the app registration. The `remedy` in the audit log names the value to change.',
  },
  {
    alert: 'TokenBrokerAgentIdentityRejected',
    expr: `sum by (job, outcome) (increase(token_broker_exchange_duration_seconds_count{outcome=~"${agentReasons}"}[10m])) > 0`,
    for: '5m',
    severity: 'warning',
    summary:
      'Entra does not accept the credential of at least one agent identity ({{ $labels.outcome }}). Its blueprint and the others are not affected.',
    description:
      'No metric has the agent identity: `/cache/failures` lists it with the remedy, and so do the `token.failed` lines of the audit log.',
  },
  {
    alert: 'TokenBrokerWrongTokenReceived',
    expr: `sum by (job, outcome) (${anyWithinAnHour('token_broker_exchange_duration_seconds_count{outcome=~"wrong_.+"}')})`,
    severity: 'critical',
    summary: 'Entra returned a token that does not match the request ({{ $labels.outcome }}); the broker discarded it.',
    description:
      'Check what is between the broker and Entra, such as a proxy: it may mix up responses. With `wrong_expiry`, compare the clock of this machine with the real time.',
  },
  {
    alert: 'TokenBrokerExchangeErrorsHigh',
    expr: `sum by (job) (rate(token_broker_exchange_duration_seconds_count{outcome!~"ok|${tenantReasons}"}[5m])) / sum by (job) (rate(token_broker_exchange_duration_seconds_count[5m])) > 0.2`,
    for: '5m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the exchanges with Entra failed in the last five minutes.',
    description: 'Look at `/health` for the last error of the authority, and at the status page of Entra.',
  },
  {
    alert: 'TokenBrokerExchangesSlow',
    // A few exchanges prove nothing: the first ones open connections.
    expr: `${slowest('job, le')} > ${slowSeconds} and on (job) 900 * sum by (job) (rate(${exchanges}_count{outcome="ok"}[15m])) >= 10`,
    for: '10m',
    severity: 'warning',
    summary: 'Exchanges with Entra are slow: one in twenty takes longer than {{ $value | humanizeDuration }}.',
    description:
      'Callers with a cached token notice nothing; others wait. Look at the network path to Entra, the proxy and the status page of Entra.',
  },
  {
    alert: 'TokenBrokerIdentityUnavailable',
    expr: 'min by (job, name) (token_broker_upstream_healthy{kind="identity"}) == 0',
    for: '5m',
    severity: 'critical',
    summary: `No token of the identity ({{ $labels.name }}) can be obtained, in at least one replica${mostFrequent('outcome', identityFailures, '15m', ', most often because of {{ . }}')}.`,
    description:
      'Without it there is no exchange: callers get cached tokens until these expire. `managed-identity` is the identity endpoint of the platform (`IDENTITY_ENDPOINT`), `workload-identity` the file of `AZURE_FEDERATED_TOKEN_FILE`. `/health` has the last error, and docs/errors.md#identity_unavailable what to do.',
  },
  {
    alert: 'TokenBrokerUpstreamDown',
    expr: 'min by (job, kind, name) (token_broker_upstream_healthy{kind!="identity"}) == 0',
    for: '10m',
    severity: 'warning',
    summary: 'No request to the {{ $labels.kind }} {{ $labels.name }} has succeeded for ten minutes.',
    description:
      'Its last request failed, in at least one replica. There may have been few requests, because failures are cached. `/health` has the last error.',
  },
  {
    alert: 'TokenBrokerCircuitOpen',
    expr: 'max by (job, instance) (token_broker_upstream_circuit_state{state="closed"}) == 0',
    for: '5m',
    severity: 'warning',
    summary:
      '{{ $labels.instance }} sends only single exchanges to Entra: its circuit breaker has not been closed for five minutes.',
    description:
      'Too many exchanges got no response, or 5xx. The broker tries one exchange in two seconds. Check the network path to Entra and the status page of Entra.',
  },
  {
    alert: 'TokenBrokerRedisUnavailable',
    expr: 'max by (job, instance) (token_broker_shared_available) == 0',
    for: '5m',
    severity: 'warning',
    summary: '{{ $labels.instance }} has had no response from Redis for five minutes.',
    description:
      'Callers still get tokens: each replica works by itself, with more exchanges. Look at the network path, the certificate and the credential of Redis.',
  },
]
