/**
 * The steps in which a token is issued, with the state of each. Without the DOM.
 * @import { Component, Finding } from './finding.ts'
 * @import { Snapshot, Upstream } from './responses.ts'
 * @typedef {'ok' | 'attention' | 'partial' | 'failing' | 'unknown'} StationLevel
 * @typedef {object} Station
 * @property {string} title
 * @property {StationLevel} level that of the most serious finding about it
 * @property {string} word the state in one to four words
 * @property {string} detail
 * @typedef {Station & { component: Component }} Base what a station shows while no finding is about it
 */
import { clockLimit, lastFailed } from './entra-findings.js'
import { clockTime, count, duration, latency, listed, named, plural } from './format.js'
import { isEntraOut, isOutage } from './outage.js'

/**
 * Each station has the level and the word of its most serious finding, so that a tile never contradicts the verdict.
 * @param {Snapshot} snapshot
 * @param {readonly Finding[]} found what `findings` returned, the most serious first
 * @returns {readonly Station[]} in the order in which a request passes them
 */
export function way(snapshot, found) {
  const bases = [
    replicaStation(snapshot),
    issuersStation(snapshot),
    policyStation(snapshot),
    cacheStation(snapshot),
    ...redisStation(snapshot),
    identityStation(snapshot),
    entraStation(snapshot),
    tenantsStation(snapshot),
  ]
  return bases.map(({ component, ...station }) => {
    const [worst, ...others] = found.filter(each => each.component === component && each.level !== 'notice')
    if (!worst || worst.level === 'notice') return station
    const more = others.length > 0 ? ` and ${plural(others.length, 'other problem')}` : ''
    return { ...station, level: worst.level, word: `${worst.word}${more}` }
  })
}

/**
 * @param {Snapshot} snapshot
 * @param {Upstream['kind']} kind
 */
const upstreamsOf = ({ health }, kind) => health.upstreams.filter(upstream => upstream.kind === kind)

const words = { ok: 'reachable', failing: 'failing', unknown: 'not used yet' }

/** The names of the steps. That of the issuers is the issuer's if there is one only. */
export const titles = /** @type {const} */ ({
  replica: 'This replica',
  issuers: 'Issuers',
  policy: 'Policy',
  cache: 'Cache',
  redis: 'Redis',
  identity: 'Managed identity',
  entra: 'Entra',
  tenants: 'Tenants',
})

/**
 * The state of several upstreams as one: failing if one is, unknown if all are.
 * @param {readonly Upstream[]} upstreams
 * @returns {Upstream['status']}
 */
function statusOf(upstreams) {
  if (upstreams.some(({ status }) => status === 'failing')) return 'failing'
  return upstreams.some(({ status }) => status === 'ok') ? 'ok' : 'unknown'
}

/**
 * How long requests take. Zero is no measurement: keys or a token were read from a file.
 * @param {Upstream} upstream
 */
