/** What one metric is. `docs/metrics.md` has one row for each, and a test compares them. */
export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** One sentence, as `# HELP` shows it. */
  readonly help: string
  readonly labels: readonly string[]
}

const row = <const L extends readonly string[] = readonly []>(
  type: MetricRow['type'],
  help: string,
  ...labels: L
): MetricRow & { readonly labels: L } => ({ type, help, labels })

/**
 * Every metric of the broker, named after https://prometheus.io/docs/practices/naming/. Label values are endpoints, error
 * codes and reasons from the source code, and names from the policy and the configuration. They never come from a request, so the number of
 * series does not depend on callers.
 */
export const metricTable = {
  token_broker_requests_total: row(
    'counter',
    'Number of requests, by endpoint and outcome: issued, ok, or the error code.',
    'endpoint',
    'outcome',
  ),
  token_broker_request_duration_seconds: row(
    'histogram',
    'Duration of requests in seconds, from their headers until the response is ready, without the time for sending the body, by endpoint and class of the response.',
    'endpoint',
    'outcome',
  ),
  token_broker_denials_total: row(
    'counter',
    'Number of authenticated requests that the policy denied, by endpoint and reason.',
    'endpoint',
    'reason',
  ),
  token_broker_limited_requests_total: row(
    'counter',
    'Number of requests refused because of a limit of the policy, by limit: requests, exchanges, or tenant.',
    'limit',
  ),
  token_broker_caller_verifications_total: row(
    'counter',
    'Number of caller credentials verified (cached verifications are not counted), by issuer and outcome.',
    'issuer',
    'outcome',
  ),
  token_broker_ignored_headers_total: row(
    'counter',
    'Number of proxy headers ignored because they did not come from a trusted proxy, or not in the configured header, by header.',
    'header',
  ),
  token_broker_dropped_connections_total: row(
    'counter',
    'Number of connections dropped because a listener had too many, by reason.',
    'reason',
  ),
  token_broker_cache_requests_total: row('counter', 'Number of tokens issued to callers, by cache result.', 'result'),
  token_broker_cache_refreshes_total: row(
    'counter',
    'Number of background refreshes, by outcome: replaced, not_yet, or the reason of the failure.',
    'outcome',
  ),
  token_broker_negative_cache_hits_total: row(
    'counter',
    'Number of requests that failed from the negative cache, without an exchange, by reason.',
    'reason',
  ),
  token_broker_negative_cache_entries: row(
    'gauge',
    'Number of failures in the negative cache, by level (application, tenant, key) and reason.',
    'level',
    'reason',
  ),
  token_broker_cache_purged_total: row('counter', 'Number of cached tokens removed by DELETE /tokens.'),
  token_broker_cache_evictions_total: row('counter', 'Number of cached tokens evicted because the cache was full.'),
  token_broker_cache_entries: row(
    'gauge',
    'Number of cached tokens, including expired tokens that were not requested again.',
  ),
  token_broker_cache_max_entries: row('gauge', 'Maximum number of cached tokens.'),
  token_broker_cache_fetches_in_flight: row(
    'gauge',
    'Number of keys whose token is being fetched, at most one fetch per key (single flight).',
  ),
  token_broker_upstream_exchanges_in_flight: row('gauge', 'Number of exchanges with Entra in flight.'),
  token_broker_fair_queue_length: row(
    'gauge',
    'Number of entries in the fair queue for an exchange, by queue: callers, or background for refreshes.',
    'queue',
  ),
  token_broker_upstream_circuit_state: row(
    'gauge',
    '1 for the current state of the circuit breaker of the authority, 0 for the other states.',
    'state',
  ),
  token_broker_cache_entries_at_risk: row(
    'gauge',
    'Number of valid tokens that were requested after their last refresh failed.',
  ),
  token_broker_cache_at_risk_usable_seconds: row(
    'gauge',
    'Seconds until the first token at risk becomes unusable, NaN while no token is at risk.',
  ),
  token_broker_exchange_duration_seconds: row(
    'histogram',
    'Duration of exchanges with Entra in seconds, by outcome: ok, or the reason of the failure.',
    'outcome',
  ),
  token_broker_agent_identity_requests_total: row(
    'counter',
    "Number of requests to Entra for agent identities, by step (blueprint: for the blueprint's token, agent: with it for the token of the resource) and outcome: ok, or the reason of the failure.",
    'step',
    'outcome',
  ),
  token_broker_identity_fetch_duration_seconds: row(
    'histogram',
    "Duration of fetches of the managed identity's token in seconds, by outcome: ok, or the reason of the failure.",
    'outcome',
  ),
  token_broker_issuer_key_fetches_total: row(
    'counter',
    "Number of fetches of an issuer's JWKS, by issuer and outcome.",
    'issuer',
    'outcome',
  ),
  token_broker_opaque_tokens_total: row(
    'counter',
    'Number of opaque tokens from Entra (not a readable JWT), whose claims could not be checked.',
  ),
  token_broker_shared_lookup_duration_seconds: row(
    'histogram',
    'Duration of look-ups in Redis in seconds, by outcome: hit, miss, unavailable, unreadable, or purged.',
    'outcome',
  ),
  token_broker_shared_stores_total: row(
    'counter',
    'Number of tokens written to Redis, by outcome: stored, or failed.',
    'outcome',
  ),
  token_broker_shared_leases_total: row(
    'counter',
    'Number of fetches by what they did about the lease of their key: won, waited for another replica, or alone.',
    'outcome',
  ),
  token_broker_shared_available: row('gauge', '1 if Redis responds, 0 if it does not, absent without Redis.'),
  token_broker_shared_replicas: row(
    'gauge',
    'Number of live replicas that this one knows through Redis, itself included, absent while it is unknown.',
  ),
  token_broker_shared_purge_lag_seconds: row(
    'histogram',
    'Time in seconds from a purge at another replica until this one applied it.',
  ),
  token_broker_upstream_healthy: row(
    'gauge',
    '1 if the last request to this upstream succeeded, 0 if it failed, absent before the first request.',
    'kind',
    'name',
  ),
  token_broker_upstream_clock_offset_seconds: row(
    'gauge',
    'Seconds by which the clock of this machine is ahead of that of the upstream, negative if it is behind, absent until a response had a date.',
    'kind',
    'name',
  ),
  token_broker_ready: row('gauge', '1 if the broker is ready for requests, as /readyz reports, 0 otherwise.'),
  token_broker_policy_info: row('gauge', '1, labelled with the SHA-256 of the active policy file.', 'sha256'),
  token_broker_policy_loaded_timestamp_seconds: row(
    'gauge',
    'Time at which the active policy was loaded, in seconds since 1970.',
  ),
  token_broker_policy_refused: row(
    'gauge',
    '1 while the policy file cannot be read or is invalid and an older policy is active, 0 otherwise.',
  ),
  token_broker_policy_reloads_total: row(
    'counter',
    'Number of policy versions found in the policy file since the start, by outcome: loaded, or refused as invalid.',
    'outcome',
  ),
  token_broker_api_key_expiry_timestamp_seconds: row(
    'gauge',
    'Time at which an API key and its replacement have both expired, in seconds since 1970, by key name.',
    'key',
  ),
  token_broker_certificate_expiry_timestamp_seconds: row(
    'gauge',
    'Time at which the last certificate of this subject expires, in seconds since 1970, by kind and subject.',
    'kind',
    'name',
  ),
  token_broker_build_info: row(
    'gauge',
    '1, labelled with the versions of the broker and of Node.js.',
    'version',
    'node',
  ),
  token_broker_event_loop_delay_p99_seconds: row(
    'gauge',
    'Event loop delay since the last scrape in seconds, 99th percentile.',
  ),
  token_broker_event_loop_delay_max_seconds: row(
    'gauge',
    'Maximum event loop delay since the last scrape, in seconds.',
  ),
  process_cpu_seconds_total: row('counter', 'CPU time of the process (user and system) in seconds.'),
  process_resident_memory_bytes: row('gauge', 'Resident memory of the process in bytes.'),
  process_start_time_seconds: row('gauge', 'Time at which the process started, in seconds since 1970.'),
  nodejs_heap_used_bytes: row(
    'gauge',
    'JavaScript heap in use in bytes, including garbage that was not collected yet.',
  ),
  nodejs_heap_total_bytes: row('gauge', 'Memory that is reserved for the JavaScript heap, in bytes.'),
  nodejs_heap_limit_bytes: row('gauge', 'Size of the JavaScript heap at which the process ends, in bytes.'),
  nodejs_external_memory_bytes: row('gauge', 'Memory outside the JavaScript heap that objects in it use, in bytes.'),
} as const satisfies Record<string, MetricRow>

/** The name of a metric. */
export type MetricName = keyof typeof metricTable

/** Which part of the fair queue is counted: values of the label `queue`. */
export const waiting = ['callers', 'background'] as const
/** One of {@link waiting}. */
export type Waiting = (typeof waiting)[number]

/** How the reload of a new version of the policy ended: values of the label `outcome`. */
export const reloadOutcomes = ['loaded', 'refused'] as const
/** One of {@link reloadOutcomes}. */
export type ReloadOutcome = (typeof reloadOutcomes)[number]
