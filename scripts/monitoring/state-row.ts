import { endsSoonDays } from '../../src/broker/policy/file/entries/api-keys.ts'
import { errorRatio, slowRatio } from './objectives.ts'
import { here, stat, table, unscraped, type Panel } from './panel.ts'
import { commonErrorShare, failingShare, tokenRequests } from './request-errors.ts'
import { clockOffset, clockOffsetSeconds } from './service-alerts.ts'
import { slowest, slowSeconds } from './token-alerts.ts'

const day = 86_400
const secondsUntil = (metric: string) => `min(${metric}{${here}}) - time()`

/** What the people on call look at first: whether callers get tokens, and what is wrong. */
export const stateRow: readonly Panel[] = [
  stat(
    'Token requests failing now',
    'percentunit',
    commonErrorShare('5m', here),
    'Share of the last five minutes that failed, and not because of the callers or of one tenant or agent identity: what TokenBrokerRequestErrorsHigh fires on.',
    { none: 'No requests', red: { from: failingShare } },
  ),
  stat(
    'Error codes now',
    'reqps',
    [[`topk(4, sum by (outcome) (rate(${tokenRequests(here, 'outcome!="issued"')}[5m])) > 0)`, '{{outcome}}']],
    'The most frequent error codes of the last five minutes, those of callers and tenants included. docs/errors.md has a section about each.',
    { none: 'None', width: 8 },
  ),
  stat('Ready replicas', 'short', `sum(token_broker_ready{${here}})`, 'Replicas that are ready.', {
    none: unscraped,
    red: { below: 1 },
  }),
  stat(
    'Tokens at risk',
    'short',
    `sum(token_broker_cache_entries_at_risk{${here}})`,
    'Valid tokens in use whose last refresh failed. Callers get them until they expire; afterwards they do not count here.',
    { none: unscraped, red: { from: 1 } },
  ),
  stat(
    'First token unusable in',
    's',
    `min(token_broker_cache_at_risk_usable_seconds{${here}} >= 0)`,
    'Time until the first token at risk becomes unusable.',
    { none: 'No token is at risk', red: { below: 300 } },
  ),
  stat(
    'Failing upstreams',
    'short',
    [[`count by (kind, name) (token_broker_upstream_healthy{${here}} == 0)`, '{{kind}} {{name}}']],
    'Upstreams whose last request failed, and in how many replicas.',
    { none: 'None', red: { from: 1 } },
  ),
  stat(
    'Latency of Entra now',
    's',
    `${slowest('le', here)} >= 0`,
    'One successful exchange in twenty took longer, in the last 15 minutes. Normal are 0.05 to 0.5 s.',
    { none: 'No exchange in 15 minutes', red: { from: slowSeconds } },
  ),
  stat(
    "Clock compared with Entra's",
    's',
    [[clockOffset('', here), '{{clock}}']],
    'How far the clock of the broker is ahead of that of Entra, or behind it, at the last exchange, in whole seconds.',
    { none: 'No exchange yet', red: { from: clockOffsetSeconds } },
  ),
  stat(
    'Redis now',
    'short',
    `min(token_broker_shared_available{${here}})`,
    'Whether Redis responds to every replica.',
    {
      none: 'Not configured',
      red: { below: 1 },
      words: { 0: 'Unavailable', 1: 'Responds' },
    },
  ),
  stat(
    'Policy file',
    'short',
    `max(token_broker_policy_refused{${here}})`,
    'Refused: the file is invalid or cannot be read, and the previous policy stays active. A new replica would not start with it.',
    { none: unscraped, red: { from: 1 }, words: { 0: 'Accepted', 1: 'Refused' } },
  ),
  stat(
    'Next expiry',
    'dtdurations',
    [
      [secondsUntil('token_broker_certificate_expiry_timestamp_seconds'), 'certificate'],
      [secondsUntil('token_broker_api_key_expiry_timestamp_seconds'), 'API key'],
    ],
    `Time until the first certificate and the first API key expire: orange below ${endsSoonDays} days, red below three.`,
    { none: 'No certificate, no API key', red: { below: 3 * day }, orange: endsSoonDays * day },
  ),
  table(
    'Firing alerts',
    'group by (alertname, severity, instance, kind, name, outcome, reason) (ALERTS{job="$job",alertname=~"TokenBroker.+",alertstate="firing"})',
    'docs/alerts.md says what each means and what to do. It needs the alerts of alerts/token-broker.rules.yaml.',
    { none: 'None, or the alerts are not installed' },
  ),
]

/** With fewer cached tokens in the hour, the share proves nothing: the first requests of a process are slow. */
const enough = 100
const cachedInAnHour = `sum by (job) (increase(token_broker_request_duration_seconds_count{${here},outcome="cached"}[1h]))`

/** What the objectives allow, over a longer time than an outage. */
export const objectivesRow: readonly Panel[] = [
  stat(
    'Errors of the broker itself',
    'percentunit',
    `${errorRatio('1h')}{job="$job"}`,
    'Share in the last hour, of `overloaded` and `internal_error` only: outages of Entra, of the identity and of issuers do not count. The objective allows 0.1 % over 30 days. It needs the recorded rules.',
    { none: 'No requests, or the rules are not installed', red: { from: 0.001 }, width: 6 },
  ),
  stat(
    'Slow cached tokens',
    'percentunit',
    `${slowRatio('1h')}{job="$job"} and on (job) ${cachedInAnHour} >= ${enough}`,
    `Share that took longer than 25 ms in the last hour, if that had at least ${enough} cached tokens. The objective allows 1 % over 30 days. It needs the recorded rules.`,
    { none: 'Too few cached tokens, or the rules are not installed', red: { from: 0.01 }, width: 6 },
  ),
]
