/**
 * The stations that a request for a token passes, with the state of each. Without the DOM.
 * @import { Snapshot, Upstream } from './responses.ts'
 * @typedef {object} Station
 * @property {string} title
 * @property {'ok' | 'attention' | 'failing' | 'unknown'} level
 * @property {string} word the state in one or two words
 * @property {string} detail
 */
import { clockTime, count, latency, plural } from './format.js'

/**
 * @param {Snapshot} snapshot
 * @returns {readonly Station[]} in the order in which a request passes them
 */
export function way(snapshot) {
  const { health } = snapshot
  const of = (/** @type {Upstream['kind']} */ kind) => health.upstreams.filter(upstream => upstream.kind === kind)
  return [
    ...of('issuer').map(upstream => upstreamStation(`Issuer ${upstream.name}`, upstream, snapshot.now)),
    policyStation(snapshot),
    cacheStation(snapshot),
    ...redisStation(snapshot),
    ...of('identity').map(upstream => upstreamStation('Managed identity', upstream, snapshot.now)),
    ...of('authority').map(upstream => authorityStation(upstream, snapshot)),
  ]
}

const words = { ok: 'reachable', failing: 'failing', unknown: 'not used yet' }

/**
 * @param {string} title
 * @param {Upstream} upstream
 * @param {number} now
 * @returns {Station}
 */
function upstreamStation(title, { status, since, detail, average_seconds }, now) {
  const time = average_seconds === null || status === 'unknown' ? '' : `${latency(average_seconds)} on average`
  return {
    title,
    level: status,
    word: words[status],
    detail: status === 'failing' ? `${detail} Since ${clockTime(since, now)}.` : time,
  }
}

/**
 * @param {Upstream} upstream
 * @param {Snapshot} snapshot
 * @returns {Station}
 */
function authorityStation(upstream, { now, cache }) {
  const station = upstreamStation('Entra', upstream, now)
  const { state = 'closed', since = '' } = upstream.circuit ?? {}
  const waiting = cache.waiting + cache.waiting_background
  const load = `${plural(cache.exchanging, 'exchange')} now, ${count(waiting)} waiting`
  const isOpen = state !== 'closed'
  return {
    ...station,
    level: isOpen ? 'failing' : station.level,
    word: isOpen ? `circuit ${state}` : station.word,
    detail: [
      station.detail,
      isOpen ? `Circuit ${state} since ${clockTime(since, now)}.` : 'Circuit closed.',
      `${load}.`,
    ]
      .filter(text => text !== '')
      .map(text => (text.endsWith('.') ? text : `${text}.`))
      .join(' '),
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Station}
 */
function policyStation({ health: { policy }, now }) {
  const isOk = policy.status === 'ok'
  return {
    title: 'Policy',
    level: isOk ? 'ok' : 'attention',
    word: isOk ? 'loaded' : 'new file refused',
    detail: isOk
      ? `${policy.detail}; loaded ${clockTime(policy.loaded_at, now)}`
      : `The version of ${clockTime(policy.loaded_at, now)} stays active.`,
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {Station}
 */
function cacheStation({ cache }) {
  const failures = cache.failures.reduce((sum, each) => sum + each.count, 0)
  const isFull = cache.entries >= cache.max_entries
  const atRisk = cache.at_risk > 0
  return {
    title: 'Cache',
    level: atRisk ? 'attention' : 'ok',
    word: atRisk ? `${count(cache.at_risk)} at risk` : isFull ? 'full' : 'in use',
    detail: `${plural(cache.entries, 'token')} of ${count(cache.max_entries)}, ${plural(failures, 'cached failure')}`,
  }
}

/**
 * @param {Snapshot} snapshot
 * @returns {readonly Station[]}
 */
function redisStation({ health: { shared_cache: shared }, now }) {
  if (!shared) return []
  const isOk = shared.status === 'ok'
  const replicas = shared.live_replicas === null ? 'replicas unknown' : plural(shared.live_replicas, 'live replica')
  return [
    {
      title: 'Redis',
      level: isOk ? 'ok' : 'attention',
      word: isOk ? 'reachable' : 'unavailable',
      detail: isOk ? replicas : `Since ${clockTime(shared.since, now)}. ${shared.detail}`,
    },
  ]
}
