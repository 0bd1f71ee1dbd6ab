/**
 * What goes wrong for single callers: limits, denials, and a queue that is full. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Decision, Snapshot } from './responses.ts'
 */
import { callerText, count, limitText, listed, named, plural } from './format.js'
import { remedyOf } from './remedies.js'

/** A decision counts as current for so many milliseconds. */
const recentMs = 5 * 60_000
/** Over so many milliseconds the rate of refused requests is counted. */
const rateMs = 60_000

/**
 * Callers and tenants at their limit, and a queue that is full.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function limitFindings(snapshot) {
  const limited = recent(snapshot, ({ code }) => code === 'rate_limited')
  const overloaded = recent(snapshot, ({ code }) => code === 'overloaded')
  return [
    ...(overloaded.length > 0
      ? [
          {
            ...ofDecisions(overloaded, snapshot),
            id: 'overloaded',
            level: /** @type {const} */ ('failing'),
            component: /** @type {const} */ ('replica'),
            word: 'overloaded',
            sentence: `${callers(overloaded)} refused because the broker is overloaded`,
          },
        ]
      : []),
    ...[...Map.groupBy(limited, ({ reason }) => reason)].map(([reason, same]) => limitFinding(reason, same, snapshot)),
  ]
}

/**
 * @param {Decision['reason']} reason
 * @param {readonly Decision[]} same at least one
 * @param {Snapshot} snapshot
 * @returns {Finding}
 */
function limitFinding(reason, same, snapshot) {
  const { now } = snapshot
  const isTenant = reason === 'tenant'
  const tenants = [...new Set(same.map(({ tenant, tenant_name }) => named(tenant_name, tenant)))]
  const names = [...new Set(same.map(({ caller }) => callerText(caller)))]
  const who = isTenant ? tenantsOf(tenants) : callers(same)
  const limits = [...new Set(same.map(({ limit }) => limit && limitText(reason, limit)))]
  const lastMinute = same.filter(({ time }) => now - Date.parse(time) < rateMs).length
  const atLeast = atLeastOf(snapshot)
  // Not in the sentence, which screen readers read again when it changes.
  const rate =
    lastMinute > 0
      ? `${atLeast}${count(lastMinute)} in the last minute`
      : `${atLeast}${count(same.length)} in the last 5 minutes`
  const subjects = isTenant ? tenants : names
  const each = subjects.length === 1 ? '' : ' each'
  const to = limits.length === 1 && limits[0] ? ` to ${limits[0]}${each}` : `: ${limitCauses[reason] ?? reason}`
  return {
    ...ofDecisions(same, snapshot),
    id: `limited ${reason}`,
    level: 'attention',
    component: reason === 'bad_credentials' ? 'replica' : 'policy',
    word: `${plural(subjects.length, isTenant ? 'tenant' : 'caller')} limited`,
    sentence: `${who} limited${to}`,
    affected: `requests of ${isTenant ? 'every caller for ' : ''}${listed(subjects)} above the limit (${rate})`,
  }
}

/** @param {readonly string[]} names */
const tenantsOf = names =>
  names.length === 1 ? `Tenant ${names[0]} is` : `${plural(names.length, 'tenant')} (${listed(names)}) are`

const limitCauses = /** @type {Partial<Record<string, string>>} */ ({
  requests: 'more requests than its rule allows',
  exchanges: 'more new tokens than its rule allows',
  tenant: 'more new tokens than the policy allows for a tenant',
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
    {
      ...ofDecisions(denied, snapshot),
      id: 'denied',
      level: 'notice',
      component: 'policy',
      word: 'requests denied',
      sentence: `${callers(denied, 'was', 'were')} denied by the policy in the last 5 minutes`,
    },
  ]
}

/**
 * @param {Snapshot} snapshot
 * @param {(decision: Decision) => boolean} isMeant
 */
const recent = ({ decisions, now }, isMeant) =>
  decisions.filter(decision => now - Date.parse(decision.time) < recentMs && isMeant(decision))

/**
 * Older decisions than those that were read can be missing from a number.
 * @param {Snapshot} snapshot
 */
const atLeastOf = ({ hasMoreDecisions }) => (hasMoreDecisions ? 'at least ' : '')

/**
 * What findings about decisions have in common.
 * @param {readonly Decision[]} same the newest first
 * @param {Snapshot} snapshot
 */
function ofDecisions(same, snapshot) {
  // The remedy of a decision is for the caller; this one is for the person on call.
  const remedies = [...new Set(same.map(({ reason }) => remedyOf(reason)))]
  const names = [...new Set(same.map(({ caller }) => callerText(caller)))]
  return {
    affected: `${atLeastOf(snapshot)}${plural(same.length, 'request')} of ${listed(names)}`,
    actions: remedies.slice(0, 3),
    // Older ones can be missing: then the first of these is not the first.
    since: snapshot.hasMoreDecisions ? undefined : same.at(-1)?.time,
  }
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
