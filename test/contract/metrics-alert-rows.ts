const atRisk = 'token_broker_cache_entries_at_risk'
const usableSeconds = 'token_broker_cache_at_risk_usable_seconds'
const refreshes = 'token_broker_cache_refreshes_total'
const exchanges = 'token_broker_exchange_duration_seconds_count'
/** The labels of a scraped replica. */
export const from = 'job="token-broker",instance="a"'

/** Samples a minute apart, in promtool's notation (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/). */
type Samples = readonly (readonly [series: string, values: string])[]

/** The notation can repeat numbers only, and NaN is not a number in it. */
export const nan = (minutes: number) => Array.from({ length: minutes }, () => 'NaN').join(' ')

/** What happened for an hour, and which alerts fire at one minute of it. */
export interface Row {
  readonly samples: Samples
  /** Minutes. */
  readonly at: number
  readonly fires: Readonly<Record<string, boolean>>
}

const circuit = (state: string) => `token_broker_upstream_circuit_state{${from},state="${state}"}`
const queue = (of: string) => `token_broker_fair_queue_length{${from},queue="${of}"}`
const negativeHits = (reason: string) => `token_broker_negative_cache_hits_total{${from},reason="${reason}"}`

/** A series of {@link calm}. */
export const clockOffset = `token_broker_upstream_clock_offset_seconds{${from},kind="authority",name="x"}`

const calm: Samples = [
  [`${atRisk}{${from}}`, '0x60'],
  [`${usableSeconds}{${from}}`, nan(61)],
  [`${exchanges}{${from},outcome="ok"}`, '0+5x60'],
  [`${refreshes}{${from},outcome="replaced"}`, '0+5x60'],
  [`${refreshes}{${from},outcome="not_yet"}`, '0+1x60'],
  [circuit('closed'), '1x60'],
  [circuit('open'), '0x60'],
  [queue('callers'), '0x60'],
  [queue('background'), '0x60'],
  [`token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`, '0+500x60'],
  [`token_broker_ready{${from}}`, '1x60'],
  [`token_broker_upstream_healthy{${from},kind="authority",name="x"}`, '1x60'],
  [clockOffset, '0x60'],
  [`token_broker_event_loop_delay_p99_seconds{${from}}`, '0.002x60'],
  [`token_broker_policy_info{${from},sha256="a"}`, '1x60'],
  [`token_broker_policy_refused{${from}}`, '0x60'],
  [`token_broker_api_key_expiry_timestamp_seconds{${from},key="crm"}`, '9999999x60'],
  [`token_broker_certificate_expiry_timestamp_seconds{${from},kind="tls",name="CN=broker"}`, '9999999x60'],
  [`token_broker_shared_available{${from}}`, '1x60'],
  [`up{${from}}`, '1x60'],
]
const certificateExpiry = `token_broker_certificate_expiry_timestamp_seconds{${from},kind="client_ca",name="CN=clients"}`
const keyExpiry = `token_broker_api_key_expiry_timestamp_seconds{${from},key="erp"}`
/** The quiet series, some replaced or with others added. */
export const but = (...changes: Samples): Samples => {
  const changed = new Set(changes.map(([series]) => series))
  return [...calm.filter(([series]) => !changed.has(series)), ...changes]
}
const exchanged = (outcome: string, values: string) => [`${exchanges}{${from},outcome="${outcome}"}`, values] as const
const failing = `${refreshes}{${from},outcome="timeout"}`

