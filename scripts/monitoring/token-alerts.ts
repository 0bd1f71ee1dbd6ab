import { anyWithinAnHour, tokenEndpoints, type Alert } from './alert.ts'

const requests = `token_broker_requests_total{endpoint=~"${tokenEndpoints}"`
const notOfCallers =
  'upstream_unavailable|identity_unavailable|issuer_unavailable|federation_misconfigured|upstream_invalid|overloaded|internal_error'

/** Seconds that exchanges take from which on Entra is slow, as on the page. 0.1 to 0.5 s is usual. */
export const slowSeconds = 1.5

/** Alerts about tokens and what the broker needs to obtain them. */
export const tokenAlerts: readonly Alert[] = [
  {
    alert: 'TokenBrokerRequestErrorsHigh',
    // It also fires long after the last token expired, when no token is at risk and no refresh runs any more.
    expr: `sum by (job) (rate(${requests},outcome=~"${notOfCallers}"}[5m])) > 0.05 * sum by (job) (rate(${requests}}[5m]))`,
    for: '2m',
    severity: 'critical',
    summary: 'More than 5 % of the token requests fail, and not because of the callers.',
    description:
      'Look at `/health` for the failing upstream, and at the `token.failed` lines of the audit log for the reason and the remedy.',
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
    expr: 'sum by (job) (max_over_time(token_broker_cache_entries_at_risk[10m])) > 0',
    for: '5m',
    severity: 'warning',
    summary:
      'The refresh of tokens in use failed. Callers still get them. Number of these tokens: {{ printf "%.0f" $value }}.',
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
    alert: 'TokenBrokerWrongTokenReceived',
    expr: `sum by (job, outcome) (${anyWithinAnHour('token_broker_exchange_duration_seconds_count{outcome=~"wrong_.+"}')})`,
    severity: 'critical',
    summary: 'Entra returned a token that does not match the request ({{ $labels.outcome }}); the broker discarded it.',
    description:
      'Check what is between the broker and Entra, such as a proxy: it may mix up responses. With `wrong_expiry`, compare the clock of this machine with the real time.',
  },
  {
    alert: 'TokenBrokerExchangeErrorsHigh',
    expr: 'sum by (job) (rate(token_broker_exchange_duration_seconds_count{outcome!~"ok|consent|request|unknown|cloud"}[5m])) / sum by (job) (rate(token_broker_exchange_duration_seconds_count[5m])) > 0.2',
    for: '5m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the exchanges with Entra failed in the last five minutes.',
    description: 'Look at `/health` for the last error of the authority, and at the status page of Entra.',
  },
  {
    alert: 'TokenBrokerExchangesSlow',
    expr: `histogram_quantile(0.95, sum by (job, le) (rate(token_broker_exchange_duration_seconds_bucket{outcome="ok"}[15m]))) > ${slowSeconds}`,
    for: '10m',
    severity: 'warning',
    summary: 'Exchanges with Entra are slow: one in twenty takes longer than {{ $value | humanizeDuration }}.',
    description:
      'Callers with a cached token notice nothing; others wait. Look at the network path to Entra, the proxy and the status page of Entra.',
  },
  {
    alert: 'TokenBrokerUpstreamDown',
    expr: 'min by (job, kind, name) (token_broker_upstream_healthy) == 0',
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
