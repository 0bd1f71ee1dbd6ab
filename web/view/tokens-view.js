/**
 * Cached tokens, what expires first on top: page by page, so that a large cache stays fast.
 * @import { Client, Entry } from '../model/responses.ts'
 * @import { Child } from './dom.js'
 */
import { clientText, clockTime, count, duration } from '../model/format.js'
import { reasonText } from '../model/reasons.js'
import { createTokenList } from '../model/token-list.js'
import { byId, el, renderer } from './dom.js'
import { nameAndId, state, table } from './table.js'

/** Rounds of requests between two updates of the list. */
const roundsPerUpdate = 5
/** Milliseconds without typing before a search begins. */
const typingMs = 300

/**
 * Creates the view.
 * @param {Client} client
 */
export function createTokensView(client) {
  const search = byId('tokens-search', HTMLInputElement)
  const filter = byId('tokens-state', HTMLSelectElement)
  const number = byId('tokens-count', HTMLElement)
  const form = byId('tokens-form', HTMLFormElement)
  const render = renderer(byId('tokens', HTMLElement), build)
  const list = createTokenList(client, text => (number.textContent = text))
  let rounds = roundsPerUpdate
  let asked = 0
  let total = 0
  const isFiltered = () => search.value !== '' || filter.value !== ''
  const load = async () => {
    const mine = ++asked
    rounds = 0
    try {
      const listed = await list.page(() => mine === asked)
      if (mine !== asked) return
      number.textContent = isFiltered() ? listed.about : `${listed.about} of ${count(total)}`
      render(listed.entries.map(entry => rowModel(entry, listed.now)))
      byId('tokens-pages', HTMLElement).hidden = list.isFirst() && !listed.hasNext
      byId('tokens-back', HTMLButtonElement).disabled = list.isFirst()
      byId('tokens-next', HTMLButtonElement).disabled = !listed.hasNext
    } catch (thrown) {
      if (mine === asked) number.textContent = thrown instanceof Error ? thrown.message : ''
    }
  }
  const start = () => {
    list.start(search.value.trim(), filter.value)
    void load()
  }
  const stop = listen(form, {
    changed: start,
    back: () => void (list.back(), load()),
    next: () => void (list.next(), load()),
  })
  return {
    /**
     * Is called after each round.
     * @param {number} entries how many tokens are cached
     */
    refresh: entries => {
      total = entries
      if (++rounds >= roundsPerUpdate && !list.isSearch()) void load()
    },
    clear: () => {
      asked++
      stop()
      form.reset()
      number.textContent = ''
      render(undefined)
    },
  }
}

/**
 * Listens to the fields and buttons of the section.
 *
 * @param {HTMLFormElement} form
 * @param {{ changed: () => void, back: () => void, next: () => void }} listeners
 * @returns {() => void} stops
 */
function listen(form, { changed, back, next }) {
  const listening = new AbortController()
  const { signal } = listening
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing
  const later = () => {
    clearTimeout(typing)
    typing = setTimeout(changed, typingMs)
  }
  form.addEventListener('submit', event => event.preventDefault(), { signal })
  form.addEventListener('input', later, { signal })
  byId('tokens-back', HTMLButtonElement).addEventListener('click', back, { signal })
  byId('tokens-next', HTMLButtonElement).addEventListener('click', next, { signal })
  return () => {
    clearTimeout(typing)
    listening.abort()
  }
}

const columns = [
  { title: 'Tenant' },
  { title: 'Scope' },
  { title: 'Application' },
  { title: 'State' },
  { title: 'Usable for', isNumber: true },
  { title: 'Expires (UTC)', isNumber: true },
  { title: 'Failed refresh' },
]

const levels = /** @type {Partial<Record<string, string>>} */ ({ fresh: 'ok', due: 'ok', expired: 'unknown' })

/**
 * What a row shows. In minutes, so that it does not change with each update.
 * @param {Entry} entry
 * @param {number} now
 */
const rowModel = (entry, now) => ({
  tenant: nameOf(entry),
  scope: entry.scope,
  application: clientText(entry),
  level: entry.at_risk ? 'attention' : (levels[entry.state] ?? 'ok'),
  word: entry.at_risk ? `${entry.state}, at risk` : entry.state,
  left: entry.usable_seconds < 60 ? `${entry.usable_seconds} s` : duration(entry.usable_seconds),
  end: clockTime(entry.expires_on * 1000, now),
  failure: entry.last_failure
    ? `${reasonText(entry.last_failure.reason)} (${clockTime(entry.last_failure.at, now)})`
    : '',
})

/** @param {Entry} entry */
const nameOf = ({ tenant, tenant_name }) => /** @type {const} */ ([tenant_name, tenant])

/**
 * @param {readonly ReturnType<typeof rowModel>[] | undefined} rows
 * @returns {readonly Child[]}
 */
function build(rows) {
  if (rows === undefined) return []
  if (rows.length === 0) return [el('p', { class: 'none' }, 'No cached token matches.')]
  const cells = rows.map(({ tenant, scope, application, level, word, left, end, failure }) => [
    nameAndId(...tenant),
    scope,
    application,
    [state(level, word)],
    left,
    end,
    failure,
  ])
  // Empty as a rule.
  const isNeeded = rows.some(({ failure }) => failure !== '')
  const shown = isNeeded ? columns : columns.slice(0, -1)
  return [
    table(
      'Cached tokens, the first to expire first',
      shown,
      cells.map(row => row.slice(0, shown.length)),
    ),
  ]
}
