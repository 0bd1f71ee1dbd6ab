/**
 * The policy, the ends of keys and certificates, and the replicas.
 * @import { Cache, Health, Snapshot } from '../model/responses.ts'
 * @import { Child } from './dom.js'
 */
import { clockTime, count, duration } from '../model/format.js'
import { byId, el, renderer } from './dom.js'
import { state, table } from './table.js'

/** Creates the view. */
export function createFactsView() {
  const render = renderer(byId('facts', HTMLElement), build)
  return {
    /** @param {Snapshot} snapshot */
    show: ({ health, cache, now }) =>
      render({ policy: policyFacts(health, now), ends: endFacts(health, now), replicas: cache.replicas }),
    clear: () => render(undefined),
  }
}

/**
 * @param {Health} health
 * @param {number} now
 */
const policyFacts = ({ policy, version, node, started_at }, now) => [
  ['Policy', `${policy.version.slice(0, 16)}, ${policy.detail}`],
  ['Loaded', clockTime(policy.loaded_at, now)],
  ['Broker', `${version} on Node ${node.replace(/^v/, '')}`],
  ['Started', clockTime(started_at, now)],
]

const kinds = /** @type {Partial<Record<string, string>>} */ ({
  api_key: 'API key',
  tls: 'TLS certificate',
  client_ca: 'client CA',
})
const endWords = /** @type {const} */ ({
  valid: ['ok', 'valid'],
  ends_soon: ['attention', 'expires soon'],
  ended: ['failing', 'expired'],
})

/**
 * @param {Health} health
 * @param {number} now
 */
const endFacts = ({ ends }, now) =>
  ends
    .toSorted((a, b) => a.ends_at.localeCompare(b.ends_at))
    .map(({ kind, name, ends_at, state: word }) => {
      const seconds = (Date.parse(ends_at) - now) / 1000
      return {
        kind: kinds[kind] ?? kind,
        name,
        word: endWords[word],
        at: clockTime(ends_at, now),
        // In whole hours, so that it does not change with each round.
        in: seconds < 0 ? '–' : duration(Math.max(3600, Math.floor(seconds / 3600) * 3600)),
      }
    })

/**
 * @param {{ policy: string[][], ends: ReturnType<typeof endFacts>, replicas: Cache['replicas'] } | undefined} model
 * @returns {readonly Child[]}
 */
function build(model) {
  if (!model) return []
  return [
    el(
      'dl',
      {},
      ...model.policy.map(([name = '', value = '']) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
    ),
    endsTable(model.ends),
    model.replicas !== undefined && replicasTable(model.replicas),
  ]
}

/** @param {ReturnType<typeof endFacts>} ends */
function endsTable(ends) {
  if (ends.length === 0) return el('p', { class: 'none' }, 'No API key and no certificate of this broker expires.')
  const columns = [
    { title: 'Name' },
    { title: 'Kind' },
    { title: 'State' },
    { title: 'Expires (UTC)', isNumber: true },
    { title: 'In', isNumber: true },
  ]
  const rows = ends.map(({ kind, name, word: [level, text], at, in: left }) => [
    name,
    kind,
    [state(level, text)],
    at,
    left,
  ])
  return table('API keys and certificates, the first to expire first', columns, rows)
}

/** @param {NonNullable<Cache['replicas']> | null} replicas */
function replicasTable(replicas) {
  if (replicas === null)
    return el('p', { class: 'none' }, 'The other replicas are unknown while Redis does not respond.')
  const columns = [
    { title: 'Replica' },
    { title: 'Tokens', isNumber: true },
    { title: 'Fetches', isNumber: true },
    { title: 'At risk', isNumber: true },
  ]
  const rows = replicas.map(each => [each.replica, count(each.entries), count(each.fetching), count(each.at_risk)])
  return table('Live replicas', columns, rows)
}
