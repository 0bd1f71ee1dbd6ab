/**
 * What goes wrong for single tenants and callers. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Decision, Failure, Snapshot } from './responses.ts'
 */
import { callerText, listed, named, plural } from './format.js'
import { remedyOf } from './remedies.js'

/** A decision counts as current for so many milliseconds. */
const recentMs = 5 * 60_000

const causes = /** @type {Partial<Record<string, string>>} */ ({
  consent: 'admin consent is missing or was revoked',
  request: 'Entra refuses the tenant or the resource',
  unknown: 'Entra rejects the request',
  client: 'Entra rejects the application there',
  cloud: 'it is in another national cloud',
  throttled: 'Entra limits requests for it',
  timeout: 'Entra does not respond in time for it',
  server_error: 'Entra responds with errors for it',
  network: 'Entra cannot be reached for it',
})

/**
 * Failures of single tenants, one finding for each reason.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function tenantFindings({ failures, hasMoreFailures, health }) {
  const isDown = health.upstreams.some(({ kind, status }) => kind !== 'issuer' && status === 'failing')
  // During an outage every tenant fails for the same reason, which is the finding.
  const own = failures.filter(
    ({ level, code }) => level !== 'application' && !(isDown && code === 'upstream_unavailable'),
  )
  return [...Map.groupBy(own, ({ reason }) => reason)].map(([reason, same]) =>
    tenantFinding(reason, same, hasMoreFailures),
  )
}

/**
 * @param {Failure['reason']} reason
 * @param {readonly Failure[]} same
 * @param {boolean} hasMore whether there are failures besides those that were read
 * @returns {Finding}
 */
function tenantFinding(reason, same, hasMore) {
  const tenants = [...new Set(same.map(({ tenant, tenant_name }) => named(tenant_name, tenant)))]
  const who =
    tenants.length === 1
      ? `Tenant ${tenants[0]} gets`
      : `${hasMore ? 'At least ' : ''}${plural(tenants.length, 'tenant')} get`
  const which = tenants.length === 1 ? '' : ` (${listed(tenants)})`
  const codes = [...new Set(same.flatMap(each => each.codes))]
  const number = codes.length === 1 ? ` (AADSTS${codes[0]})` : ''
  const remedies = [...new Set(same.map(({ remedy }) => remedy ?? remedyOf(reason)))]
  const more = remedies.length > 3 ? ['The table of failures, below, has the others.'] : []
  return {
    id: `tenants ${reason}`,
    level: 'failing',
    sentence: `${who} no new tokens${which}: ${causes[reason] ?? reason}${number}`,
    actions: [...remedies.slice(0, 3), ...more],
    since: same.map(({ since }) => since).toSorted()[0],
  }
}

/**
 * Callers at their limit, and a queue that is full.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function limitFindings(snapshot) {
  const limited = recent(snapshot, ({ code }) => code === 'rate_limited')
  const overloaded = recent(snapshot, ({ code }) => code === 'overloaded')
  return [
    ...(overloaded.length > 0
      ? [
          finding(
            'overloaded',
            'failing',
            `${callers(overloaded)} refused because the broker is overloaded`,
            overloaded,
          ),
        ]
      : []),
    ...[...Map.groupBy(limited, ({ reason }) => reason)].map(([reason, same]) =>
      finding(`limited ${reason}`, 'attention', `${callers(same)} limited: ${limits[reason] ?? reason}`, same),
    ),
  ]
}

const limits = /** @type {Partial<Record<string, string>>} */ ({
  requests: 'more requests than its rule allows',
  exchanges: 'more new tokens than its rule allows',
  bad_credentials: 'too many credentials of its address wait for verification',
})

/**
 * Requests that the policy denied: usual in small numbers, so only a notice.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function denialFindings(snapshot) {
  const denied = recent(snapshot, ({ outcome }) => outcome === 'denied')
  if (denied.length === 0) return []
  return [
    finding('denied', 'notice', `${callers(denied, 'was', 'were')} denied by the policy in the last 5 minutes`, denied),
  ]
}

/**
 * @param {Snapshot} snapshot
 * @param {(decision: Decision) => boolean} isMeant
 */
const recent = ({ decisions, now }, isMeant) =>
  decisions.filter(decision => now - Date.parse(decision.time) < recentMs && isMeant(decision))

/**
 * @param {string} id
 * @param {Finding['level']} level
 * @param {string} sentence
 * @param {readonly Decision[]} same
 * @returns {Finding}
 */
function finding(id, level, sentence, same) {
  const reasons = [...new Set(same.map(({ reason }) => reason))]
  return { id, level, sentence, actions: reasons.slice(0, 3).map(reason => remedyOf(reason)), since: same.at(-1)?.time }
}

/**
 * The callers of decisions, as the subject of a sentence, with its verb.
 * @param {readonly Decision[]} decisions
 * @param {string} [one]
 * @param {string} [several]
 */
function callers(decisions, one = 'is', several = 'are') {
  const names = [...new Set(decisions.map(({ caller }) => callerText(caller)))]
  const rules = [...new Set(decisions.map(({ rule }) => rule).filter(rule => rule !== null))]
  const byRule = rules.length === 1 ? `, rule “${rules[0]}”,` : ''
  return names.length === 1
    ? `The caller ${names[0]}${byRule} ${one}`
    : `${plural(names.length, 'caller')} (${listed(names)}) ${several}`
}
