import { headersOf, json, type Description } from './components.ts'

const noStore = headersOf('Cache-Control')
const observe = {
  not_permitted: ['not_permitted_observe'],
  rate_limited: ['rate_limited_credentials'],
} as const

const verdict = (value: string) => ({ [value.replace(' ', '_')]: { summary: 'The verdict', value: { status: value } } })

const probes: Readonly<Record<string, Description>> = {
  getLiveness: {
    tag: 'probes',
    summary: 'Whether the process answers',
    description: 'Always 200: restart what does not answer this.',
    guarded: false,
    answers: { 200: { description: 'It does.', headers: noStore, content: json('Liveness', verdict('ok')) } },
  },
  getReadiness: {
    tag: 'probes',
    summary: 'Whether requests should be sent here',
    description:
      'A latch: 503 until the broker had a token of its identity and the keys of one issuer once, 200 from then on, ' +
      'whatever happens upstream, and 503 again while it drains before it stops.',
    guarded: false,
    answers: {
      200: { description: 'They should.', headers: noStore, content: json('Readiness', verdict('ready')) },
      503: { description: 'They should not.', headers: noStore, content: json('Readiness', verdict('not ready')) },
    },
  },
}

const healthExample = {
  status: 'failing',
  ready: true,
  draining: false,
  version: '0.1.0',
  node: 'v26.10.0',
  started_at: '2026-11-23T06:00:00.000Z',
  policy: {
    status: 'ok',
    since: '2026-11-23T06:00:00.000Z',
    detail: 'rules: 2, denials: 1, issuers: 2',
    version: 'cd32d4ea8ba9ea1b52c0e6b6d6d0e5f5a5b1d0f7d0a1e0c9b8a7968574635241',
    loaded_at: '2026-11-23T06:00:00.000Z',
  },
  upstreams: [
    {
      kind: 'identity',
      name: 'managed-identity',
      status: 'ok',
      since: '2026-11-23T06:00:01.000Z',
      detail: 'It answers.',
      consecutive_failures: 0,
      last_success: '2026-11-23T06:00:01.000Z',
      last_error: null,
    },
    {
      kind: 'authority',
      name: 'https://login.microsoftonline.com',
      status: 'failing',
      since: '2026-11-23T07:10:00.000Z',
      detail: 'Entra did not answer in time.',
      consecutive_failures: 3,
      circuit: { state: 'open', since: '2026-11-23T07:10:14.000Z' },
      last_success: '2026-11-23T07:09:12.000Z',
      last_error: {
        code: 'upstream_unavailable',
        class: 'timeout',
        detail: 'Entra did not answer in time.',
        upstream_codes: [],
        at: '2026-11-23T07:10:14.000Z',
      },
    },
    {
      kind: 'issuer',
      name: 'onprem',
      status: 'unknown',
      since: '2026-11-23T06:00:00.000Z',
      detail: 'Nobody has needed it since the broker started.',
      consecutive_failures: 0,
      last_success: null,
      last_error: null,
    },
  ],
}

const metricsExample = `# HELP token_broker_requests_total Requests answered, by endpoint and outcome: issued, ok, or the code of the error.
# TYPE token_broker_requests_total counter
token_broker_requests_total{endpoint="tokens",outcome="issued"} 1827
`

const entriesExample = {
  entries: [
    {
      tenant: '1a2b3c4d-0000-4000-8000-000000000002',
      scope: 'https://graph.microsoft.com/.default',
      application: 'default',
      client_id: '6f3c0b1e-0000-4000-8000-000000000001',
      state: 'due',
      expires_on: 1795384800,
      served_for: 655,
      refresh_in: 12,
      vain_refreshes: 1,
      last_failure: { code: 'upstream_unavailable', class: 'timeout', at: '2026-11-23T07:10:14.000Z' },
      token: 'bf5f537f11a743a038b195483f672176',
      trace_id: '5a7f1c9e-0000-4000-8000-00000000000a',
      correlation_id: '5a7f1c9e-0000-4000-8000-00000000000b',
    },
  ],
  next_cursor: '17',
}

/** The words for the operations of `operations.ts`. */
export const operationsOperations: Readonly<Record<string, Description>> = {
  ...probes,
  getHealth: {
    tag: 'operations',
    summary: 'The state of the broker and of whom it asks',
    description:
      'Needs `observe`. ' +
      "Passive: what the broker's own traffic has shown; nobody is asked. An upstream that nobody needs keeps the status " +
      'that it had. Not for load balancers: that is `/readyz`.',
    guarded: true,
    answers: {
      200: {
        description: 'The state, good or bad.',
        headers: noStore,
        content: json('Health', { failing: { summary: 'Entra does not answer', value: healthExample } }),
      },
    },
    examples: observe,
  },
  getMetrics: {
    tag: 'operations',
    summary: 'Metrics for Prometheus',
    description:
      'Needs `observe` on the main listener. Where the operations have a listener of their own (`MANAGEMENT_PORT`), it is ' +
      'open there.',
    guarded: true,
    answers: {
      200: {
        description: 'The text exposition format, version 0.0.4.',
        headers: noStore,
        content: {
          'text/plain': {
            schema: { type: 'string' },
            examples: { metrics: { summary: 'One of many', value: metricsExample } },
          },
        },
      },
    },
    examples: observe,
  },
  getCache: {
    tag: 'operations',
    summary: 'The cache in numbers',
    description:
      'Needs `observe`. To be alerted on: `at_risk`, tokens that somebody uses and that cannot be refreshed.',
    guarded: true,
    answers: {
      200: {
        description: 'The numbers of this moment.',
        headers: noStore,
        content: json('CacheStatistics', {
          at_risk: {
            summary: 'Entra does not answer',
            value: {
              entries: 812,
              max_entries: 10000,
              fetching: 1,
              exchanging: 1,
              waiting: 0,
              waiting_background: 0,
              failures: [{ level: 'key', reason: 'timeout', count: 14 }],
              evictions: 0,
              at_risk: 14,
              first_loss_in: 655,
            },
          },
        }),
      },
    },
    examples: observe,
  },
  listCacheEntries: {
    tag: 'operations',
    summary: 'What is cached',
    description:
      'Needs `observe`. Metadata, never tokens. An entry that is refreshed between two pages moves to the end, so it may be seen twice; ' +
      'none that stays is missed. Every entry is looked at for each page: for people and dashboards.',
    guarded: true,
    parameters: {
      tenant: {
        name: { summary: 'By its name in the policy', value: 'contoso' },
        id: { summary: 'By its id', value: '1a2b3c4d-0000-4000-8000-000000000002' },
      },
      limit: { ten: { summary: 'Ten entries a page', value: '10' } },
      cursor: { next: { summary: 'The page after next_cursor "17"', value: '17' } },
    },
    answers: {
      200: {
        description: 'A page of entries.',
        headers: noStore,
        content: json('CacheEntries', { page: { summary: 'A page of one entry', value: entriesExample } }),
      },
    },
    examples: {
      ...observe,
      invalid_request: ['invalid_request_parameter'],
      invalid_tenant: ['invalid_tenant_parameter'],
    },
  },
}