const timeOf = ({ average_seconds, status }) =>
  average_seconds === null || average_seconds === 0 || status === 'unknown'
    ? ''
    : `${latency(Number(average_seconds.toPrecision(2)))} on average, of the last requests.`

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function replicaStation(snapshot) {
  const { draining, started_at } = snapshot.health
  const offset = upstreamsOf(snapshot, 'authority')[0]?.clock_offset_seconds ?? null
  const clock =
    offset === null
      ? 'Clock not compared yet.'
      : Math.abs(offset) < clockLimit
        ? "Clock equals Entra's within 5 s."
        : `Clock ${duration(Math.abs(offset))} ${offset > 0 ? 'ahead of' : 'behind'} Entra's.`
  return {
    component: 'replica',
    title: titles.replica,
    level: 'ok',
    word: draining ? 'draining' : 'ready',
    detail: `Started ${clockTime(started_at, snapshot.now)}. ${clock}`,
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function issuersStation(snapshot) {
  const all = upstreamsOf(snapshot, 'issuer')
  const status = statusOf(all)
  const [first] = all
  const isOne = all.length === 1
  return {
    component: 'issuers',
    title: isOne && first ? `Issuer ${first.name}` : titles.issuers,
    level: all.length === 0 ? 'ok' : status,
    word: all.length === 0 ? 'none' : issuerWord(status),
    detail: isOne && first ? timeOf(first) : listed(all.map(each => `${each.name}: ${issuerWord(each.status)}`)),
  }
}

/**
 * Keys of a file are loaded without a request, so an issuer is not called reachable.
 * @param {Upstream['status']} status
 */
const issuerWord = status => (status === 'ok' ? 'keys loaded' : words[status])

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function policyStation({ health: { policy }, now }) {
  const loaded = `loaded ${clockTime(policy.loaded_at, now)}.`
  return {
    component: 'policy',
    title: titles.policy,
    level: 'ok',
    word: 'loaded',
    detail: policy.status === 'ok' ? `${policy.detail}; ${loaded}` : `Active: the version ${loaded}`,
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function cacheStation({ cache }) {
  const failures = cache.failures.reduce((sum, each) => sum + each.count, 0)
  const risk = cache.at_risk > 0 ? `, ${count(cache.at_risk)} at risk` : ''
  return {
    component: 'cache',
    title: titles.cache,
    level: 'ok',
    word: cache.entries >= cache.max_entries ? 'full' : 'in use',
    detail: `${plural(cache.entries, 'token')} of ${count(cache.max_entries)}${risk}, ${plural(failures, 'cached failure')}.`,
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {readonly Base[]}
 */
function redisStation({ health: { shared_cache: shared }, now }) {
  if (!shared) return []
  const replicas =
    shared.live_replicas === null ? 'Replicas unknown.' : `${plural(shared.live_replicas, 'live replica')}.`
  const detail = `${replicas} Since ${clockTime(shared.since, now)}.`
  return [{ component: 'redis', title: titles.redis, level: 'ok', word: 'reachable', detail }]
}

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function identityStation(snapshot) {
  const all = upstreamsOf(snapshot, 'identity')
  const status = statusOf(all)
  const detail = all.map(timeOf).join(' ')
  return { component: 'identity', title: titles.identity, level: status, word: words[status], detail }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function entraStation(snapshot) {
  const all = upstreamsOf(snapshot, 'authority')
  const status = statusOf(all)
  const { cache } = snapshot
  const circuit = all.find(each => each.circuit)?.circuit?.state ?? 'closed'
  const sent = circuit === 'closed' ? '' : circuit === 'open' ? 'Requests are paused.' : 'Single requests are sent.'
  const load = `${plural(cache.exchanging, 'exchange')} now, ${count(cache.waiting + cache.waiting_background)} waiting.`
  const detail = [...all.map(timeOf), sent, load].filter(text => text !== '').join(' ')
  const [level, word] =
    status === 'failing' && !isEntraOut(snapshot)
      ? /** @type {const} */ (['attention', lastFailed])
      : /** @type {const} */ ([status, words[status]])
  return { component: 'entra', title: titles.entra, level, word, detail }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Base}
 */
function tenantsStation({ failures, health }) {
  const failing = failures.filter(({ level }) => level !== 'application')
  const names = [...new Set(failing.map(({ tenant, tenant_name }) => named(tenant_name, tenant)))]
  // Failures of everything before are those of every tenant too: nothing is known about tenants themselves.
  const isAll = isOutage({ failures, health })
  return {
    component: 'tenants',
    title: titles.tenants,
    level: isAll ? 'unknown' : 'ok',
    word: isAll ? 'no new tokens' : 'none failing',
    detail:
      names.length === 0
        ? isAll
          ? 'The cause is not the tenants.'
          : 'No cached failure of a tenant.'
        : `Cached failures: ${listed(names)}.`,
  }
}
