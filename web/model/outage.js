/**
 * What an outage means while no new token is issued: cached ones still are, and until when. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Entry, Snapshot } from './responses.ts'
 */
import { plural } from './format.js'

/**
 * What it means for callers that no new tokens are issued.
 * @param {Snapshot} snapshot
 */
export const impact = ({ cache }) => (cache.entries === 0 ? 'no token is issued' : 'only cached tokens are issued')

/**
 * When the first cached token is no longer issued: of those at risk, which are in use and could not be refreshed; if there
 * are none, of all.
 * @param {Snapshot} snapshot
 * @returns {Finding['deadline']}
 */
export function firstExpiry({ cache, firstEnd, now }) {
  if (cache.at_risk > 0 && cache.at_risk_usable_seconds !== null) {
    const what =
      cache.at_risk === 1 ? 'A cached token that is' : `The first of ${plural(cache.at_risk, 'cached token')} that are`
    return {
      what: `${what} in use and could not be refreshed expires`,
      at: now + cache.at_risk_usable_seconds * 1000,
    }
  }
  return firstEnd === undefined ? undefined : { what: 'The first cached token expires', at: firstEnd }
}

/**
 * Whether new tokens fail for all tenants, so that the end of the cached ones matters.
 * @param {Pick<Snapshot, 'health' | 'failures'>} snapshot
 */
export const isOutage = ({ health, failures }) =>
  health.upstreams.some(({ kind, status }) => kind !== 'issuer' && status === 'failing') ||
  failures.some(({ level }) => level === 'application')

/**
 * The earliest moment at which one of these is no longer issued, in milliseconds since 1970.
 * @param {readonly Entry[]} entries
 * @param {number} now
 */
export function earliestEnd(entries, now) {
  const left = entries.map(({ usable_seconds }) => usable_seconds).filter(seconds => seconds > 0)
  return left.length === 0 ? undefined : now + Math.min(...left) * 1000
}
