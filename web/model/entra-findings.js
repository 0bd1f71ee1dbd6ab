/**
 * What is wrong with the way to Entra: the broker's clock, the federated credential, Entra itself. Without the DOM.
 * @import { Facts, Finding } from './finding.ts'
 * @import { Failure, Snapshot, Upstream } from './responses.ts'
 */
import { duration, plural } from './format.js'
import { firstExpiry, impact, isEntraOut, tenantsWithoutResponse } from './outage.js'
import { reasonText } from './reasons.js'
import { remedyOf } from './remedies.js'
import { failing } from './upstream-findings.js'

/** Seconds between the clocks from which on it needs attention: dates of responses have whole seconds. */
export const clockLimit = 5
/** Seconds between the clocks from which on Entra and issuers usually refuse tokens. */
const clockTolerance = 120
/** Reasons of failures that a wrong clock causes, though not alone. */
const clockReasons = new Set(['assertion', 'expired', 'wrong_expiry'])
/** Seconds that exchanges take on average, from which on Entra is slow; 0.1 to 0.5 s is usual. */
const slowSeconds = 1.5

/**
 * The broker's clock against that of Entra: a wrong clock causes many other failures, so this comes first. It is failing
 * only if it is far away, and something fails that a wrong clock causes.
 *
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function clockFindings({ health, failures }) {
  const offset = health.upstreams.find(({ kind }) => kind === 'authority')?.clock_offset_seconds ?? 0
  const distance = Math.abs(offset)
  if (distance < clockLimit) return []
  const isFar = distance >= clockTolerance
  const isBlamed =
    isFar &&
    (failures.some(({ reason }) => clockReasons.has(reason)) ||
      health.upstreams.some(
        ({ status, last_error }) => status === 'failing' && clockReasons.has(last_error?.reason ?? ''),
      ))
  const direction = offset > 0 ? 'ahead of' : 'behind'
  const later = isFar ? 'so tokens can be refused as expired or not yet valid' : 'and tokens can be refused if it grows'
  return [
    {
      id: 'clock',
      level: isBlamed ? 'failing' : 'attention',
      component: 'replica',
      word: `clock ${duration(distance)} ${offset > 0 ? 'ahead' : 'behind'}`,
      sentence: `The broker's clock is ${duration(distance)} ${direction} that of Entra, ${isBlamed ? 'which probably causes the failures below' : later}`,
      affected: isBlamed
        ? 'every request that needs a new token, and callers whose own tokens have just been issued or expire soon'
        : 'no request yet',
      actions: ['Correct the time synchronisation (NTP) of the host.'],
      recovery: 'The next exchange with Entra measures the difference again. No restart is necessary.',
    },
  ]
}

const authorityCauses = /** @type {Partial<Record<string, readonly [sentence: string, word: string]>>} */ ({
  network: ['Entra cannot be reached', 'not reachable'],
  timeout: ['Entra does not respond in time', 'no response'],
  server_error: ['Entra responds with errors', 'errors'],
  throttled: ["Entra limits the broker's requests", 'limits requests'],
  circuit_open: ['Entra is unavailable', 'unavailable'],
  federation: ['The federated credential does not match the managed identity', 'credential refused'],
  assertion: ["Entra rejects the managed identity's token", 'identity refused'],
})

/**
 * @param {Snapshot} snapshot
 * @param {string | null} code of the operating system or of TLS
 * @returns {Facts | undefined}
 */
const codeFacts = (snapshot, code) =>
  code === null
    ? undefined
    : {
        title: 'What is known',
        values: [
          ['Address', failing(snapshot, 'authority')[0]?.name ?? ''],
          ['Last error', code],
        ],
      }

const triesAgain =
  'With the next request for each token, the broker tries again by itself, after a pause of up to 30 s or of what Entra demands. No restart and no purge is necessary.'

/** The word of Entra while only the last exchange is known to have failed. */
export const lastFailed = 'last exchange failed'

/**
 * The last exchange, which has failed, and of which no failure is cached any more.
 * @param {Upstream} authority
 * @returns {Finding}
 */
