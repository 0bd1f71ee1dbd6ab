import { by, heatmap, here, lines, quantile, rate, type Panel } from './panel.ts'
import { stateRow } from './state-row.ts'

const requestDuration = 'token_broker_request_duration_seconds'

/** The rows of the dashboard, with the order in which the people on call look at them. */
export const rows: readonly (readonly [title: string, panels: readonly Panel[]])[] = [
  ['State', stateRow],
  [
    'Latency',
    [
      lines(
        'Latency of cached tokens',
        's',
        'From the headers of the request to the response, in the process of the broker.',
        [quantile(0.5, requestDuration, 'cached'), '50 %'],
        [quantile(0.99, requestDuration, 'cached'), '99 %'],
      ),
      lines(
        'Latency of fetched tokens',
        's',
        'For which the request waited, such as for an exchange with Entra.',
        [quantile(0.5, requestDuration, 'fetched'), '50 %'],
        [quantile(0.99, requestDuration, 'fetched'), '99 %'],
      ),
      lines('Latency by endpoint, 99 %', 's', 'All responses of each endpoint.', [
        `histogram_quantile(0.99, ${by('le, endpoint', `${requestDuration}_bucket{${here}}`)})`,
        '{{endpoint}}',
      ]),
      heatmap(
        'Durations of token requests',
        'Requests for which a token was issued, by duration.',
        `sum by (le) (increase(${requestDuration}_bucket{${here},outcome=~"cached|fetched"}[$__rate_interval]))`,
      ),
    ],
  ],
  [
    'Requests',
    [
      lines('Tokens issued', 'reqps', 'By cache result; docs/metrics.md explains them.', [
        by('result', `token_broker_cache_requests_total{${here}}`),
        '{{result}}',
      ]),
      lines('Failed requests', 'reqps', 'By endpoint and error code; docs/errors.md explains them.', [
        by('endpoint, outcome', `token_broker_requests_total{${here},outcome!~"ok|issued"}`),
        '{{endpoint}} {{outcome}}',
      ]),
      lines('Denials', 'reqps', 'Requests of authenticated callers that the policy denied.', [
        by('endpoint, reason', `token_broker_denials_total{${here}}`),
        '{{endpoint}} {{reason}}',
      ]),
      lines('Requests refused by a limit', 'reqps', 'By limit of the policy: requests, exchanges, or tenant.', [
        by('limit', `token_broker_limited_requests_total{${here}}`),
        '{{limit}}',
      ]),
      lines('Credentials that were not verified', 'reqps', 'By issuer and reason.', [
        by('issuer, outcome', `token_broker_caller_verifications_total{${here},outcome!="verified"}`),
        '{{issuer}} {{outcome}}',
      ]),
    ],
  ],
  [
    'Entra and the identity',
    [
      lines('Exchanges', 'reqps', 'Exchanges with Entra, by outcome.', [
        by('outcome', `token_broker_exchange_duration_seconds_count{${here}}`),
        '{{outcome}}',
      ]),
      lines(
        'Latency of Entra',
        's',
        'Of successful exchanges.',
        [quantile(0.5, 'token_broker_exchange_duration_seconds'), '50 %'],
        [quantile(0.95, 'token_broker_exchange_duration_seconds'), '95 %'],
      ),
      lines('Latency of the identity endpoint', 's', 'Of successful fetches.', [
        quantile(0.95, 'token_broker_identity_fetch_duration_seconds'),
        '95 %',
      ]),
      lines('Upstreams', 'short', '1 if the last request succeeded, 0 if it failed.', [
        `min by (kind, name) (token_broker_upstream_healthy{${here}})`,
        '{{kind}} {{name}}',
      ]),
      lines('Circuit breaker not closed', 'short', '1 while only single exchanges are sent to Entra.', [
        `1 - token_broker_upstream_circuit_state{${here},state="closed"}`,
        '{{instance}}',
      ]),
      lines(
        'Exchanges in flight, and the fair queue',
        'short',
        'BROKER_UPSTREAM_CONCURRENCY limits the exchanges of each replica.',
        [`sum(token_broker_upstream_exchanges_in_flight{${here}})`, 'in flight'],
        [`sum by (queue) (token_broker_fair_queue_length{${here}})`, 'queue: {{queue}}'],
      ),
      lines("Fetches of issuers' keys", 'reqps', 'By issuer and outcome.', [
        by('issuer, outcome', `token_broker_issuer_key_fetches_total{${here}}`),
        '{{issuer}} {{outcome}}',
      ]),
    ],
  ],
  [
    'Cache',
    [
      lines(
        'Cached tokens',
        'short',
        'A full cache evicts tokens.',
        [`sum(token_broker_cache_entries{${here}})`, 'cached'],
        [`sum(token_broker_cache_max_entries{${here}})`, 'maximum'],
      ),
      lines('Evictions', 'reqps', 'Tokens evicted because the cache was full.', [
        `sum(${rate(`token_broker_cache_evictions_total{${here}}`)})`,
        'evicted',
      ]),
      lines('Refreshes', 'reqps', 'Background refreshes, by outcome. Only outcomes that occur have a line.', [
        `${by('outcome', `token_broker_cache_refreshes_total{${here}}`)} > 0`,
        '{{outcome}}',
      ]),
      lines('Failures in the negative cache', 'short', 'By level and reason.', [
        `sum by (level, reason) (token_broker_negative_cache_entries{${here}})`,
        '{{level}} {{reason}}',
      ]),
      lines('Requests that failed from the negative cache', 'reqps', 'By reason.', [
        by('reason', `token_broker_negative_cache_hits_total{${here}}`),
        '{{reason}}',
      ]),
    ],
  ],
  [
    'Redis',
    [
      lines(
        'Redis and its replicas',
        'short',
        'Whether Redis responds, and the live replicas. Empty without Redis.',
        [`min(token_broker_shared_available{${here}})`, 'responds'],
        [`max(token_broker_shared_replicas{${here}})`, 'replicas'],
      ),
      lines('Look-ups in Redis', 'reqps', 'By outcome.', [
        by('outcome', `token_broker_shared_lookup_duration_seconds_count{${here}}`),
        '{{outcome}}',
      ]),
    ],
  ],
  [
    'Process and policy',
    [
      lines('Event loop delay', 's', '99th percentile since the last scrape.', [
        `token_broker_event_loop_delay_p99_seconds{${here}}`,
        '{{instance}}',
      ]),
      lines('Clock offset', 's', 'How far the clock of each replica is ahead of that of Entra; below 0: behind.', [
        `token_broker_upstream_clock_offset_seconds{${here}}`,
        '{{instance}}',
      ]),
      lines('CPU', 'percentunit', 'Share of one core.', [rate(`process_cpu_seconds_total{${here}}`), '{{instance}}']),
      lines(
        'Memory',
        'bytes',
        'Resident; of it, the JavaScript heap in use, and what its objects use outside of it. At the limit of the heap the process ends.',
        [`process_resident_memory_bytes{${here}}`, 'resident {{instance}}'],
        [`nodejs_heap_used_bytes{${here}}`, 'heap {{instance}}'],
        [`nodejs_external_memory_bytes{${here}}`, 'external {{instance}}'],
        [`nodejs_heap_limit_bytes{${here}}`, 'heap limit {{instance}}'],
      ),
      lines('Versions', 'short', 'Replicas of each version.', [
        `count by (version) (token_broker_build_info{${here}})`,
        '{{version}}',
      ]),
      lines('Policy versions', 'short', 'Replicas that have each version of the policy active.', [
        `count by (sha256) (token_broker_policy_info{${here}})`,
        '{{sha256}}',
      ]),
      lines('Policy file refused', 'short', '1 while the policy file is invalid and an older policy is active.', [
        `token_broker_policy_refused{${here}}`,
        '{{instance}}',
      ]),
      lines('API keys: days until they expire', 'short', 'By name of the key in the policy.', [
        `(min by (key) (token_broker_api_key_expiry_timestamp_seconds{${here}}) - time()) / 86400`,
        '{{key}}',
      ]),
      lines('Certificates: days until they expire', 'short', 'By kind and subject.', [
        `(min by (kind, name) (token_broker_certificate_expiry_timestamp_seconds{${here}}) - time()) / 86400`,
        '{{kind}} {{name}}',
      ]),
    ],
  ],
]
