/**
 * What goes wrong for single tenants and agent identities. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Failure, Snapshot } from './responses.ts'
 */
import { count, listed, named } from './format.js'
import { isOutage, isUpstreamOut, tenantsWithoutResponse } from './outage.js'
import { reasonText } from './reasons.js'
import { remedyOf } from './remedies.js'

const causes = /** @type {Partial<Record<string, string>>} */ ({
  consent: 'admin consent is missing or was revoked',
  request: 'Entra refuses the tenant or the resource',
  unknown: 'Entra rejects the request',
  client: 'Entra rejects the application there',
  agent_identity: "Entra does not accept the blueprint's token as its credential",
  agent_assertion: "Entra rejects the blueprint's token for it",
  cloud: 'it is in another national cloud',
  throttled: 'Entra limits requests for it',
  timeout: 'Entra does not respond in time for it',
  server_error: 'Entra responds with errors for it',
  network: 'Entra cannot be reached for it',
  transient: 'Entra responds with an error that passes',
})

/** What is different for an agent identity: the cause can be the agent identity, or its blueprint in the tenant. */
const agentCauses = {
  ...causes,
  consent: 'it or its blueprint does not exist in the tenant, is disabled, or has no permission',
  client: 'Entra rejects its blueprint there',
}

/**
 * Failures of single tenants and agent identities, one finding for each reason.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function tenantFindings(snapshot) {
  const { failures, hasMoreFailures, health } = snapshot
  const isDown = isUpstreamOut(snapshot)
  // During an outage every tenant fails for the same reason, which is the finding.
  const own = failures.filter(
    ({ level, code }) => level !== 'application' && !(isDown && code === 'upstream_unavailable'),
  )
  const isUnknown = health.upstreams.some(({ kind, status }) => kind === 'authority' && status === 'failing')
  const isOut = isOutage(snapshot)
  const groups = Map.groupBy(own, ({ reason, agent_id }) => (agent_id === null ? reason : `agent ${reason}`))
  return [...groups].flatMap(([id, same]) => {
    const [first] = same
    if (first === undefined) return []
    const whose = first.agent_id === null ? ofTenants(same) : ofAgents(same)
    const finding = tenantFinding({ id, reason: first.reason, ...whose }, same, hasMoreFailures)
    const others = isOut ? '' : othersText(isUnknown, same)
    return [{ ...finding, affected: `${finding.affected}${others}` }]
  })
}

/**
 * What is known of other tenants.
 * @param {boolean} isUnknown whether the last exchange with Entra failed, so that others may be affected too
 * @param {readonly Failure[]} same
 */
function othersText(isUnknown, same) {
  if (!isUnknown) return '. Other tenants get tokens'
  return tenantsWithoutResponse(same).size > 0 ? '. Whether other tenants get new tokens is not known yet' : ''
}

/**
 * @typedef {object} Whose whose tokens cannot be obtained
 * @property {'tenant' | 'agent identity'} one the word for one of them
 * @property {string} several the word for several
 * @property {readonly string[]} names
 * @property {string} where
 * @property {Partial<Record<string, string>>} why the causes, by reason
 */

/**
 * @param {readonly Failure[]} same
 * @returns {Whose}
 */
const ofTenants = same => ({ one: 'tenant', several: 'tenants', names: tenantNames(same), where: '', why: causes })

/**
 * @param {readonly Failure[]} same
 * @returns {Whose}
 */
function ofAgents(same) {
  const names = [...new Set(same.map(({ agent, agent_id }) => agent ?? agent_id ?? ''))]
  return {
    one: 'agent identity',
    several: 'agent identities',
    names,
    where: ` in ${listed(tenantNames(same))}`,
    why: agentCauses,
  }
}

/** @param {readonly Failure[]} same */
const tenantNames = same => [...new Set(same.map(({ tenant, tenant_name }) => named(tenant_name, tenant)))]

/**
 * @param {Whose & { id: string, reason: Failure['reason'] }} about
 * @param {readonly Failure[]} same
 * @param {boolean} hasMore whether there are failures besides those that were read
 * @returns {Finding}
 */
function tenantFinding({ id, reason, one, several, names, where, why }, same, hasMore) {
  const isOne = names.length === 1
  const noun = isOne ? one : several
  const number = `${hasMore ? 'At least ' : ''}${count(names.length)} ${noun}`
  const which = isOne ? '' : ` (${listed(names)})`
  const codes = [...new Set(same.flatMap(each => each.codes))]
  const code = codes.length === 1 ? ` (AADSTS${codes[0]})` : ''
  const remedies = [...new Set(same.map(({ remedy }) => remedy ?? remedyOf(reason)))]
  const more = remedies.length > 3 ? ['The table of failures, below, has the others.'] : []
  const scopes = [...new Set(same.map(({ scope }) => scope))]
  const [scope = null] = scopes.length === 1 ? scopes : []
  const what = scope === null ? 'requests for new tokens' : `requests for new tokens for ${scope}`
  return {
    id: `tenants ${id}`,
    level: 'partial',
    component: 'tenants',
    word: one === 'tenant' ? `${count(names.length)} failing` : `${count(names.length)} ${noun} failing`,
    sentence: `${isOne ? `${capital(one)} ${names[0]} gets` : `${number} get`} no new tokens${which}${where}: ${why[reason] ?? causeOf(same)}${code}`,
    affected: `${what} of ${isOne ? `${one} ${names[0]} only` : listed(names)}`,
    actions: [...remedies.slice(0, 3), ...more],
    recovery:
      'With the next request for such a token, the broker tries again by itself, after a pause of at most one minute as a rule. No purge is necessary.',
    since: same.map(({ since }) => since).toSorted()[0],
  }
}

/**
 * The cause of a reason that has no words of its own.
 * @param {readonly Failure[]} same
 */
const causeOf = ([first]) =>
  first?.code === 'upstream_invalid'
    ? `Entra's response for it cannot be used (${reasonText(first.reason)})`
    : reasonText(first?.reason ?? '')

/** @param {string} text */
const capital = text => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
