import { endsSoonDays } from '../../src/broker/policy/file/entries/api-keys.ts'
import { anyWithinAnHour, type Alert } from './alert.ts'

/** Seconds between the clock of the broker and that of Entra from which on it needs attention, as on the page. */
export const clockOffsetSeconds = 5

/**
 * How far the clock of the broker is from that of Entra, never negative: the label `clock` says `ahead` or `behind`.
 *
 * @param grouping of the replicas, such as ` by (job)`
 */
export const clockOffset = (grouping: string, matchers = ''): string => {
  const offset = `token_broker_upstream_clock_offset_seconds{${matchers}}`
  const ahead = `label_replace(max${grouping} (${offset}) >= 0, "clock", "ahead", "", "")`
  const behind = `label_replace(0 - min${grouping} (${offset}) > 0, "clock", "behind", "", "")`
  return `(${ahead} or ${behind})`
}

/** Alerts about the process, its load, its callers and its policy. */
export const serviceAlerts: readonly Alert[] = [
  {
    alert: 'TokenBrokerFairQueueLengthHigh',
    expr: 'max by (job, instance) (min_over_time(token_broker_fair_queue_length{queue="callers"}[5m])) > 10',
    severity: 'warning',
    summary:
      'The fair queue of {{ $labels.instance }} had at least {{ printf "%.0f" $value }} entries for five minutes.',
    description:
      'Check the latency of Entra (`token_broker_exchange_duration_seconds`). If it is normal, raise `BROKER_UPSTREAM_CONCURRENCY` or add replicas.',
  },
  {
    alert: 'TokenBrokerOverloaded',
    expr: 'sum by (job) (increase(token_broker_requests_total{outcome="overloaded"}[5m])) > 0',
    for: '5m',
    severity: 'critical',
    summary: 'The broker refuses requests because it is overloaded: about {{ printf "%.0f" $value }} in five minutes.',
    description:
      'Either a caller has used up its share of the queue for Entra (`token.failed` lines with the reason `queue`), or the event loop is late (no audit line; see `token_broker_event_loop_delay_max_seconds`). Add replicas or CPU, or raise `BROKER_UPSTREAM_CONCURRENCY`.',
  },
  {
    alert: 'TokenBrokerNegativeCacheHitsHigh',
    expr: 'sum by (job, reason) (increase(token_broker_negative_cache_hits_total[15m])) > 100',
    severity: 'warning',
    summary:
      'About {{ printf "%.0f" $value }} requests in 15 minutes were for tokens known to fail ({{ $labels.reason }}).',
    description:
      'Find the callers in the `token.failed` lines of the audit log. They ignore `Retry-After`, or request tokens for a tenant that has left, or Entra is out of order.',
  },
  {
    alert: 'TokenBrokerDown',
    expr: 'up{job="token-broker"} == 0',
    for: '2m',
    severity: 'critical',
    summary: '{{ $labels.instance }} cannot be scraped.',
    description: 'The process is down, or the scraper has lost its permission `observe`.',
  },
  {
    alert: 'TokenBrokerAbsent',
    // A target that discovery does not list any more has no series, so `up == 0` is never true of it.
    expr: 'absent(up{job="token-broker"} == 1)',
    for: '5m',
    severity: 'critical',
    summary: 'Prometheus has scraped no replica of the broker for five minutes.',
    description:
      'No replica is running, discovery does not list them, or every scrape fails. Until it ends, no other alert of the broker says anything.',
  },
  {
    alert: 'TokenBrokerNotReady',
    expr: 'token_broker_ready == 0',
    for: '5m',
    severity: 'critical',
    summary: '{{ $labels.instance }} has not been ready for five minutes.',
    description:
      "It could not obtain an identity token or an issuer's keys since it started, or it is stuck draining. The log lines `not ready yet` say what is missing.",
  },
  {
    alert: 'TokenBrokerInternalErrors',
    expr: `sum by (job, endpoint) (${anyWithinAnHour('token_broker_requests_total{outcome="internal_error"}')})`,
    severity: 'warning',
    summary: 'Internal error at endpoint {{ $labels.endpoint }}.',
    description: 'This is a bug. Report it with the stack from the log line `request failed unexpectedly`.',
  },
  {
    alert: 'TokenBrokerEventLoopDelayHigh',
    expr: 'max by (job, instance) (token_broker_event_loop_delay_p99_seconds) > 0.1',
    for: '10m',
    severity: 'warning',
    summary: '{{ $labels.instance }} responds late: its event loop delay is {{ $value | humanizeDuration }}.',
    description: 'Give it more CPU, or add replicas.',
  },
  {
    alert: 'TokenBrokerClockOffsetHigh',
    expr: `${clockOffset(' by (job, instance)')} >= ${clockOffsetSeconds}`,
    for: '5m',
    severity: 'warning',
    summary:
      'The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} {{ $labels.clock }}{{ if eq $labels.clock "ahead" }} of{{ end }} that of Entra.',
    description:
      "Correct the time synchronisation (NTP) of the host. From 30 seconds on, the broker refuses tokens of its callers: as expired before their time if its clock is ahead, new ones as not yet valid if it is behind. From five minutes on, it also refuses Entra's tokens (`wrong_expiry`).",
  },
  {
    alert: 'TokenBrokerLimitedRequestsHigh',
    expr: 'sum by (job, limit) (increase(token_broker_limited_requests_total[15m])) > 20',
    severity: 'warning',
    summary:
      'A limit of the policy ({{ $labels.limit }}) refused about {{ printf "%.0f" $value }} requests in 15 minutes.',
    description:
      'Find the caller in the `token.failed` lines of the audit log with the outcome `rate_limited`. Either it does not keep its tokens, or the limit is too low.',
  },
  {
    alert: 'TokenBrokerDenialsHigh',
    expr: 'sum by (job, endpoint, reason) (increase(token_broker_denials_total[15m])) > 20',
    severity: 'warning',
    summary:
      'The policy denied about {{ printf "%.0f" $value }} requests at {{ $labels.endpoint }} in 15 minutes ({{ $labels.reason }}).',
    description:
      'Find the caller in the `token.denied` and `operation.denied` lines of the audit log. Either it probes for access, or the policy lacks a rule.',
  },
  {
    alert: 'TokenBrokerInvalidSignaturesHigh',
    expr: 'sum by (job, issuer) (increase(token_broker_caller_verifications_total{outcome=~"signature|algorithm|key"}[15m])) > 20',
    severity: 'warning',
    summary: 'About {{ printf "%.0f" $value }} credentials had an invalid signature, key or algorithm in 15 minutes.',
    description:
      'Find the address in the `caller.refused` lines of the audit log. Either someone sends forged tokens, or an issuer signs with keys that it does not publish.',
  },
  {
    alert: 'TokenBrokerPolicyInvalid',
    expr: 'max by (job, instance) (token_broker_policy_refused) == 1',
    for: '1m',
    severity: 'critical',
    summary: 'The policy file of {{ $labels.instance }} is invalid; an older policy is active.',
    description:
      'Do not restart or scale the broker before the file is fixed: a new replica would not start. `/health` and the `policy.refused` line of the audit log list the errors.',
  },
  {
    alert: 'TokenBrokerApiKeyExpiringSoon',
    expr: `min by (job, key) (token_broker_api_key_expiry_timestamp_seconds) - time() < ${endsSoonDays} * 86400`,
    severity: 'warning',
    summary: 'The API key {{ $labels.key }} expires in {{ $value | humanizeDuration }}.',
    description: 'Create a new key with `token-broker key new`, add it to the policy and give it to the caller.',
  },
  {
    alert: 'TokenBrokerCertificateExpiringSoon',
    expr: `min by (job, kind, name) (token_broker_certificate_expiry_timestamp_seconds) - time() < ${endsSoonDays} * 86400`,
    severity: 'warning',
    summary:
      'The certificate {{ $labels.name }} in {{ if eq $labels.kind "tls" }}TLS_CERT_FILE{{ else }}TLS_CLIENT_CA_FILE{{ end }} expires in {{ $value | humanizeDuration }}.',
    description: 'Write the new certificate to that file. The broker reads a changed file without a restart.',
  },
  {
    alert: 'TokenBrokerPolicyVersionsDiffer',
    expr: 'count by (job) (count by (job, sha256) (token_broker_policy_info)) > 1',
    for: '15m',
    severity: 'warning',
    summary: 'The replicas have {{ printf "%.0f" $value }} different versions of the policy active.',
    description:
      'Compare `token_broker_policy_info` of the replicas, and check that the new file has reached each of them.',
  },
]
