import type { Decision } from '../../web/model/responses.js'

/** A denied request of an API key, ten seconds before `now`. */
export const decisionAt = (now: number, changes: Partial<Decision> = {}): Decision => ({
  time: new Date(now - 10_000).toISOString(),
  outcome: 'denied',
  code: 'not_permitted',
  reason: 'no_rule',
  caller: { kind: 'apiKey', key: 'erp' },
  rule: null,
  permission: null,
  tenant: null,
  tenant_name: null,
  scope: null,
  application: null,
  agent: null,
  endpoint: 'tokens',
  address: '10.0.0.1',
  request_id: 'r',
  trace_id: null,
  policy: 'p',
  codes: [],
  limit: null,
  remedy: null,
  ...changes,
})
