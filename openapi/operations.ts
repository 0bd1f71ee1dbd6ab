import { headersOf, json, type Description } from './components.ts'
import { listOperations } from './lists.ts'

const noStore = headersOf('Cache-Control')
const observe = {
  not_permitted: ['not_permitted_observe'],
  rate_limited: ['rate_limited_credentials'],
} as const

const statusExample = (value: string) => ({
  [value.replace(' ', '_')]: { summary: 'The status', value: { status: value } },
})

const probes: Readonly<Record<string, Description>> = {
  getLiveness: {
    tag: 'probes',
    summary: 'Liveness',
    description: 'Always 200. Restart a process that does not respond.',
    guarded: false,
    responses: {
      200: { description: 'The process is alive.', headers: noStore, content: json('Liveness', statusExample('ok')) },
    },
  },
  getReadiness: {
    tag: 'probes',
    summary: 'Readiness',
    description:
      '503 until the broker has obtained a token of its identity and the keys of one issuer for the first time. Then 200, ' +
      'even if an upstream becomes unavailable, until the broker drains before it stops: then 503 again.',
    guarded: false,
    responses: {
      200: {
        description: 'The broker is ready for requests.',
        headers: noStore,
        content: json('Readiness', statusExample('ready')),
      },
      503: {
        description: 'The broker is not ready for requests.',
        headers: noStore,
        content: json('Readiness', statusExample('not ready')),
      },
    },
  },
}

const healthExample = {
  status: 'failing',
  ready: true,
  draining: false,
  replica: 'token-broker-5d8f6-1f0c9a3e',
  version: '0.1.0',
  node: 'v26.10.0',
  started_at: '2026-11-23T06:00:00.000Z',
  policy: {
    status: 'ok',
    since: '2026-11-23T06:00:00.000Z',
    detail: 'rules: 2, denials: 1, issuers: 2',
    file: '/etc/token-broker/policy.yaml',
    version: 'cd32d4ea8ba9ea1b52c0e6b6d6d0e5f5a5b1d0f7d0a1e0c9b8a7968574635241',
    loaded_at: '2026-11-23T06:00:00.000Z',
  },
  upstreams: [
    {
      kind: 'identity',
      name: 'managed-identity',
      status: 'ok',
      since: '2026-11-23T06:00:01.000Z',
      detail: 'reachable',
      consecutive_failures: 0,
      last_success: '2026-11-23T06:00:01.000Z',
      last_error: null,
      average_seconds: 0.043,
    },
    {
      kind: 'authority',
      name: 'https://login.microsoftonline.com',
      status: 'failing',
      since: '2026-11-23T07:10:00.000Z',
      detail: 'Entra did not respond in time.',
      consecutive_failures: 3,
      circuit: { state: 'open', since: '2026-11-23T07:10:14.000Z' },
      last_success: '2026-11-23T07:09:12.000Z',
      last_error: {
        code: 'upstream_unavailable',
        reason: 'timeout',
        detail: 'Entra did not respond in time.',
        upstream_codes: [],
        presented: null,
        system_code: null,
        at: '2026-11-23T07:10:14.000Z',
      },
      average_seconds: 4.712,
      clock_offset_seconds: 0,
    },
    {
      kind: 'issuer',
      name: 'onprem',
      status: 'unknown',
      since: '2026-11-23T06:00:00.000Z',
      detail: 'not used since the broker started',
      consecutive_failures: 0,
      last_success: null,
      last_error: null,
      average_seconds: null,
    },
  ],
  ends: [
    {
      kind: 'tls',
      name: 'CN=token-broker.example',
      file: '/etc/token-broker/tls/tls.crt',
      ends_at: '2026-11-30T12:00:00.000Z',
      state: 'ends_soon',
    },
    { kind: 'api_key', name: 'erp', file: null, ends_at: '2027-01-31T00:00:00.000Z', state: 'valid' },
  ],
  ends_total: 2,
}