/** The scenarios, by what happens. */
export const rows: Readonly<Record<string, Row>> = {
  'no alert fires while all is well, NaN included': { samples: calm, at: 60, fires: {} },
  'a token at risk: not with six minutes left': {
    samples: but([`${usableSeconds}{${from}}`, `${nan(11)} 780-60x7`]),
    at: 18,
    fires: { TokenBrokerTokenExpiryImminent: false },
  },
  'a token at risk: within five minutes, also where the gauge resets in between': {
    samples: but([`${usableSeconds}{${from}}`, `${nan(11)} 780-60x9 NaN NaN`]),
    at: 22,
    fires: { TokenBrokerTokenExpiryImminent: true },
  },
  'tokens at risk, although every failed attempt resets the gauge': {
    samples: but(
      [`${atRisk}{${from}}`, '0x10 1 0 0 1 0 0 0 1 0 0 1 0 0'],
      [`${usableSeconds}{${from}}`, `${nan(11)} 3000 NaN NaN 2820 NaN NaN NaN 2580 NaN NaN 2400 NaN NaN`],
    ),
    at: 20,
    fires: { TokenBrokerTokensAtRisk: true },
  },
  'refreshes that fail every few minutes': {
    samples: but([failing, '_x10 1x4 2x4 3x4 4x4 5x4 6x4 7x4 8x4']),
    at: 45,
    fires: { TokenBrokerRefreshesFailing: true, TokenBrokerTokensAtRisk: false },
  },
  'one refresh that failed, and then succeeded': {
    samples: but([failing, '3x10 4x50']),
    at: 30,
    fires: { TokenBrokerRefreshesFailing: false },
  },
  'a wrong token, the first since the start, and one only': {
    samples: but(exchanged('wrong_tenant', '_x10 1x50')),
    at: 12,
    fires: { TokenBrokerWrongTokenReceived: true },
  },
  'a wrong token, one more after others long ago': {
    samples: but(exchanged('wrong_audience', '1x90 2x20')),
    at: 95,
    fires: { TokenBrokerWrongTokenReceived: true },
  },
  'a wrong token long ago': {
    samples: but(exchanged('wrong_tenant', '1x100')),
    at: 90,
    fires: { TokenBrokerWrongTokenReceived: false },
  },
  'a federation that is misconfigured': {
    samples: but(exchanged('federation', '_x10 1+1x20')),
    at: 25,
    fires: { TokenBrokerFederationMisconfigured: true },
  },
  'a fifth of the exchanges': {
    samples: but(exchanged('timeout', '0+2x60')),
    at: 30,
    fires: { TokenBrokerExchangeErrorsHigh: true },
  },
  'every exchange, when none has ever succeeded': {
    samples: [exchanged('network', '0+1x60')],
    at: 30,
    fires: { TokenBrokerExchangeErrorsHigh: true },
  },
  "customers' own refusals, however many": {
    samples: but(exchanged('consent', '0+50x60'), exchanged('request', '0+50x60')),
    at: 30,
    fires: { TokenBrokerExchangeErrorsHigh: false, TokenBrokerFederationMisconfigured: false },
  },
  'one upstream of several': {
    samples: but([`token_broker_upstream_healthy{${from},kind="issuer",name="onprem"}`, '0x60']),
    at: 30,
    fires: { TokenBrokerUpstreamDown: true },
  },
  'a circuit that turns half-open and open again': {
    samples: but(
      [circuit('closed'), '1x10 0x50'],
      [circuit('open'), '0x10 1 0 1 1 0 1 0 1 1 1'],
      [circuit('half-open'), '0x10 0 1 0 0 1 0 1 0 0 0'],
    ),
    at: 17,
    fires: { TokenBrokerCircuitOpen: true },
  },
  'a circuit that closed again': {
    samples: but([circuit('closed'), '1x10 0 0 0 1x40']),
    at: 17,
    fires: { TokenBrokerCircuitOpen: false },
  },
  'callers that wait in every scrape': {
    samples: but([queue('callers'), '0x10 40x20']),
    at: 20,
    fires: { TokenBrokerFairQueueLengthHigh: true },
  },
  'callers that wait now and then, and refreshes that always do': {
    samples: but([queue('callers'), '0 40 0 0 40 0 90 0 0 40 0 0 40 0 0'], [queue('background'), '500x60']),
    at: 14,
    fires: { TokenBrokerFairQueueLengthHigh: false },
  },
  'callers that are refused because the queue is full': {
    samples: but([`token_broker_requests_total{${from},endpoint="tokens",outcome="overloaded"}`, '0x10 1+3x20']),
    at: 20,
    fires: { TokenBrokerOverloaded: true },
  },
  'a client that ignores Retry-After': {
    samples: but([negativeHits('consent'), '0+10x60']),
    at: 30,
    fires: { TokenBrokerNegativeCacheHitsHigh: true },
  },
  'clients that respect Retry-After': {
    samples: but([negativeHits('network'), '0+2x60'], [negativeHits('consent'), '0+3x60']),
    at: 30,
    fires: { TokenBrokerNegativeCacheHitsHigh: false },
  },
  'one unexpected error': {
    samples: but([`token_broker_requests_total{${from},endpoint="tokens",outcome="internal_error"}`, '_x10 1x20']),
    at: 12,
    fires: { TokenBrokerInternalErrors: true },
  },
  'a replica that is never ready': {
    samples: but([`token_broker_ready{${from}}`, '0x60']),
    at: 10,
    fires: { TokenBrokerNotReady: true },
  },
  'an event loop delay on one replica': {
    samples: but(['token_broker_event_loop_delay_p99_seconds{job="token-broker",instance="b"}', '0.3x60']),
    at: 30,
    fires: { TokenBrokerEventLoopDelayHigh: true },
  },
  'a policy file that is invalid': {
    samples: but([`token_broker_policy_refused{${from}}`, '0x5 1x55']),
    at: 10,
    fires: { TokenBrokerPolicyInvalid: true },
  },
  // The test's clock begins at 0.
  'an API key with 13 days left': {
    samples: but([keyExpiry, `${13 * 86_400}x60`]),
    at: 10,
    fires: { TokenBrokerApiKeyExpiringSoon: true },
  },
  'an API key with 15 days left': {
    samples: but([keyExpiry, `${15 * 86_400}x60`]),
    at: 10,
    fires: { TokenBrokerApiKeyExpiringSoon: false },
  },
  'a certificate with 13 days left': {
    samples: but([certificateExpiry, `${13 * 86_400}x60`]),
    at: 10,
    fires: { TokenBrokerCertificateExpiringSoon: true },
  },
  'a certificate with 15 days left': {
    samples: but([certificateExpiry, `${15 * 86_400}x60`]),
    at: 10,
    fires: { TokenBrokerCertificateExpiringSoon: false },
  },
  'callers fail, long after the last token expired and nothing is at risk any more': {
    samples: but(
      [`token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`, '0+500x15 8000x45'],
      [`token_broker_requests_total{${from},endpoint="tokens",outcome="identity_unavailable"}`, '0x15 0+500x45'],
    ),
    at: 58,
    fires: { TokenBrokerRequestErrorsHigh: true },
  },
  'one caller in a hundred fails': {
    samples: but([`token_broker_requests_total{${from},endpoint="tokens",outcome="upstream_invalid"}`, '0+5x60']),
    at: 58,
    fires: { TokenBrokerRequestErrorsHigh: false },
  },
  'two replicas with two policies': {
    samples: but(['token_broker_policy_info{job="token-broker",instance="b",sha256="b"}', '1x60']),
    at: 30,
    fires: { TokenBrokerPolicyVersionsDiffer: true },
  },
  'a replica without Redis': {
    samples: but([`token_broker_shared_available{${from}}`, '1x10 0x50']),
    at: 20,
    fires: { TokenBrokerRedisUnavailable: true },
  },
}
