/**
 * What is known not to work, by tenant.
 * @import { Failure, Snapshot } from '../model/responses.ts'
 * @import { Child } from './dom.js'
 */
import { clockTime, count } from '../model/format.js'
import { remedyOf } from '../model/remedies.js'
import { byId, el, renderer, rich } from './dom.js'
import { nameAndId, table } from './table.js'

const columns = [
  { title: 'Tenant' },
  { title: 'Application and scope' },
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
    /** @param {Snapshot} snapshot */
    show: ({ failures, cache, now }) =>
      render({
        failures: failures
          .slice(0, most)
          .map(failure => ({ ...failure, until: '', at: clockTime(failure.since, now) })),
        total: cache.failures.reduce((sum, each) => sum + each.count, 0),
      }),
    clear: () => render(undefined),
  }
}

/**
 * @param {{ failures: readonly (Failure & { at: string })[], total: number } | undefined} model
 * @returns {readonly Child[]}
 */
function build(model) {
  if (model === undefined) return []
  const { failures, total } = model
  if (failures.length === 0) return [el('p', { class: 'none' }, 'No fetch of a token has failed in the last minutes.')]
  const caption = total > failures.length ? `${failures.length} of ${count(total)} cached failures` : 'Cached failures'
  return [table(caption, columns, failures.map(rowOf))]
}

/** @param {Failure & { at: string }} failure */
const rowOf = ({ tenant, tenant_name, application, client_id, scope, reason, codes, at, count: number, remedy }) => [
  tenant === null ? 'all tenants' : nameAndId(tenant_name, tenant),
  [application ?? client_id, ' ', el('span', { class: 'id' }, scope ?? 'all scopes')],
  [reason, codes.length > 0 && ` (AADSTS${codes.join(', ')})`],
  at,
  count(number),
  rich(remedy ?? remedyOf(reason)),
]
