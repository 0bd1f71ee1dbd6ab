/**
 * The one sentence, and what to do.
 * @import { Finding } from '../model/finding.ts'
 * @import { Child } from './dom.js'
 */
import { clockTime, whenText } from '../model/format.js'
import { ProblemError } from './client.js'
import { byId, el, renderer, rich } from './dom.js'
import { state } from './table.js'

const levelWords = { failing: 'failing', attention: 'needs attention', notice: 'for information' }

/** Creates the view. */
export function createVerdictView() {
  const section = byId('verdict', HTMLElement)
  const render = renderer(
    section,
    (/** @type {{ level: string, word: string, sentence: string } | undefined} */ model) =>
      model ? [el('p', { class: `verdict ${model.level}` }, el('strong', {}, model.word), ' ', model.sentence)] : [],
  )
  const actions = byId('actions', HTMLElement)
  const renderActions = renderer(byId('actions-list', HTMLElement), buildActions)
  return {
    /**
     * @param {{ level: string, word: string, sentence: string }} model
     * @param {readonly Finding[]} found
     * @param {number} now
     */
    show(model, found, now) {
      render(model)
      actions.hidden = found.length === 0
      renderActions(found.map(finding => ({ ...finding, when: whenText(finding, now) })))
    },
    /**
     * @param {unknown} error
     * @param {number} since
     */
    lost(error, since) {
      const why =
        error instanceof ProblemError
          ? `It responds with an error: ${error.problem.title}. ${error.message}`
          : String(error instanceof Error ? error.message : error)
      render({
        level: 'failing',
        word: 'No response',
        sentence: `The broker was last heard at ${clockTime(since, since)} UTC; all that follows is from then. ${why}`,
      })
    },
    clear() {
      render(undefined)
      renderActions([])
    },
  }
}

/**
 * @param {readonly (Finding & { when: string })[]} found
 * @returns {readonly Child[]}
 */
const buildActions = found => [
  el(
    'ol',
    { class: 'findings' },
    ...found.map(({ level, sentence, affected, when, actions, facts }) =>
      el(
        'li',
        {},
        el('p', { class: 'finding' }, state(level, levelWords[level]), ' ', sentence, '.'),
        el('p', { class: 'help' }, `Affected: ${affected}, ${when}.`),
        el('ul', {}, ...actions.map(action => el('li', {}, ...rich(action)))),
        facts !== undefined && el('p', { class: 'help' }, `${facts.title}:`),
        facts !== undefined &&
          el(
            'dl',
            { class: 'facts' },
            ...facts.values.map(([name, value]) =>
              el('div', {}, el('dt', {}, name), el('dd', {}, el('code', {}, value))),
            ),
          ),
      ),
    ),
  ),
]