const countersExample = {
  requests: [
    { endpoint: 'tokens', outcome: 'issued', count: 4711 },
    { endpoint: 'tokens', outcome: 'upstream_unavailable', count: 9 },
  ],
  durations: [{ endpoint: 'tokens', outcome: 'cached', count: 4699, seconds: 0.98 }],
  denials: [{ endpoint: 'tokens', reason: 'no_rule', count: 2 }],
  limited_requests: [{ limit: 'tenant', count: 3 }],
  cache_requests: [
    { result: 'hit', count: 4102 },
    { result: 'refresh-failed', count: 597 },
    { result: 'miss', count: 12 },
  ],
  cache_refreshes: [{ outcome: 'timeout', count: 14 }],
  negative_cache_hits: [{ reason: 'timeout', count: 9 }],
  exchanges: [
    { outcome: 'ok', count: 12, seconds: 1.92 },
    { outcome: 'timeout', count: 3, seconds: 15 },
  ],
  identity_fetches: [{ outcome: 'ok', count: 1, seconds: 0.031 }],
  shared_lookups: [],
  shared_stores: [{ outcome: 'stored', count: 0 }],
  shared_leases: [{ outcome: 'alone', count: 0 }],
  dropped_connections: [{ reason: 'idle', count: 0 }],
}

const openMetricsExample = `# HELP token_broker_requests Number of requests, by endpoint and outcome: issued, ok, or the error code.
# TYPE token_broker_requests counter
token_broker_requests_total{endpoint="tokens",outcome="issued"} 4711
# EOF
`

const metricsExample = `# HELP token_broker_requests_total Number of requests, by endpoint and outcome: issued, ok, or the error code.
# TYPE token_broker_requests_total counter
token_broker_requests_total{endpoint="tokens",outcome="issued"} 1827
`

/** The texts of the operations endpoints. */
export const operationsOperations: Readonly<Record<string, Description>> = {
  ...probes,
  getHealth: {
    tag: 'operations',
    summary: 'Health of the broker and its upstreams',
    description:
      'Needs `observe`. ' +
      "Health is passive: it is derived from the broker's own traffic, and this operation sends no request. An upstream " +
      'that no request needs keeps its status. Load balancers must use `/readyz` instead.',
    guarded: true,
    responses: {
      200: {
        description: 'The health; the status is 200 even if an upstream is failing.',
        headers: noStore,
        content: json('Health', { failing: { summary: 'Entra does not respond', value: healthExample } }),
      },
    },
    examples: observe,
  },
  getMetrics: {
    tag: 'operations',
    summary: 'Metrics for Prometheus',
    description:
      'Needs `observe` on the main listener. If the operations endpoints have their own listener (`MANAGEMENT_PORT`), it ' +
      'needs no credential there.',
    guarded: true,
    responses: {
      200: {
        description:
          'The text exposition format, version 0.0.4, or OpenMetrics 1.0, if `Accept` names `application/openmetrics-text` ' +
          'with the same or a higher weight. The header `Vary` is `Accept`.',
        headers: noStore,
        content: {
          'text/plain': {
            schema: { type: 'string' },
            examples: { metrics: { summary: 'One metric of many', value: metricsExample } },
          },
          'application/openmetrics-text': {
            schema: { type: 'string' },
            examples: { metrics: { summary: 'One metric of many', value: openMetricsExample } },
          },
        },
      },
    },
    examples: observe,
  },
  getCache: {
    tag: 'operations',
    summary: 'Cache statistics and counters',
    description:
      'Needs `observe`. Alert on `at_risk`: tokens that are in use and could not be refreshed. The counters are those of ' +
      '`/metrics`, of the replica that responds.',
    guarded: true,
    responses: {
      200: {
        description: 'The current statistics.',
        headers: noStore,
        content: json('CacheStatistics', {
          at_risk: {
            summary: 'Entra does not respond',
            value: {
              time: '2026-11-23T07:10:16.000Z',
              replica: 'token-broker-5d8f6-1f0c9a3e',
              started_at: '2026-11-23T06:00:00.000Z',
              entries: 812,
              max_entries: 10000,
              fetching: 1,
              exchanging: 1,
              waiting: 0,
              waiting_background: 0,
              failures: [{ level: 'key', reason: 'timeout', count: 14 }],
              evictions: 0,
              at_risk: 14,
              at_risk_usable_seconds: 655,
              counters: countersExample,
            },
          },
        }),
      },
    },
    examples: observe,
  },
  ...listOperations,
}
