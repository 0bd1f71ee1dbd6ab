/**
 * Denied and failed requests: alike ones together. Without the DOM.
 * @import { Decision } from './responses.ts'
 * @typedef {object} DecisionGroup
 * @property {Decision} last the newest of them
 * @property {number} count
 * @property {string} since when the oldest of them was decided
 */
import { count, plural } from './format.js'

/** The broker keeps so many decisions, the newest, and fewer if they are long. */
export const mostKept = 500

/**
 * How many decisions were read, in words.
 * @param {number} number
 * @param {'all' | 'newest' | 'filtered'} which whether these are all, the newest, or those of a tenant or outcome
 */
export function readText(number, which) {
  const text = plural(number, 'request')
  if (which === 'filtered') return `${text} among the newest ${count(mostKept)}`
  return which === 'newest' || number >= mostKept ? `the newest ${text}` : text
}

/**
 * The caption of a table of groups.
 * @param {number} shown
 * @param {number} total how many there are of the decisions that were read
 */
export const captionOf = (shown, total) =>
  shown < total
    ? `Denied and failed requests, the newest first: ${count(shown)} of ${count(total)} rows`
    : 'Denied and failed requests, the newest first'

/**
 * Groups decisions that differ only in time, request and address, in the order of the newest of each.
 * @param {readonly Decision[]} decisions the newest first
 * @returns {readonly DecisionGroup[]}
 */
export function groupDecisions(decisions) {
  const groups = Map.groupBy(
    decisions,
    ({ outcome, code, reason, caller, rule, permission, tenant, scope, application, agent, endpoint }) =>
      JSON.stringify([outcome, code, reason, caller, rule, permission, tenant, scope, application, agent, endpoint]),
  )
  return [...groups.values()].flatMap(same => {
    const [last] = same
    return last ? [{ last, count: same.length, since: same.at(-1)?.time ?? last.time }] : []
  })
}
