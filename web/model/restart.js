/**
 * What a restart of the replica costs: said before everything else, because a restart is what people try first. Without the DOM.
 * @import { Finding } from './finding.ts'
 * @import { Snapshot } from './responses.ts'
 */
import { clockTime, plural } from './format.js'

/** Texts that advise a restart: the page's own, and remedies of the broker. */
const advice = /\brestart the replica\b/i
/** Milliseconds after the start in which Redis is expected to respond for the first time. */
const connectsWithinMs = 60_000
/** What a restart can lose although Redis responds now: nothing says which tokens it has. */
const unlessMissing = 'A token that Redis does not have must be fetched again'

/**
 * What to say about a restart before the actions of a finding: always if it would lose tokens that cannot be fetched again,
 * otherwise only if an action advises it.
 *
 * @param {Pick<Finding, 'level' | 'component' | 'actions'>} finding
 * @param {Snapshot} snapshot
 * @returns {readonly string[]}
 */
export function restartWarnings({ level, component, actions }, snapshot) {
  const isOutage = level === 'failing' && (component === 'identity' || component === 'entra')
  const isAdvised = actions.some(action => advice.test(action))
  const { isHarmful, text } = restartCost(snapshot)
  return isAdvised || (isOutage && isHarmful) ? [text] : []
}

/**
 * What a restart costs, in whole sentences.
 * @param {Snapshot} snapshot
 * @returns {{ isHarmful: boolean, text: string }}
 */
export function restartCost(snapshot) {
  const { policy, upstreams } = snapshot.health
  const lost = lostTokens(snapshot)
  const isWithoutIdentity = upstreams.some(({ kind, status }) => kind === 'identity' && status === 'failing')
  const harms = [
    ...(policy.status === 'failing' ? ['The policy file is invalid, so the replica would not start.'] : []),
    ...(lost.isHarmful ? [lost.text] : []),
    ...(isWithoutIdentity
      ? ['After a restart, the replica gets no requests until the managed identity issues a token.']
      : []),
  ]
  return harms.length === 0
    ? lost
    : {
        isHarmful: true,
        text: ['Do not restart the replica now.', ...harms, ...(lost.isHarmful ? [] : [lost.text])].join(' '),
      }
}

/**
 * @param {Snapshot} snapshot
 * @returns {{ isHarmful: boolean, text: string }}
 */
function lostTokens({ health, cache, now }) {
  const { shared_cache: shared, started_at } = health
  if (cache.entries === 0) return { isHarmful: false, text: 'A restart loses no token, because none is cached.' }
  const loses = `A restart loses ${plural(cache.entries, 'cached token')} of this replica`
  if (shared?.status === 'failing') return { isHarmful: true, text: `${loses}, because Redis does not respond.` }
  if (!shared)
    return {
      isHarmful: true,
      text: `${loses}: without Redis, each must be fetched again, which fails while the problem lasts.`,
    }
  const reads = 'After a restart, the replica reads cached tokens from Redis, which responds now.'
  const isSinceStart = Date.parse(shared.since) - Date.parse(started_at) < connectsWithinMs
  const why = isSinceStart
    ? 'because Redis removed it, or did not store it'
    : `such as one from before ${clockTime(shared.since, now)} UTC, when Redis responded again`
  return { isHarmful: false, text: `${reads} ${unlessMissing}, ${why}.` }
}
