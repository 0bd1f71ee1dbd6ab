import { by, heatmap, here, lines, quantile, rate, unscraped, without, type Panel } from './panel.ts'
import { policyPanels, processPanels } from './process-panels.ts'
import { objectivesRow, stateRow } from './state-row.ts'

const requestDuration = 'token_broker_request_duration_seconds'

/** The rows of the dashboard, with the order in which the people on call look at them. */
export const rows: readonly (readonly [title: string, panels: readonly Panel[]])[] = [
  ['State', stateRow],
  ['Objectives', objectivesRow],
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
        'Number of requests for which a token was issued, by duration in seconds: each row is a bucket, named after its upper bound.',
        `sum by (le) (increase(${requestDuration}_bucket{${here},outcome=~"cached|fetched"}[$__rate_interval]))`,
      ),
    ],
  ],
  [
    'Requests',
    [
      lines(
        'Tokens issued',
        'reqps',
        'By cache result. hit: cached. due: cached, while its refresh is due. refresh-failed: cached, although its last refresh failed. miss: fetched. collapsed: waited for the fetch of another request. expired: fetched, because the cached token had expired. request: fetched for min_expires_in. shared: another replica had fetched it.',
        [by('result', `token_broker_cache_requests_total{${here}}`), '{{result}}'],
      ),
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
      lines(
        'Exchanges',
        'reqps',
        'Exchanges with Entra, by outcome. ok: a token. network: no connection. timeout: no response in time. docs/errors.md explains the others, which are refusals and invalid responses.',
        [by('outcome', `token_broker_exchange_duration_seconds_count{${here}}`), '{{outcome}}'],
      ),
      lines(
        'Latency of Entra',
        's',
        'Of successful exchanges.',
        [quantile(0.5, 'token_broker_exchange_duration_seconds'), '50 %'],
        [quantile(0.95, 'token_broker_exchange_duration_seconds'), '95 %'],
      ),
      lines(
        "Fetches of the identity's token",
        'reqps',
        'By outcome. ok: a token. network: no connection to the identity endpoint. timeout: no response in time. docs/errors.md#identity_unavailable explains the others.',
        [by('outcome', `token_broker_identity_fetch_duration_seconds_count{${here}}`), '{{outcome}}'],
      ),
      lines('Latency of the identity endpoint', 's', 'Of successful fetches.', [
        quantile(0.95, 'token_broker_identity_fetch_duration_seconds'),
        '95 %',
      ]),
      without(
        'No request to an upstream yet',
        lines('Upstreams', 'short', '1 if the last request succeeded, 0 if it failed.', [
          `min by (kind, name) (token_broker_upstream_healthy{${here}})`,
          '{{kind}} {{name}}',
        ]),
      ),
      without(
        unscraped,
        lines('Circuit breaker not closed', 'short', '1 while only single exchanges are sent to Entra.', [
          `1 - token_broker_upstream_circuit_state{${here},state="closed"}`,
          '{{instance}}',
        ]),
      ),
      without(
        unscraped,
        lines(
          'Exchanges in flight, and the fair queue',
          'short',
          'BROKER_UPSTREAM_CONCURRENCY limits the exchanges of each replica.',
          [`sum(token_broker_upstream_exchanges_in_flight{${here}})`, 'in flight'],
          [`sum by (queue) (token_broker_fair_queue_length{${here}})`, 'queue: {{queue}}'],
        ),
      ),
      lines(
        "Fetches of issuers' keys",
        'reqps',
        'By issuer and outcome. ok: fetched. keys: they could not be obtained; /health, or the log line "not ready yet", says why. Without new keys, callers whose tokens need them get issuer_unavailable.',
        [by('issuer, outcome', `token_broker_issuer_key_fetches_total{${here}}`), '{{issuer}} {{outcome}}'],
      ),
    ],
  ],
  [
    'Cache',
    [
      without(
        unscraped,
        lines(
          'Cached tokens',
          'short',
          'A full cache evicts tokens.',
          [`sum(token_broker_cache_entries{${here}})`, 'cached'],
          [`sum(token_broker_cache_max_entries{${here}})`, 'maximum'],
        ),
      ),
      lines('Evictions', 'reqps', 'Tokens evicted because the cache was full.', [
        `sum(${rate(`token_broker_cache_evictions_total{${here}}`)})`,
        'evicted',
      ]),
      lines(
        'Refreshes',
        'reqps',
        'Background refreshes, by outcome. replaced: by a new token. not_yet: Entra returned none that lives longer. The others are the reasons of failures; docs/errors.md explains them.',
        [`${by('outcome', `token_broker_cache_refreshes_total{${here}}`)} > 0`, '{{outcome}}'],
      ),
      lines(
        'Failures in the negative cache',
        'short',
        'By level and reason: requests that these concern fail without an exchange. application: every tenant of an app registration. tenant: an application in one tenant. key: one application, tenant and scope.',
        [`sum by (level, reason) (token_broker_negative_cache_entries{${here}})`, '{{level}} {{reason}}'],
      ),
      lines(
        'Requests that failed from the negative cache',
        'reqps',
        'By reason of the cached failure: the error of an earlier exchange, repeated without a new one.',
        [by('reason', `token_broker_negative_cache_hits_total{${here}}`), '{{reason}}'],
      ),
    ],
  ],
  [
    'Redis',
    [
      lines(
        'Redis and its replicas',
        'short',
        'Whether Redis responds to every replica of the selection, 1 or 0, and how many live replicas they know.',
        [`min(token_broker_shared_available{${here}})`, 'responds'],
        [`max(token_broker_shared_replicas{${here}})`, 'replicas'],
      ),
      lines(
        'Look-ups in Redis',
        'reqps',
        'By outcome. unavailable: Redis did not respond in time, or was not tried. unreadable: no key of the ring opens the entry. purged: the entry is older than a purge.',
        [by('outcome', `token_broker_shared_lookup_duration_seconds_count{${here}}`), '{{outcome}}'],
      ),
    ].map(panel => without('Redis is not configured', panel)),
  ],
  ['Process', processPanels],
  ['Policy and expiry', policyPanels],
]
