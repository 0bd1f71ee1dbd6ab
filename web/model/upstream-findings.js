/**
 * What is wrong around the broker, except Entra: the managed identity, the issuers, Redis. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { StoreFailure } from '../../src/broker/tokens/second-level.ts'
 * @import { Snapshot, Upstream } from './responses.ts'
 */
import { clockTime, listed } from './format.js'
import { firstExpiry, impact } from './outage.js'
import { identitySteps, remedyOf } from './remedies.js'

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
 * @param {string} detail
 * @param {string | null} code
 */
const withCode = (detail, code) => (code === null ? detail : `${detail} ${code}`)

/**
 * The managed identity: without its token there is no exchange.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export const identityFindings = snapshot =>
  failing(snapshot, 'identity').map(({ since, detail, last_error, address }) => ({
    id: 'identity',
    level: 'failing',
    component: 'identity',
    word: 'no token',
    sentence: `The managed identity issues no token, so ${impact(snapshot)}`,
    affected: 'every request that needs a new token, of all tenants',
    actions: identitySteps(last_error?.reason ?? 'network'),
    recovery:
      'With each request for a new token, the broker tries again by itself, some seconds after the last attempt. No purge is necessary.',
    facts: {
      title: 'What is known',
      values: [
        ...(address ? [/** @type {const} */ (['Address', address])] : []),
        ['Last error', withCode(detail, last_error?.system_code ?? null)],
      ],
    },
    since,
    deadline: firstExpiry(snapshot),
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
  const [issuers, whose] =
    names.length === 1 ? [`issuer ${names[0]}`, 'its'] : [`the issuers ${listed(names)}`, 'their']
  const meaning = hasKeys
    ? `and ${whose} callers are refused from ${clockTime(nextEnd, snapshot.now)} UTC, when the cached keys are an hour old`
    : `so ${whose} callers are refused`
  const isSome = snapshot.health.upstreams.some(({ kind, status }) => kind === 'issuer' && status === 'ok')
  return [
    {
      id: 'issuer',
      level: hasKeys ? 'attention' : isSome ? 'partial' : 'failing',
      component: 'issuers',
      word: found.length === 1 ? 'keys unavailable' : `keys of ${found.length} unavailable`,
      sentence: `The keys of ${issuers} cannot be fetched, ${meaning}`,
      affected: hasKeys ? `no request yet; then every caller of ${issuers}` : `every caller of ${issuers}`,
      warnings: hasKeys
        ? [
            `Do not restart the replica now. A restart loses the cached keys of ${issuers}, so ${whose} callers would be refused at once.`,
          ]
        : [],
      actions: keySteps(found),
      recovery:
        'With requests of such callers, the broker fetches the keys again by itself, 10 s after the last attempt at the earliest.',
      facts: {
        title: 'What is known',
        values: found.slice(0, 5).map(({ name, detail }) => [`Issuer ${name}`, detail]),
      },
      ...(hasKeys ? { from: new Date(nextEnd).toISOString() } : { since: first.since }),
    },
  ]
}

/**
 * Kubernetes is a cause only where the issuer refuses to be read.
 * @param {readonly Upstream[]} found at least one
 */
const keySteps = found => [
  remedyOf(found[0]?.last_error?.reason ?? 'keys'),
  ...(found.some(({ detail }) => /\bHTTP 40[13]\b/.test(detail))
    ? ['If it is a Kubernetes API server, which refuses anonymous reads, use `jwksTokenFile` or `jwksFile`.']
    : ['Check DNS, firewall and proxy on the way there. If its certificate is of a private CA, check `caFile`.']),
]

/** What a purge reaches while Redis does not respond. */
export const redisDownPurge =
  'Redis does not respond, so a purge reaches this replica only. The others apply it once Redis responds. If this replica stops before that, purge again.'

const [runs, reaches] = [
  'Check that Redis runs, and its address.',
  'Check that DNS, firewall and network rules let the broker reach it.',
]

/** @satisfies {Record<StoreFailure, string>} */
const redisErrors = {
  refused: 'the connection is refused',
  timeout: 'no response in time',
  name: 'its name has no address in DNS',
  tls: 'TLS fails: the certificate or the protocol is not accepted',
  credential: 'the user or the credential is refused, or the broker could not get one',
  closed: 'the connection was closed',
  other: 'does not respond',
}

/** @satisfies {Record<StoreFailure, readonly string[]>} */
const redisSteps = {
  refused: [runs, reaches],
  timeout: [reaches, runs],
  name: ['Check the host in `BROKER_REDIS_URL`, and DNS from the network of the broker.'],
  tls: ['Check the certificate of Redis: its name, its dates, and its authority against `BROKER_REDIS_CA_FILE`.'],
  credential: ['Check the user and the password, or the access policy of the managed identity.'],
  closed: [runs, reaches],
  other: [runs, reaches, 'Look for `Redis is unavailable` in the log of the broker: it has the error.'],
}

/**
 * Redis, which replicas share.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function redisFindings({ health }) {
  const shared = health.shared_cache
  if (!shared || shared.status !== 'failing') return []
  return [
    {
      id: 'redis',
      level: 'attention',
      component: 'redis',
      word: 'unavailable',
      sentence:
        'Redis does not respond, so each replica works alone: tokens are issued, but a purge reaches one replica only',
      affected: 'no request for a token. Replicas fetch the same tokens several times, and purges are incomplete',
      warnings: [redisDownPurge],
      actions: redisSteps[shared.failure ?? 'other'],
      recovery: 'The broker connects again by itself, some seconds after the last attempt. No restart is necessary.',
      facts: {
        title: 'What is known',
        values: [
          ...(shared.address === null ? [] : [/** @type {const} */ (['Address', shared.address])]),
          ['Last error', redisErrors[shared.failure ?? 'other']],
        ],
      },
      since: shared.since,
    },
  ]
}