function lastExchangeFinding({ since, last_error }) {
  const reason = last_error?.reason ?? 'network'
  return {
    id: 'authority',
    level: 'attention',
    component: 'entra',
    word: lastFailed,
    sentence: `The last exchange with Entra failed (${reasonText(reason)}), and none has been made since`,
    affected: 'no request now. Whether new tokens are issued is not known',
    actions: [remedyOf(reason)],
    recovery: 'The next request for a new token shows whether it has passed. No restart and no purge is necessary.',
    since,
  }
}

/**
 * Entra itself. An error of the broker's own set-up is a failure of an application, which has the remedy, as long as the
 * broker has it in its cache: it ends, and a purge removes it.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function authorityFindings(snapshot) {
  const all = failing(snapshot, 'authority')
  // A failure of one tenant is a finding about that tenant.
  if (!isEntraOut(snapshot))
    return tenantsWithoutResponse(snapshot.failures).size > 0 ? [] : all.map(lastExchangeFinding)
  const isKnown = snapshot.failures.some(({ level }) => level === 'application')
  return all
    .filter(({ last_error }) => !(isKnown && last_error?.code === 'federation_misconfigured'))
    .map(({ since, circuit, last_error }) => {
      const reason = last_error?.reason ?? 'network'
      const [cause, word] = authorityCauses[reason] ?? ["Entra's responses cannot be used", 'invalid responses']
      const isPaused = circuit !== undefined && circuit.state !== 'closed'
      const paused = isPaused ? ', and the broker has paused its requests' : ''
      return {
        id: 'authority',
        level: 'failing',
        component: 'entra',
        word: isPaused ? `${word}, paused` : word,
        sentence: `${cause}${paused}, so ${impact(snapshot)}`,
        affected: 'every request that needs a new token, of all tenants',
        actions: [remedyOf(reason)],
        recovery: isPaused
          ? 'The broker tries again by itself with one request every two seconds. It sends all again after a response. No restart and no purge is necessary.'
          : triesAgain,
        facts: presentedFacts(last_error?.presented ?? null) ?? codeFacts(snapshot, last_error?.system_code ?? null),
        since,
        deadline: firstExpiry(snapshot),
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
  return all.map(failure => {
    const which = `application ${failure.application ?? failure.client_id}`
    return {
      id: `application ${failure.client_id}`,
      level: 'failing',
      component: 'entra',
      word: failure.reason === 'assertion' ? 'identity refused' : 'credential refused',
      sentence: `${applicationCause(failure, which)}, so ${impact(snapshot)}`,
      affected: `every request for a new token of ${which}, of all tenants`,
      actions: [failure.remedy ?? remedyOf(failure.reason)],
      recovery:
        'With the next request, the broker tries again by itself, at most 30 s after the last attempt. No restart and no purge is necessary.',
      facts: presentedFacts(failure.presented),
      since: failure.since,
      deadline: firstExpiry(snapshot),
    }
  })
}

/**
 * @param {Failure} failure
 * @param {string} which
 */
function applicationCause({ reason, codes }, which) {
  const number = codes.length > 0 ? ` (AADSTS${codes[0]})` : ''
  return reason === 'assertion'
    ? `Entra rejects the managed identity's token for ${which}${number}`
    : `The federated credential of ${which} does not match the managed identity${number}`
}

/**
 * @param {Failure['presented']} presented
 * @returns {Facts | undefined}
 */
const presentedFacts = presented =>
  presented === null
    ? undefined
    : {
        title: 'The broker presents the following. A federated credential of the app registration must have the same',
        values: [
          ['Issuer', presented.issuer],
          ['Subject', presented.subject],
          ['Audience', presented.audience],
        ],
      }

/**
 * Rounded down to half seconds, so that it does not change with each exchange. Charts measure over another time.
 * @param {number} seconds
 */
const halfSeconds = seconds => `${Math.floor(seconds * 2) / 2} s`

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
      component: 'entra',
      word: 'slow',
      sentence: `Entra is slow: exchanges take ${halfSeconds(average)} or more on average${queue}`,
      affected: 'requests that need a new token, which wait. Cached tokens are issued at once',
      actions: [
        'Check the status page of Azure, and the latency from the network of the broker to Entra (proxy, firewall, DNS).',
        ...(cache.waiting > 0 ? ['Raise `BROKER_UPSTREAM_CONCURRENCY`, or add replicas.'] : []),
      ],
    },
  ]
}
