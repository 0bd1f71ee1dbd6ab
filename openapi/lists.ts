import { headersOf, json, type Description } from './components.ts'

const noStore = headersOf('Cache-Control')
const errors = {
  not_permitted: ['not_permitted_observe'],
  rate_limited: ['rate_limited_credentials'],
  invalid_request: ['invalid_request_parameter'],
} as const
const tenantParameter = {
  name: { summary: 'By its name in the policy', value: 'contoso' },
  id: { summary: 'By its id', value: '1a2b3c4d-0000-4000-8000-000000000002' },
}
const pageParameters = {
  limit: { ten: { summary: 'Ten entries a page', value: '10' } },
  cursor: { next: { summary: 'The page after next_cursor "17"', value: '17' } },
}

const entriesExample = {
  entries: [
    {
      tenant: '1a2b3c4d-0000-4000-8000-000000000002',
      tenant_name: 'contoso',
      scope: 'https://graph.microsoft.com/.default',
      application: 'default',
      client_id: '6f3c0b1e-0000-4000-8000-000000000001',
      agent: null,
      agent_id: null,
      state: 'due',
      at_risk: true,
      expires_on: 1795384800,
      usable_seconds: 655,
      refresh_in: 12,
      failed_refreshes: 1,
      last_failure: { code: 'upstream_unavailable', reason: 'timeout', at: '2026-11-23T07:10:14.000Z' },
      token: 'bf5f537f11a743a038b195483f672176',
      trace_id: '5a7f1c9e-0000-4000-8000-00000000000a',
      correlation_id: '5a7f1c9e-0000-4000-8000-00000000000b',
    },
  ],
  next_cursor: '17',
}

const failuresExample = {
  failures: [
    {
      application: 'default',
      client_id: '6f3c0b1e-0000-4000-8000-000000000001',
      agent: null,
      agent_id: null,
      tenant: '1a2b3c4d-0000-4000-8000-000000000002',
      tenant_name: 'contoso',
      scope: null,
      level: 'tenant',
      code: 'consent_required',
      reason: 'consent',
      codes: [7000229],
      presented: null,
      remedy:
        'The application has no usable service principal in tenant 1a2b3c4d-0000-4000-8000-000000000002. An ' +
        'administrator of that tenant must consent at https://login.microsoftonline.com/' +
        '1a2b3c4d-0000-4000-8000-000000000002/adminconsent?client_id=6f3c0b1e-0000-4000-8000-000000000001 (the ' +
        'registration needs a redirect URI).',
      since: '2026-11-23T07:02:09.000Z',
      until: '2026-11-23T07:10:54.000Z',
      count: 11,
    },
  ],
  next_cursor: null,
}

const decisionsExample = {
  decisions: [
    {
      time: '2026-11-23T07:10:14.000Z',
      outcome: 'denied',
      code: 'not_permitted',
      reason: 'no_rule',
      caller: { kind: 'jwt', issuer: 'onprem', subject: 'system:serviceaccount:billing:worker' },
      rule: null,
      permission: null,
      tenant: '1a2b3c4d-0000-4000-8000-000000000002',
      tenant_name: 'contoso',
      scope: 'https://graph.microsoft.com/.default',
      application: 'default',
      agent: null,
      endpoint: 'tokens',
      address: '10.0.3.17',
      request_id: '1251df6e6c23-1',
      trace_id: null,
      policy: 'cd32d4ea8ba9ea1b52c0e6b6d6d0e5f5a5b1d0f7d0a1e0c9b8a7968574635241',
      codes: [],
      limit: null,
      remedy: null,
    },
  ],
  next_cursor: '17',
}

/** The texts of the operations endpoints that list something. */
export const listOperations: Readonly<Record<string, Description>> = {
  listCacheEntries: {
    tag: 'operations',
    summary: 'List cache entries',
    description:
      'Needs `observe`. Returns metadata, never tokens. An entry that is refreshed between two pages moves to the end, so ' +
      'it may be listed twice; no entry that stays is missed. Each page scans the whole cache, so use it for people and ' +
      'dashboards only.',
    guarded: true,
    parameters: {
      tenant: tenantParameter,
      agent: { name: { summary: 'Of an agent identity, by its name in the policy', value: 'helper' } },
      state: { at_risk: { summary: 'Tokens that are in use and could not be refreshed', value: 'at_risk' } },
      sort: { end: { summary: 'What ends first comes first', value: 'expires_on' } },
      ...pageParameters,
    },
    responses: {
      200: {
        description: 'A page of entries.',
        headers: noStore,
        content: json('CacheEntries', { page: { summary: 'A page of one entry', value: entriesExample } }),
      },
    },
    examples: errors,
  },
  listCacheFailures: {
    tag: 'operations',
    summary: 'List cached failures',
    description:
      'Needs `observe`. Which applications, agent identities, tenants and scopes are known to fail, why, and what to do: the failures that ' +
      '`GET /cache` counts. With `tenant`, the failures that affect it, so those of whole applications too. A failure that ' +
      'occurs again between two pages moves to the end, so it may be listed twice; no failure that stays is missed.',
    guarded: true,
    parameters: { tenant: tenantParameter, ...pageParameters },
    responses: {
      200: {
        description: 'A page of failures.',
        headers: noStore,
        content: json('CacheFailures', {
          consent: { summary: 'A tenant without consent', value: failuresExample },
        }),
      },
    },
    examples: errors,
  },
  listDecisions: {
    tag: 'operations',
    summary: 'List recent denials and failures',
    description:
      'Needs `observe`. The last 500 requests at most of authenticated callers that this replica denied, or that failed, the ' +
      'newest first; fewer if they have long texts. Requests without an accepted credential are in the audit log only, ' +
      'which is complete.',
    guarded: true,
    parameters: {
      tenant: tenantParameter,
      outcome: { denied: { summary: 'What the policy does not permit', value: 'denied' } },
      ...pageParameters,
    },
    responses: {
      200: {
        description: 'A page of decisions.',
        headers: noStore,
        content: json('Decisions', { denied: { summary: 'A denial', value: decisionsExample } }),
      },
    },
    examples: errors,
  },
}
