/**
 * What an outage means while no new token is issued: cached ones still are, and until when. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Entry, Failure, Snapshot, Upstream } from './responses.ts'
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

/** Exchanges that only fail for so many milliseconds are an outage, although those of one tenant alone may have been made. */
const lastingMs = 60_000
/**
 * The codes of errors that the exchange of one tenant can have by itself.
 * @type {ReadonlySet<Failure['code']>}
 */
const ofOneExchange = new Set(['upstream_unavailable', 'upstream_invalid'])

/**
 * The tenants whose exchanges fail with such an error.
 * @param {readonly Failure[]} failures
 */
export const tenantsWithoutResponse = failures =>
  new Set(failures.flatMap(({ code, tenant }) => (tenant !== null && ofOneExchange.has(code) ? [tenant] : [])))

/**
 * Whether Entra fails for more than one tenant, as far as can be known: `failing` in `/health` says only that the last
 * exchange failed, which may have been the only one. So it needs failures of two tenants, a circuit breaker that has opened,
 * a minute in which none succeeded, or an error that is not of one exchange.
 *
 * @param {Pick<Snapshot, 'health' | 'failures'>} snapshot
 */
export const isEntraOut = ({ health, failures }) =>
  health.upstreams.some(upstream => upstream.kind === 'authority' && isOut(upstream, failures))

/**
 * @param {Upstream} authority
 * @param {readonly Failure[]} failures
 */
function isOut({ status, since, circuit, last_error }, failures) {
  if (status !== 'failing') return false
  if (last_error === null || !ofOneExchange.has(last_error.code)) return true
  const isPaused = circuit !== undefined && circuit.state !== 'closed'
  const isLasting = Date.parse(last_error.at) - Date.parse(since) >= lastingMs
  return isPaused || isLasting || tenantsWithoutResponse(failures).size > 1
}

/**
 * Whether the managed identity or Entra fails for all tenants.
 * @param {Pick<Snapshot, 'health' | 'failures'>} snapshot
 */
export const isUpstreamOut = snapshot =>
  snapshot.health.upstreams.some(({ kind, status }) => kind === 'identity' && status === 'failing') ||
  isEntraOut(snapshot)

/**
 * Whether new tokens fail for all tenants, so that the end of the cached ones matters.
 * @param {Pick<Snapshot, 'health' | 'failures'>} snapshot
 */
export const isOutage = snapshot =>
  isUpstreamOut(snapshot) || snapshot.failures.some(({ level }) => level === 'application')

/**
 * The earliest moment at which one of these is no longer issued, in milliseconds since 1970.
 * @param {readonly Entry[]} entries
 * @param {number} now
 */
export function earliestEnd(entries, now) {
  const left = entries.map(({ usable_seconds }) => usable_seconds).filter(seconds => seconds > 0)
  return left.length === 0 ? undefined : now + Math.min(...left) * 1000
}
