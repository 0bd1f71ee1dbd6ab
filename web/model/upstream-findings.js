/**
 * What is wrong around the broker, except Entra: the managed identity, the issuers, Redis. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Snapshot, Upstream } from './responses.ts'
 */
import { clockTime, duration, listed, plural } from './format.js'
import { remedyOf } from './remedies.js'

/** Milliseconds for which the keys of an issuer are used while it is unavailable. */
export const keysLastMs = 60 * 60_000

/**
 * The upstreams of a kind that fail.
 * @param {Snapshot} snapshot
 * @param {Upstream['kind']} kind
 */
export const failing = ({ health }, kind) =>
  health.upstreams.filter(upstream => upstream.kind === kind && upstream.status === 'failing')

/**
 * What it means for callers that no new tokens are issued: cached ones still are.
 * @param {Snapshot} snapshot
 */
export function impact({ cache }) {
  if (cache.entries === 0) return 'no token is issued'
  const risk =
    cache.at_risk > 0 && cache.at_risk_usable_seconds !== null
      ? `, and the first of ${plural(cache.at_risk, 'token')} at risk ends in ${duration(cache.at_risk_usable_seconds)}`
      : ''
  return `only cached tokens are issued${risk}`
}

/**
 * The managed identity: without its token there is no exchange.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export const identityFindings = snapshot =>
  failing(snapshot, 'identity').map(({ since, detail, last_error }) => ({
    id: 'identity',
    level: 'failing',
    component: 'identity',
    word: 'no token',
    sentence: `The managed identity issues no token, so ${impact(snapshot)}`,
    affected: 'every request that needs a new token',
    actions: [remedyOf(last_error?.reason ?? 'network', 'identity')],
    facts: { title: 'What is known', values: [['Last error', detail]] },
    since,
  }))

/**
 * The keys of issuers. They are used for an hour while the issuer is unavailable.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function issuerFindings(snapshot) {
  const found = failing(snapshot, 'issuer')
  const [first] = found
  if (!first) return []
  const names = found.map(({ name }) => name)
  const ends = found.flatMap(({ last_success }) =>
    last_success === null ? [] : [Date.parse(last_success) + keysLastMs],
  )
  const nextEnd = Math.min(...ends)
  const hasKeys = ends.length === found.length && nextEnd > snapshot.now
  const issuers = names.length === 1 ? `issuer ${names[0]}` : `the issuers ${listed(names)}`
  const whose = names.length === 1 ? 'its' : 'their'
  const meaning = hasKeys
    ? `and ${whose} callers are refused once the cached keys are an hour old`
    : `so ${whose} callers are refused`
  return [
    {
      id: 'issuer',
      level: hasKeys ? 'attention' : 'failing',
      component: 'issuers',
      word: found.length === 1 ? 'keys unavailable' : `keys of ${found.length} unavailable`,
      sentence: `The keys of ${issuers} cannot be fetched, ${meaning}`,
      affected: `callers of ${issuers}`,
      actions: [remedyOf(first.last_error?.reason ?? 'keys')],
      facts: {
        title: 'What is known',
        values: found.slice(0, 5).map(({ name, detail }) => [`Issuer ${name}`, detail]),
      },
      ...(hasKeys ? { from: new Date(nextEnd).toISOString() } : { since: first.since }),
    },
  ]
}

/**
 * Redis, which replicas share.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function redisFindings({ health, now }) {
  const shared = health.shared_cache
  if (!shared || shared.status !== 'failing') return []
  return [
    {
      id: 'redis',
      level: 'attention',
      component: 'redis',
      word: 'unavailable',
      sentence: `Redis has not responded since ${clockTime(shared.since, now)} UTC, so each replica works alone: tokens are issued, but purges reach this replica only`,
      affected: 'purges, and the number of exchanges; no request for a token',
      actions: ['Check that Redis runs, that the network lets the broker reach it, and its user and password.'],
      facts: {
        title: 'What is known',
        values: [
          ...(shared.address === null ? [] : [/** @type {const} */ (['Address', shared.address])]),
          ['State', shared.detail],
        ],
      },
      since: shared.since,
    },
  ]
}
