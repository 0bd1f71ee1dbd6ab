/**
 * Denied and failed requests, alike ones together.
 * @import { Client, Decision, Snapshot } from '../model/responses.ts'
 * @import { DecisionGroup } from '../model/decisions.js'
 * @import { Child } from './dom.js'
 */
import { groupDecisions } from '../model/decisions.js'
import { callerText, clockTime, count, limitText, plural } from '../model/format.js'
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
  const query = () => ({ tenant: tenant.value.trim() || undefined, outcome: outcome.value || undefined, limit: '500' })
  let asked = 0
  /**
   * @param {readonly Decision[]} decisions
   * @param {number} now
   */
  const put = (decisions, now) => {
    const groups = groupDecisions(decisions)
    number.textContent = plural(decisions.length, 'request')
    render(
      groups
        .slice(0, most)
        .map(group => ({ ...group, at: clockTime(group.last.time, now), from: clockTime(group.since, now) })),
    )
  }
  const filter = async () => {
    const mine = ++asked
    try {
      const { body, now } = await client.get('decisions', query())
      if (mine === asked) put(body.decisions, now)
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
    show: ({ decisions, now }) => {
      const { tenant: name, outcome: kind } = query()
      if (name === undefined && kind === undefined) put(decisions, now)
      else void filter()
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
 * @param {readonly Row[] | undefined} groups
 * @returns {readonly Child[]}
 */
function build(groups) {
  if (groups === undefined) return []
  if (groups.length === 0) return [el('p', { class: 'none' }, 'None of the last requests.')]
  return [table('Denied and failed requests, the newest first', columns, groups.map(rowOf))]
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
const requested = ({ permission, tenant, tenant_name, scope, application, agent, endpoint }) =>
  permission !== null
    ? [`permission ${permission}`, ' ', el('span', { class: 'id' }, endpoint)]
    : [
        el('span', {}, ...nameAndId(tenant_name, tenant)),
        ' ',
        el('span', { class: 'id' }, [scope, application, agent].filter(Boolean).join(' ')),
      ]
