/**
 * What is wrong with the broker itself: its policy, the ends of keys and certificates, its readiness. Without the DOM.
 * @import { Facts, Finding } from './finding.ts'
 * @import { Snapshot } from './responses.ts'
 */
import { clockTime, count, duration } from './format.js'

/**
 * The file that a person corrects, if it is known.
 * @param {string | null} path
 * @returns {Facts | undefined}
 */
const fileFacts = path => (path === null ? undefined : { title: 'The file', values: [['Path', path]] })

/** The most errors of the policy file that are listed. */
const mostErrors = 5

/**
 * The policy file.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function policyFindings({ health: { policy }, now }) {
  if (policy.status !== 'failing') return []
  const errors = policy.errors ?? []
  const shown = errors.slice(0, mostErrors).map(({ where, what }) => /** @type {const} */ ([where, what]))
  const more = errors.length - shown.length
  return [
    {
      id: 'policy',
      level: 'attention',
      component: 'policy',
      word: 'new file refused',
      sentence: `The new policy file is invalid, so the policy of ${clockTime(policy.loaded_at, now)} UTC stays active`,
      affected: 'no request yet, but a replica that restarts or is added does not start',
      warnings: ['Do not restart or add replicas now. With this file, a replica does not start.'],
      actions: [
        'Correct the file, or put the previous one back.',
        'Check it with `token-broker policy check`, which shows every error.',
      ],
      recovery: 'The broker reads the file again by itself within a minute. No restart is necessary.',
      facts: {
        title: 'The file and its errors',
        values: [
          ...(policy.file === null ? [] : [/** @type {const} */ (['Path', policy.file])]),
          ...shown,
          ...(more > 0 ? [/** @type {const} */ (['And', `${count(more)} more`])] : []),
        ],
      },
      since: policy.since,
    },
  ]
}

/**
 * Whether the replica gets requests at all.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function readinessFindings({ health }) {
  if (health.draining)
    return [
      {
        id: 'draining',
        level: 'notice',
        component: 'replica',
        word: 'draining',
        sentence: 'This replica is draining: it stops soon, and gets no new requests',
        affected: 'this replica only',
        actions: ['Nothing, if a restart or a deployment is intended.'],
      },
    ]
  if (health.ready) return []
  return [
    {
      id: 'ready',
      level: 'failing',
      component: 'replica',
      word: 'not ready',
      sentence: 'This replica is not ready, so it gets no requests',
      affected: 'this replica only',
      actions: [
        'It needs a token of its identity and the keys of one issuer. The tiles, below, show which is missing.',
      ],
      since: health.started_at,
    },
  ]
}

const kinds = /** @type {Partial<Record<string, string>>} */ ({
  api_key: 'API key',
  tls: 'TLS certificate',
  client_ca: 'client CA certificate',
})

/**
 * Keys and certificates that expire soon or have expired.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export const endFindings = ({ health, now }) =>
  health.ends.filter(({ state }) => state !== 'valid').map(end => endFinding(end, health.policy.file, now))

/**
 * @param {Snapshot['health']['ends'][number]} end
 * @param {string | null} policyFile
 * @param {number} now
 * @returns {Finding}
 */
function endFinding({ kind, name, file, ends_at, state }, policyFile, now) {
  const isKey = kind === 'api_key'
  const isOver = state === 'ended'
  const what = `The ${kinds[kind] ?? kind} ${name}`
  const seconds = (Date.parse(ends_at) - now) / 1000
  return {
    id: `end ${kind} ${name} ${ends_at}`,
    level: isOver && !isKey ? 'failing' : 'attention',
    component: isKey ? 'policy' : 'replica',
    word: `${isKey ? 'API key' : 'certificate'} ${isOver ? 'expired' : 'expires soon'}`,
    sentence: isOver
      ? `${what} expired at ${clockTime(ends_at, now)} UTC, and is refused`
      : `${what} expires in ${duration(seconds)} (${clockTime(ends_at, now)} UTC)`,
    affected: isOver ? endsFor[kind] : `no request yet; then ${endsFor[kind]}`,
    actions: isKey
      ? ['Make another with `token-broker key`.', 'Set it as `next` in the policy.', 'Give it to the caller.']
      : ['Replace the file.'],
    recovery: isKey ? undefined : 'The broker reads the file again by itself within a minute. No restart is necessary.',
    facts: fileFacts(isKey ? policyFile : file),
    ...(isOver ? { since: ends_at } : { from: ends_at }),
  }
}

/** Who notices that something has expired. */
const endsFor = {
  api_key: 'callers with this API key',
  tls: 'every caller that connects with TLS',
  client_ca: 'callers with a client certificate of this CA',
}
