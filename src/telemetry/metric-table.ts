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
 * codes and reasons that stand in the source, and names that stand in the policy: never anything of a request, so that
 * the number of series does not depend on callers.
 */
export const metricTable = {
  token_broker_requests_total: row(
    'counter',
    'Requests answered, by endpoint and outcome: issued, ok, or the code of the error.',
    'endpoint',
    'outcome',
  ),
  token_broker_denials_total: row(
    'counter',
    'Authenticated callers that the policy refused, by endpoint and reason.',
    'endpoint',
    'reason',
  ),
  token_broker_caller_verifications_total: row(
    'counter',
    'Credentials of callers that were checked and not merely remembered, by issuer and outcome.',
    'issuer',
    'outcome',
  ),
  token_broker_ignored_headers_total: row(
    'counter',
    'Headers about the client of a proxy that came from no trusted proxy and were passed over, by header.',
    'header',
  ),
  token_broker_cache_requests_total: row('counter', 'Tokens handed out, by how the cache came by them.', 'result'),
  token_broker_cache_refreshes_total: row(
    'counter',
    'Refreshes of tokens in the background, by outcome: replaced, not_yet, or the reason of the failure.',
    'outcome',
  ),
  token_broker_cache_remembered_failures_total: row(
    'counter',
    'Requests that were answered with a remembered failure, without asking anybody, by its reason.',
    'reason',
  ),
  token_broker_cache_failures: row(
    'gauge',
    'Failures that are remembered, by what they stand for (application, tenant, key) and reason.',
    'level',
    'reason',
  ),
  token_broker_cache_purged_total: row('counter', 'Tokens that were forgotten on demand.'),
  token_broker_cache_evictions_total: row('counter', 'Tokens that were pushed out of the full cache.'),
  token_broker_cache_entries: row('gauge', 'Tokens in the cache, expired ones that nobody asked for again included.'),
  token_broker_cache_max_entries: row('gauge', 'Tokens that the cache holds at most.'),
  token_broker_cache_fetches_in_flight: row('gauge', 'Keys whose token is being fetched.'),
  token_broker_upstream_exchanges_in_flight: row('gauge', 'Exchanges under way.'),
  token_broker_upstream_queue_length: row(
    'gauge',
    'Places in the queue for an exchange: of callers who wait, and of refreshes in the background.',
    'lane',
  ),
  token_broker_upstream_circuit_state: row(
    'gauge',
    '1 for the state that the circuit of the authority is in, 0 for the others.',
    'state',
  ),
  token_broker_cache_entries_at_risk: row(
    'gauge',
    'Valid tokens whose last refresh failed and that were asked for since.',
  ),
  token_broker_cache_first_loss_seconds: row(
    'gauge',
    'Seconds until the first token at risk is no longer handed out; NaN while none is at risk.',
  ),
  token_broker_exchange_duration_seconds: row(
    'histogram',
    'Exchanges with Entra, by outcome: ok, or the reason of the failure.',
    'outcome',
  ),
  token_broker_identity_fetch_duration_seconds: row(
    'histogram',
    "Fetches of the managed identity's token, by outcome: ok, or the reason of the failure.",
    'outcome',
  ),
  token_broker_issuer_key_fetches_total: row(
    'counter',
    "Fetches of an issuer's keys, by issuer and outcome.",
    'issuer',
    'outcome',
  ),
  token_broker_unreadable_tokens_total: row(
    'counter',
    'Tokens from Entra that are no readable JWT, so that nothing could be checked before they were cached.',
  ),
  token_broker_upstream_healthy: row(
    'gauge',
    '1 if the last attempt to use this upstream succeeded, 0 if it failed; absent before the first attempt.',
    'kind',
    'name',
  ),
  token_broker_ready: row('gauge', '1 while the broker should get requests, as /readyz says.'),
  token_broker_policy_info: row('gauge', '1, with the SHA-256 of the running policy file.', 'sha256'),
  token_broker_policy_loaded_timestamp_seconds: row('gauge', 'When the running policy was loaded.'),
  token_broker_policy_refused: row(
    'gauge',
    '1 while the policy file is faulty, so that an older version is in force; 0 otherwise.',
  ),
  token_broker_policy_reloads_total: row(
    'counter',
    'Versions of the policy that were found in its file since start, by outcome: loaded, or refused as faulty.',
    'outcome',
  ),
  token_broker_api_key_expiry_timestamp_seconds: row(
    'gauge',
    'When an API key of the policy, and the key that replaces it, will both have expired, by its name.',
    'key',
  ),
  token_broker_build_info: row('gauge', '1, with the versions of the broker and of Node.js.', 'version', 'node'),
  token_broker_event_loop_delay_p99_seconds: row(
    'gauge',
    'How late the event loop ran since the last scrape, 99th percentile.',
  ),
  token_broker_event_loop_delay_max_seconds: row(
    'gauge',
    'How late the event loop ran since the last scrape, at worst.',
  ),
  process_cpu_seconds_total: row('counter', 'CPU time of the process, user and system.'),
  process_resident_memory_bytes: row('gauge', 'Resident memory of the process.'),
  process_start_time_seconds: row('gauge', 'When the process started, in seconds since 1970.'),
  nodejs_heap_used_bytes: row('gauge', 'JavaScript heap in use, garbage that was not collected yet included.'),
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof metricTable

/** Who waits in the queue of exchanges: values of the label `lane`. */
export const waiting = ['callers', 'background'] as const
export type Waiting = (typeof waiting)[number]

/** What became of a new version of the policy: values of the label `outcome`. */
export const reloadOutcomes = ['loaded', 'refused'] as const
export type ReloadOutcome = (typeof reloadOutcomes)[number]
