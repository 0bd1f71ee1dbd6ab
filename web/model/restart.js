/**
 * What a restart of the replica costs: said before the page advises one. Without the DOM.
 * @import { Snapshot } from './responses.ts'
 */
import { clockTime, plural } from './format.js'

/** Texts that advise a restart: the page's own, and remedies of the broker. */
const advice = /\brestart the replica\b/i
/** Milliseconds after the start in which Redis is expected to respond for the first time. */
const connectsWithinMs = 60_000

/**
 * Actions, with what a restart costs before the first one that advises it.
 *
 * @param {readonly string[]} actions
 * @param {Snapshot} snapshot
 * @returns {readonly string[]}
 */
export function withRestartCost(actions, snapshot) {
  const nth = actions.findIndex(action => advice.test(action))
  return nth < 0 ? actions : [...actions.slice(0, nth), restartCost(snapshot), ...actions.slice(nth)]
}

/**
 * Whether a restart loses cached tokens, in one or two sentences.
 * @param {Snapshot} snapshot
 */
export function restartCost(snapshot) {
  const { policy } = snapshot.health
  const lost = lostTokens(snapshot)
  return policy.status === 'failing'
    ? `Do not restart now: the policy file is invalid, so it would not start. ${lost}`
    : lost
}

/** @param {Snapshot} snapshot */
function lostTokens({ health, cache, now }) {
  const { shared_cache: shared, started_at } = health
  if (cache.entries === 0) return 'A restart loses no token, because none is cached.'
  const tokens = plural(cache.entries, 'cached token')
  if (shared?.status === 'failing') return `A restart loses ${tokens} of this replica, because Redis does not respond.`
  if (!shared)
    return `A restart loses ${tokens} of this replica: without Redis, each must be fetched again, which fails while the problem lasts.`
  return Date.parse(shared.since) - Date.parse(started_at) < connectsWithinMs
    ? 'A restart loses no cached token, because Redis has them.'
    : `A restart loses no token that was cached since ${clockTime(shared.since, now)} UTC, because Redis has these. It can lose older ones.`
}
