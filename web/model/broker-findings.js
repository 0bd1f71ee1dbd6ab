/**
 * What is wrong with the broker itself: its policy, the ends of keys and certificates, its readiness. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Snapshot } from './responses.ts'
 */
import { clockTime, duration, plural } from './format.js'

/**
 * The policy file.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export function policyFindings({ health: { policy }, now }) {
  if (policy.status !== 'failing') return []
  const errors = policy.errors ?? []
  const shown = errors.slice(0, 5).map(({ where, what }) => `${where}: ${what}`)
  const more =
    errors.length > shown.length ? [`${plural(errors.length - shown.length, 'more error')} in the file.`] : []
  return [
    {
      id: 'policy',
      level: 'attention',
      sentence: `The new policy file is invalid, so the policy of ${clockTime(policy.loaded_at, now)} stays active, and a restarted replica would not start`,
      actions: [
        'Correct the file, or put the previous one back. `token-broker policy check` shows every error.',
        ...shown,
        ...more,
      ],
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
        sentence: 'This replica is draining: it stops soon, and gets no new requests',
        actions: ['Nothing, if a restart or a deployment is intended.'],
      },
    ]
  if (health.ready) return []
  return [
    {
      id: 'ready',
      level: 'failing',
      sentence: 'This replica is not ready, so it gets no requests',
      actions: [
        'It needs a token of its identity and the keys of one issuer. The way of a token, below, shows which is missing.',
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
 * Keys and certificates that end soon or have ended.
 * @param {Snapshot} snapshot
 * @returns {Finding[]}
 */
export const endFindings = ({ health, now }) =>
  health.ends
    .filter(({ state }) => state !== 'valid')
    .map(({ kind, name, ends_at, state }) => {
      const what = `The ${kinds[kind] ?? kind} ${name}`
      const seconds = (Date.parse(ends_at) - now) / 1000
      const isOver = state === 'ended'
      return {
        id: `end ${kind} ${name} ${ends_at}`,
        level: isOver && kind !== 'api_key' ? 'failing' : 'attention',
        sentence: isOver
          ? `${what} ended at ${clockTime(ends_at, now)} UTC, and is refused`
          : `${what} ends in ${duration(seconds)} (${clockTime(ends_at, now)} UTC)`,
        actions: [
          kind === 'api_key'
            ? 'Make another with `token-broker key`, set it as `next` in the policy, and give it to the caller.'
            : 'Replace the file. The broker reads it again by itself, without a restart.',
        ],
      }
    })
