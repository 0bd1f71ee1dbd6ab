import { endsSoonDays } from '../../src/broker/policy/file/api-key-entries.ts'
import { tokenEndpoints } from './alert.ts'
import { errorRatio, slowRatio } from './objectives.ts'
import { here, quantile, rate, stat, type Panel } from './panel.ts'
import { clockOffsetSeconds } from './service-alerts.ts'
import { slowSeconds } from './token-alerts.ts'

/** Requests at the endpoints that issue tokens. */
const ofTokens = (more = '') => `token_broker_requests_total{${here},endpoint=~"${tokenEndpoints}"${more}}`

/** The row that says at a glance whether something is wrong. */
export const stateRow: readonly Panel[] = [
  stat('Ready replicas', 'short', `sum(token_broker_ready{${here}})`, 'Replicas that are ready.', { below: 1 }),
  stat(
    'Firing alerts',
    'short',
    'count(ALERTS{job="$job",alertname=~"TokenBroker.+",alertstate="firing"}) or vector(0)',
    'docs/alerts.md says what to do about each.',
    { from: 1 },
  ),
  stat(
    'Tokens at risk',
    'short',
    `sum(token_broker_cache_entries_at_risk{${here}})`,
    'Tokens in use whose last refresh failed.',
    { from: 1 },
  ),
  stat(
    'First token unusable in',
    's',
    `min(token_broker_cache_at_risk_usable_seconds{${here}})`,
    'Time until the first token at risk becomes unusable. No value while no token is at risk.',
    { below: 300 },
  ),
  stat(
    'Failing upstreams',
    'short',
    `count(token_broker_upstream_healthy{${here}} == 0) or vector(0)`,
    'Upstreams whose last request failed, in all replicas.',
    { from: 1 },
  ),
  stat(
    'Clock offset from Entra',
    's',
    `max(abs(token_broker_upstream_clock_offset_seconds{${here}}))`,
    'Difference between the clock of the broker and that of Entra, at the last exchange.',
    { from: clockOffsetSeconds },
  ),
  stat(
    'Failed token requests',
    'percentunit',
    `(sum(${rate(ofTokens(',outcome!~"ok|issued"'))}) or vector(0)) / (sum(${rate(ofTokens())}) > 0)`,
    'Share of the requests for tokens, whatever the reason: the panel "Failed requests" shows it.',
    { from: 0.05 },
  ),
  stat(
    'Latency of Entra, 95 %',
    's',
    quantile(0.95, 'token_broker_exchange_duration_seconds'),
    'Of the last successful exchanges. 0.1 to 0.5 s is usual.',
    { from: slowSeconds },
  ),
  stat(
    'Policy files refused',
    'short',
    `sum(token_broker_policy_refused{${here}})`,
    'Replicas whose policy file is invalid: an older policy is active.',
    { from: 1 },
  ),
  stat(
    'First key or certificate expires in',
    's',
    `min(token_broker_certificate_expiry_timestamp_seconds{${here}} or token_broker_api_key_expiry_timestamp_seconds{${here}}) - time()`,
    'Of API keys and certificates. No value if there are none.',
    { below: endsSoonDays * 86_400 },
  ),
  stat(
    'Errors of the broker itself',
    'percentunit',
    `${errorRatio('1h')}{job="$job"}`,
    'Share in the last hour. The objective allows 0.1 % over 30 days. It needs the recorded rules.',
    { from: 0.001 },
  ),
  stat(
    'Slow cached tokens',
    'percentunit',
    `${slowRatio('1h')}{job="$job"}`,
    'Share that took longer than 25 ms in the last hour. The objective allows 1 % over 30 days. It needs the recorded rules.',
    { from: 0.01 },
  ),
]
