import type { CacheEntry, EntryPage, EntryQuery } from '../../broker/tokens/entry-page.ts'
import type { FailurePage, ListedFailure } from '../../broker/tokens/negative-cache/failure-page.ts'
import type { Policy } from '../../broker/policy/model.ts'
import type { Decision, DecisionPage } from '../../broker/recent-decisions.ts'
import { namesOf, tenantIdOf, type PolicyNames } from './policy-names.ts'

/** The response bodies of the operations endpoints that list something, page by page. */

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()

const cursorOf = (next: number | undefined): string | null => (next === undefined ? null : String(next))

/** `GET /cache/entries`. */
export function entriesBody({ entries, next }: EntryPage, { sort }: EntryQuery, policy: Policy) {
  const names = namesOf(policy)
  const cursor = next && (sort === 'expires_on' ? `${next.endsAt}.${next.id}` : String(next.id))
  return { entries: entries.map(entry => entryBody(entry, names)), next_cursor: cursor ?? null }
}

const entryBody = (entry: CacheEntry, names: PolicyNames) => ({
  tenant: entry.tenant,
  tenant_name: names.tenant(entry.tenant),
  scope: entry.scope,
  application: names.application(entry.clientId),
  client_id: entry.clientId,
  agent: names.agent(entry.agentId),
  agent_id: entry.agentId ?? null,
  state: entry.state,
  at_risk: entry.isAtRisk,
  expires_on: Math.floor(entry.endsAt / 1000),
  usable_seconds: entry.usableSeconds,
  refresh_in: entry.refreshInSeconds,
  failed_refreshes: entry.failedRefreshes,
  last_failure: entry.lastFailure
    ? { code: entry.lastFailure.code, reason: entry.lastFailure.reason, at: iso(entry.lastFailure.at) }
    : null,
  token: entry.fingerprint,
  trace_id: entry.traceId ?? null,
  correlation_id: entry.correlationId ?? null,
})

/** `GET /cache/failures`. */
export function failuresBody({ failures, next }: FailurePage, policy: Policy) {
  const names = namesOf(policy)
  return { failures: failures.map(failure => failureBody(failure, names)), next_cursor: cursorOf(next) }
}

const failureBody = (
  { level, clientId, agentId, tenant, scope, error, since, until, count }: ListedFailure,
  names: PolicyNames,
) => ({
  application: names.application(clientId),
  client_id: clientId,
  agent: names.agent(agentId),
  agent_id: agentId ?? null,
  tenant: tenant ?? null,
  tenant_name: tenant === undefined ? null : names.tenant(tenant),
  scope: scope ?? null,
  level,
  code: error.code,
  reason: error.reason,
  codes: error.parts.upstream?.codes ?? [],
  remedy: error.parts.remedy ?? null,
  presented: error.parts.presented ?? null,
  since: iso(since),
  until: iso(until),
  count,
})

/** `GET /decisions`. */
export const decisionsBody = ({ decisions, next }: DecisionPage, policy: Policy) => ({
  decisions: decisions.map(decision => decisionBody(decision, policy)),
  next_cursor: cursorOf(next),
})

function decisionBody(decision: Decision, policy: Policy) {
  const tenant = decision.tenant === undefined ? null : tenantIdOf(decision.tenant, policy)
  return {
    time: iso(decision.at),
    outcome: decision.outcome,
    code: decision.code,
    reason: decision.reason,
    caller: decision.caller,
    rule: decision.rule ?? null,
    permission: decision.permission ?? null,
    tenant,
    tenant_name: tenant === null ? null : namesOf(policy).tenant(tenant),
    scope: decision.scope ?? null,
    application: decision.application ?? null,
    agent: decision.agent ?? null,
    endpoint: decision.endpoint,
    address: decision.address,
    request_id: decision.requestId,
    trace_id: decision.traceId ?? null,
    policy: decision.policy,
    codes: decision.codes,
    limit: decision.limit ?? null,
    remedy: decision.remedy ?? null,
  }
}
