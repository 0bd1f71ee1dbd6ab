/**
 * What is known not to work, by tenant.
 * @import { Finding } from '../model/finding.ts'
 * @import { Failure, Snapshot } from '../model/responses.ts'
 * @import { Child } from './dom.js'
 */
import { clientText, clockTime, count } from '../model/format.js'
import { remedyOf } from '../model/remedies.js'
import { reasonText } from '../model/reasons.js'
import { restartWarnings } from '../model/restart.js'
import { noFailures } from '../model/verdict.js'
import { byId, el, renderer, rich } from './dom.js'
import { codesOf, nameAndId, table } from './table.js'

const columns = [
  { title: 'Tenant' },
  { title: 'Application and scope', hasScope: true },
  { title: 'Reason' },
  { title: 'Since', isNumber: true },
  { title: 'In a row', isNumber: true },
  { title: 'What to do' },
]

/** The most rows. */
const most = 100

/** Creates the view. */
export function createFailuresView() {
  const render = renderer(byId('failures', HTMLElement), build)
  return {
    /**
     * @param {Snapshot} snapshot
     * @param {readonly Finding[]} found
     */
    show: (snapshot, found) => {
      const { failures, cache, now } = snapshot
      // A remedy that is at the top already is not repeated.
      const above = new Set(found.flatMap(({ actions }) => actions))
      render({
        failures: failures.slice(0, most).map(({ remedy, reason, ...failure }) => {
          const action = remedy ?? remedyOf(reason)
          const row = /** @type {const} */ ({ level: 'partial', component: 'tenants', actions: [action] })
          const actions = above.has(action) ? [] : [...restartWarnings(row, snapshot), action]
          return { ...failure, until: '', reason, actions, at: clockTime(failure.since, now) }
        }),
        total: cache.failures.reduce((sum, each) => sum + each.count, 0),
        none: noFailures(found),
      })
    },
    clear: () => render(undefined),
  }
}

/**
 * @typedef {Omit<Failure, 'remedy'> & { at: string, actions: readonly string[] }} Row
 * @param {{ failures: readonly Row[], total: number, none: string } | undefined} model
 * @returns {readonly Child[]}
 */
function build(model) {
  if (model === undefined) return []
  const { failures, total, none } = model
  if (failures.length === 0) return [el('p', { class: 'none' }, none)]
  const caption = total > failures.length ? `${failures.length} of ${count(total)} cached failures` : 'Cached failures'
  return [table(caption, columns, failures.map(rowOf))]
}

/** @param {Row} row */
const rowOf = ({ tenant, tenant_name, scope, reason, codes, at, count: number, actions, ...client }) => [
  tenant === null ? 'all tenants' : nameAndId(tenant_name, tenant),
  [clientText(client), ' ', el('span', { class: 'id' }, scope ?? 'all scopes')],
  [reasonText(reason), ...codesOf(codes)],
  at,
  count(number),
  actions.length === 0 ? 'see above, under “What to do”' : actions.flatMap(action => [...rich(action), ' ']),
]
