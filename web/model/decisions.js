/**
 * Denied and failed requests: alike ones together. Without the DOM.
 * @import { Decision } from './responses.ts'
 * @typedef {object} DecisionGroup
 * @property {Decision} last the newest of them
 * @property {number} count
 * @property {string} since when the oldest of them was decided
 */

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
