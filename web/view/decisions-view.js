/**
 * Denied and failed requests, alike ones together.
 * @import { Client, Decision, Snapshot } from '../model/responses.ts'
 * @import { DecisionGroup } from '../model/decisions.js'
 * @import { Child } from './dom.js'
 */
import { captionOf, groupDecisions, mostKept, readText } from '../model/decisions.js'
import { callerText, clockTime, count, limitText, targetText } from '../model/format.js'
import { reasonText } from '../model/reasons.js'
import { byId, el, renderer } from './dom.js'
import { codesOf, nameAndId, state, table } from './table.js'

const columns = [
  { title: 'Last', isNumber: true },
  { title: 'Outcome' },
  { title: 'Caller' },
  { title: 'Requested' },
  { title: 'Rule' },
  { title: 'Requests' },
]

/** The most rows. */
const most = 50

/**
 * Creates the view.
 * @param {Client} client
 */
export function createDecisionsView(client) {
  const tenant = byId('decisions-tenant', HTMLInputElement)
  const outcome = byId('decisions-outcome', HTMLSelectElement)
  const number = byId('decisions-count', HTMLElement)
  const render = renderer(byId('decisions', HTMLElement), build)
  const query = () => ({
    tenant: tenant.value.trim() || undefined,
    outcome: outcome.value || undefined,
    limit: String(mostKept),
  })
  const isFiltered = () => tenant.value.trim() !== '' || outcome.value !== ''
  let asked = 0
  /**
   * @param {readonly Decision[]} decisions
   * @param {Parameters<typeof readText>[1]} which
   * @param {number} now
   */
  const put = (decisions, which, now) => {
    const groups = groupDecisions(decisions)
    number.textContent = readText(decisions.length, which)
    const rows = groups
      .slice(0, most)
      .map(group => ({ ...group, at: clockTime(group.last.time, now), from: clockTime(group.since, now) }))
    render({ rows, total: groups.length })
  }
  const filter = async () => {
    const mine = ++asked
    try {
      const { body, now } = await client.get('decisions', query())
      if (mine === asked) put(body.decisions, isFiltered() ? 'filtered' : 'all', now)
    } catch (thrown) {
      if (mine === asked) number.textContent = thrown instanceof Error ? thrown.message : ''
    }
  }
  const form = byId('decisions-form', HTMLFormElement)
  const listening = new AbortController()
  const { signal } = listening
  form.addEventListener('submit', event => event.preventDefault(), { signal })
  form.addEventListener('change', () => void filter(), { signal })
  return {
    /** @param {Snapshot} snapshot */
    show: ({ decisions, hasMoreDecisions, now }) => {
      if (isFiltered()) void filter()
      else put(decisions, hasMoreDecisions ? 'newest' : 'all', now)
    },
    clear: () => {
      asked++
      listening.abort()
      form.reset()
      number.textContent = ''
      render(undefined)
    },
  }
}

/**
 * @param {{ rows: readonly Row[], total: number } | undefined} model
 * @returns {readonly Child[]}
 */
function build(model) {
  if (model === undefined) return []
  const { rows, total } = model
  if (rows.length === 0) return [el('p', { class: 'none' }, 'None of the last requests.')]
  return [table(captionOf(rows.length, total), columns, rows.map(rowOf))]
}

/**
 * @typedef {DecisionGroup & { at: string, from: string }} Row
 * @param {Row} group
 */
const rowOf = ({ last, count: number, at, from }) => [
  at,
  [
    outcomeOf(last),
    ' ',
    last.limit === null ? reasonText(last.reason) : `to ${limitText(last.reason, last.limit)}`,
    ...codesOf(last.codes),
  ],
  [callerText(last.caller), ' ', el('span', { class: 'id' }, `from ${last.address}`)],
  requested(last),
  last.rule ?? 'none',
  number === 1 ? '1' : `${count(number)} since ${from}`,
]

/** @param {Decision} decision */
const outcomeOf = ({ outcome, code }) =>
  outcome === 'denied'
    ? state('notice', outcome)
    : code === 'rate_limited'
      ? state('attention', 'limited')
      : state('failing', outcome)

/**
 * @param {Decision} decision
 * @returns {readonly Child[]}
 */
const requested = ({ permission, tenant, tenant_name, endpoint, ...target }) =>
  permission !== null
    ? [`permission ${permission}`, ' ', el('span', { class: 'id' }, endpoint)]
    : [el('span', {}, ...nameAndId(tenant_name, tenant)), ' ', el('span', { class: 'id' }, targetText(target))]
