/**
 * What is wrong around the broker: its clock, the managed identity, Entra, the issuers, Redis. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Failure, Snapshot, Upstream } from './responses.ts'
 */
import { clockTime, duration, latency, listed, plural } from './format.js'
import { remedyOf } from './remedies.js'

/** Seconds between the clocks from which on tokens may be refused, and from which on it needs attention. */
const clockLimits = { failing: 120, attention: 5 }
/** Seconds that exchanges take on average, from which on Entra is slow; 0.1 to 0.5 s is usual. */
const slowSeconds = 1.5

/**
 * The upstreams of a kind that fail.
 * @param {Snapshot} snapshot
 * @param {Upstream['kind']} kind
 */
const failing = ({ health }, kind) =>
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
 * The broker's clock against that of Entra: a wrong clock causes many other failures, so this comes first.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function clockFindings({ health }) {
  const offset = health.upstreams.find(({ kind }) => kind === 'authority')?.clock_offset_seconds ?? 0
  const distance = Math.abs(offset)
  if (distance < clockLimits.attention) return []
  const isFar = distance >= clockLimits.failing
  const direction = offset > 0 ? 'ahead of' : 'behind'
  const meaning = isFar ? 'so tokens are refused as expired or not yet valid' : 'and tokens are refused if it grows'
  return [
    {
      id: 'clock',
      level: isFar ? 'failing' : 'attention',
      sentence: `The broker's clock is ${duration(distance)} ${direction} that of Entra, ${meaning}`,
      actions: ['Correct the time synchronisation (NTP) of the host. Then restart the replica.'],
    },
  ]
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
    sentence: `The managed identity issues no token, so ${impact(snapshot)}`,
    actions: [remedyOf(last_error?.reason ?? 'network', 'identity'), detail],
    since,
  }))

const authorityCauses = /** @type {Partial<Record<string, string>>} */ ({
  network: 'Entra cannot be reached',
  timeout: 'Entra does not respond in time',
  server_error: 'Entra responds with errors',
  throttled: "Entra limits the broker's requests",
  circuit_open: 'Entra is unavailable',
  federation: 'The federated credential does not match the managed identity',
  assertion: "Entra rejects the managed identity's token",
})

/**
 * Entra itself. An error of the broker's own set-up is a failure of an application, which has the remedy, as long as the
 * broker has it in its cache: it ends, and a purge removes it.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function authorityFindings(snapshot) {
  const isKnown = snapshot.failures.some(({ level }) => level === 'application')
  return failing(snapshot, 'authority')
    .filter(({ last_error }) => !(isKnown && last_error?.code === 'federation_misconfigured'))
    .map(({ since, circuit, last_error }) => {
      const reason = last_error?.reason ?? 'network'
      const cause = authorityCauses[reason] ?? "Entra's responses cannot be used"
      const paused = circuit?.state === 'closed' ? '' : ', and the broker has paused its requests (circuit open)'
      return {
        id: 'authority',
        level: 'failing',
        sentence: `${cause}${paused}, so ${impact(snapshot)}`,
        actions: [remedyOf(reason)],
        since,
      }
    })
}

/**
 * Failures of whole applications: the federated credential does not match, or Entra refuses the assertion.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function applicationFindings(snapshot) {
  const all = snapshot.failures.filter(({ level }) => level === 'application')
  return all.map(failure => ({
    id: `application ${failure.client_id}`,
    level: 'failing',
    sentence: `${applicationCause(failure)}, so ${impact(snapshot)}`,
    actions: [failure.remedy ?? remedyOf(failure.reason)],
    since: failure.since,
  }))
}

/** @param {Failure} failure */
function applicationCause({ application, client_id, reason, codes }) {
  const which = `application ${application ?? client_id}`
  const number = codes.length > 0 ? ` (AADSTS${codes[0]})` : ''
  return reason === 'assertion'
    ? `Entra rejects the managed identity's token for ${which}${number}`
    : `The federated credential of ${which} does not match the managed identity${number}`
}

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
  const hasKeys = found.every(({ last_success }) => last_success !== null)
  const issuers = names.length === 1 ? `issuer ${names[0]}` : `the issuers ${listed(names)}`
  const whose = names.length === 1 ? 'its' : 'their'
  const meaning = hasKeys
    ? `and ${whose} callers are refused once the cached keys are an hour old`
    : `so ${whose} callers are refused`
  return [
    {
      id: 'issuer',
      level: hasKeys ? 'attention' : 'failing',
      sentence: `The keys of ${issuers} cannot be fetched, ${meaning}`,
      actions: [remedyOf(first.last_error?.reason ?? 'keys'), first.detail],
      since: first.since,
    },
  ]
}

/**
 * Exchanges that succeed, but slowly.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function slowFindings({ health, cache }) {
  const entra = health.upstreams.find(({ kind }) => kind === 'authority')
  const average = entra?.average_seconds ?? 0
  if (average < slowSeconds || entra?.status === 'failing') return []
  const queue = cache.waiting > 0 ? `, and ${plural(cache.waiting, 'request')} wait in the queue` : ''
  return [
    {
      id: 'slow',
      level: 'attention',
      sentence: `Entra is slow: an exchange takes ${latency(average)} on average${queue}`,
      actions: [
        'Check the status page of Azure, and the latency from the network of the broker to Entra (proxy, firewall, DNS).',
        ...(cache.waiting > 0 ? ['Raise `BROKER_UPSTREAM_CONCURRENCY`, or add replicas.'] : []),
      ],
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
      sentence: `Redis has not responded since ${clockTime(shared.since, now)}, so each replica works alone: tokens are issued, but purges reach this replica only`,
      actions: [
        'Check that Redis runs, that the network lets the broker reach it, and its user and password.',
        shared.detail,
      ],
      since: shared.since,
    },
  ]
}
