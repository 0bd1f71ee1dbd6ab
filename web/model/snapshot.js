/**
 * One round of requests: everything that the page judges. Without the DOM.
 * @import { Client, Snapshot } from './responses.ts'
 */
import { earliestEnd, isOutage } from './outage.js'

/** The most failures and decisions that one round reads. */
const limit = '200'

/**
 * Reads the broker once. Rejects as the client does.
 * @param {Pick<Client, 'get'>} client
 * @returns {Promise<Snapshot>}
 */
export async function readSnapshot(client) {
  // First one alone: a credential that is not accepted is not sent three times more.
  const { body: health } = await client.get('health')
  const [{ body: cache }, { body: failed }, { body: decided }] = await Promise.all([
    client.get('cache'),
    client.get('cache/failures', { limit }),
    client.get('decisions', { limit }),
  ])
  const { failures } = failed
  const isNeeded = cache.entries > 0 && isOutage({ health, failures })
  return {
    // The clock by which the broker writes all its times.
    now: Date.parse(cache.time),
    health,
    cache,
    failures,
    hasMoreFailures: failed.next_cursor !== null,
    decisions: decided.decisions,
    hasMoreDecisions: decided.next_cursor !== null,
    firstEnd: isNeeded ? await readFirstEnd(client, Date.parse(cache.time)) : undefined,
  }
}

/**
 * Both states in which a token is issued.
 * @param {Pick<Client, 'get'>} client
 * @param {number} now
 */
async function readFirstEnd(client, now) {
  const read = (/** @type {string} */ state) => client.get('cache/entries', { state, sort: 'expires_on', limit: '1' })
  const [fresh, due] = await Promise.all([read('fresh'), read('due')])
  return earliestEnd([...fresh.body.entries, ...due.body.entries], now)
}
