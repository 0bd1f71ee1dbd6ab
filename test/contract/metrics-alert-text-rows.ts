import { from } from './metrics-alert-rows.ts'

/** What an operator reads of an alert that fires. */
interface TextRow {
  readonly alert: string
  /** One sample a minute for an hour. */
  readonly series: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly summary: string
}

/** One request in thirty fails because of the broker itself. */
const oneInThirty = {
  [`token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`]: '0+29x60',
  [`token_broker_requests_total{${from},endpoint="identity",outcome="overloaded"}`]: '0+1x60',
}

/** One cached token in four is slow. */
const slow = {
  [`token_broker_request_duration_seconds_count{${from},endpoint="tokens",outcome="cached"}`]: '0+40x60',
  [`token_broker_request_duration_seconds_bucket{${from},endpoint="tokens",outcome="cached",le="0.025"}`]: '0+30x60',
}

/** Values between whole numbers, as `increase` computes them, or large ones: what an operator reads. */
export const textRows: readonly TextRow[] = [
  {
    alert: 'TokenBrokerRequestErrorsHigh',
    series: {
      [`token_broker_requests_total{${from},endpoint="identity",outcome="upstream_unavailable"}`]: '0+10x60',
      [`token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`]: '0+100x60',
    },
    labels: { job: 'token-broker' },
    summary:
      '9.091% of the token requests fail, and not because of the callers, most often with upstream_unavailable (docs/errors.md#upstream_unavailable).',
  },
  {
    alert: 'TokenBrokerTokenExpiryImminent',
    series: { [`token_broker_cache_at_risk_usable_seconds{${from}}`]: '123.456x60' },
    labels: { job: 'token-broker', instance: 'a' },
    summary: 'Callers of a lose a token in 2m 3s: its refresh failed.',
  },
  {
    alert: 'TokenBrokerTokensAtRisk',
    series: {
      [`token_broker_cache_entries_at_risk{${from}}`]: '1234567x60',
      [`token_broker_cache_at_risk_usable_seconds{${from}}`]: '600x60',
    },
    labels: { job: 'token-broker' },
    summary:
      'The refresh of tokens in use fails. Callers get each of them until it expires. Number of these tokens: 1234567.',
  },
  {
    alert: 'TokenBrokerRefreshesFailing',
    series: { [`token_broker_cache_refreshes_total{${from},outcome="timeout"}`]: '0+0.7x60' },
    labels: { job: 'token-broker' },
    summary: 'Some token refreshes fail again and again: about 11 in 15 minutes.',
  },
  {
    alert: 'TokenBrokerExchangeErrorsHigh',
    series: {
      [`token_broker_exchange_duration_seconds_count{${from},outcome="timeout"}`]: '0+1x60',
      [`token_broker_exchange_duration_seconds_count{${from},outcome="ok"}`]: '0+2x60',
    },
    labels: { job: 'token-broker' },
    summary: '33.33% of the exchanges with Entra failed in the last five minutes.',
  },
  {
    alert: 'TokenBrokerUpstreamDown',
    series: { [`token_broker_upstream_healthy{${from},kind="authority",name="https://login.example"}`]: '0x60' },
    labels: { job: 'token-broker', kind: 'authority', name: 'https://login.example' },
    summary: 'No request to the authority https://login.example has succeeded for ten minutes.',
  },
  {
    alert: 'TokenBrokerFairQueueLengthHigh',
    series: { [`token_broker_fair_queue_length{${from},queue="callers"}`]: '12345678x60' },
    labels: { job: 'token-broker', instance: 'a' },
    summary: 'The fair queue of a had at least 12345678 entries for five minutes.',
  },
  {
    alert: 'TokenBrokerOverloaded',
    series: { [`token_broker_requests_total{${from},endpoint="tokens",outcome="overloaded"}`]: '0+0.3x60' },
    labels: { job: 'token-broker' },
    summary: 'The broker refuses requests because it is overloaded: about 2 in five minutes.',
  },
  {
    alert: 'TokenBrokerNegativeCacheHitsHigh',
    series: { [`token_broker_negative_cache_hits_total{${from},reason="consent"}`]: '0+7.7x60' },
    labels: { job: 'token-broker', reason: 'consent' },
    summary: 'About 115 requests in 15 minutes were for tokens known to fail (consent).',
  },
  {
    alert: 'TokenBrokerEventLoopDelayHigh',
    series: { [`token_broker_event_loop_delay_p99_seconds{${from}}`]: '0.1234567x60' },
    labels: { job: 'token-broker', instance: 'a' },
    summary: 'a responds late: its event loop delay is 123.5ms.',
  },
  {
    alert: 'TokenBrokerClockOffsetHigh',
    series: {
      [`token_broker_upstream_clock_offset_seconds{${from},kind="authority",name="https://login.example"}`]: '-250x60',
    },
    labels: { job: 'token-broker', instance: 'a', clock: 'behind' },
    summary: 'The clock of a is 4m 10s behind that of Entra.',
  },
  {
    alert: 'TokenBrokerClockOffsetHigh',
    series: {
      [`token_broker_upstream_clock_offset_seconds{${from},kind="authority",name="https://login.example"}`]: '5x60',
    },
    labels: { job: 'token-broker', instance: 'a', clock: 'ahead' },
    summary: 'The clock of a is 5s ahead of that of Entra.',
  },
  {
    alert: 'TokenBrokerTenantErrorsHigh',
    series: {
      [`token_broker_requests_total{${from},endpoint="tokens",outcome="consent_required"}`]: '0+2x60',
      [`token_broker_requests_total{${from},endpoint="identity",outcome="upstream_rejected"}`]: '0+1x60',
      [`token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`]: '0+6x60',
    },
    labels: { job: 'token-broker' },
    summary:
      '33.33% of the token requests fail because Entra refuses a tenant, an agent identity or what is requested of it, most often with consent_required (docs/errors.md#consent_required).',
  },
  {
    alert: 'TokenBrokerExchangesSlow',
    series: {
      [`token_broker_exchange_duration_seconds_bucket{${from},outcome="ok",le="1"}`]: '0x60',
      [`token_broker_exchange_duration_seconds_bucket{${from},outcome="ok",le="2.5"}`]: '0+5x60',
      [`token_broker_exchange_duration_seconds_bucket{${from},outcome="ok",le="+Inf"}`]: '0+5x60',
      [`token_broker_exchange_duration_seconds_count{${from},outcome="ok"}`]: '0+5x60',
    },
    labels: { job: 'token-broker' },
    summary: 'Exchanges with Entra are slow: one in twenty takes longer than 2.425s.',
  },
  {
    alert: 'TokenBrokerIdentityUnavailable',
    series: {
      [`token_broker_upstream_healthy{${from},kind="identity",name="managed-identity"}`]: '0x60',
      [`token_broker_identity_fetch_duration_seconds_count{${from},outcome="identity_header"}`]: '0+1x60',
      [`token_broker_identity_fetch_duration_seconds_count{${from},outcome="timeout"}`]: '0+1x20 20x40',
    },
    labels: { job: 'token-broker', name: 'managed-identity' },
    summary:
      'No token of the identity (managed-identity) can be obtained, in at least one replica, most often because of identity_header.',
  },
  {
    alert: 'TokenBrokerIdentityUnavailable',
    series: { [`token_broker_upstream_healthy{${from},kind="identity",name="workload-identity"}`]: '0x60' },
    labels: { job: 'token-broker', name: 'workload-identity' },
    summary: 'No token of the identity (workload-identity) can be obtained, in at least one replica.',
  },
  {
    alert: 'TokenBrokerCertificateExpiringSoon',
    series: {
      [`token_broker_certificate_expiry_timestamp_seconds{${from},kind="tls",name="CN=broker"}`]: '90000.5x60',
    },
    labels: { job: 'token-broker', kind: 'tls', name: 'CN=broker' },
    summary: 'The certificate CN=broker in TLS_CERT_FILE expires in 1d 0h 0m 0s.',
  },
  {
    alert: 'TokenBrokerLimitedRequestsHigh',
    series: { [`token_broker_limited_requests_total{${from},limit="requests"}`]: '0+5.36x60' },
    labels: { job: 'token-broker', limit: 'requests' },
    summary: 'A limit of the policy (requests) refused about 80 requests in 15 minutes.',
  },
  {
    alert: 'TokenBrokerDenialsHigh',
    series: { [`token_broker_denials_total{${from},endpoint="tokens",reason="no_rule"}`]: '0+5.36x60' },
    labels: { job: 'token-broker', endpoint: 'tokens', reason: 'no_rule' },
    summary: 'The policy denied about 80 requests at tokens in 15 minutes (no_rule).',
  },
  {
    alert: 'TokenBrokerInvalidSignaturesHigh',
    series: { [`token_broker_caller_verifications_total{${from},issuer="entra",outcome="signature"}`]: '0+2.5x60' },
    labels: { job: 'token-broker', issuer: 'entra' },
    summary: 'About 38 credentials had an invalid signature, key or algorithm in 15 minutes.',
  },
  {
    alert: 'TokenBrokerApiKeyExpiringSoon',
    series: { [`token_broker_api_key_expiry_timestamp_seconds{${from},key="erp"}`]: '90000.5x60' },
    labels: { job: 'token-broker', key: 'erp' },
    summary: 'The API key erp expires in 1d 0h 0m 0s.',
  },
  {
    alert: 'TokenBrokerCertificateExpiringSoon',
    series: {
      [`token_broker_certificate_expiry_timestamp_seconds{${from},kind="client_ca",name="CN=clients"}`]: '90000.5x60',
    },
    labels: { job: 'token-broker', kind: 'client_ca', name: 'CN=clients' },
    summary: 'The certificate CN=clients in TLS_CLIENT_CA_FILE expires in 1d 0h 0m 0s.',
  },
  {
    alert: 'TokenBrokerPolicyVersionsDiffer',
    series: {
      [`token_broker_policy_info{${from},sha256="a"}`]: '1x60',
      'token_broker_policy_info{job="token-broker",instance="b",sha256="b"}': '1x60',
    },
    labels: { job: 'token-broker' },
    summary: 'The replicas have 2 different versions of the policy active.',
  },
  {
    alert: 'TokenBrokerAvailabilityBurnsFast',
    series: oneInThirty,
    labels: { job: 'token-broker' },
    summary: '3.333% of the requests fail because of the broker itself.',
  },
  {
    alert: 'TokenBrokerAvailabilityBurnsSlowly',
    series: oneInThirty,
    labels: { job: 'token-broker' },
    summary: '3.333% of the requests have failed for hours because of the broker itself.',
  },
  {
    alert: 'TokenBrokerLatencyBurnsFast',
    series: slow,
    labels: { job: 'token-broker' },
    summary: '25% of the cached tokens take longer than 25 ms.',
  },
  {
    alert: 'TokenBrokerLatencyBurnsSlowly',
    series: slow,
    labels: { job: 'token-broker' },
    summary: '25% of the cached tokens have taken longer than 25 ms for hours.',
  },
]
