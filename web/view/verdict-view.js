/**
 * The one sentence, and what to do.
 * @import { Finding } from '../model/finding.ts'
 * @import { Child } from './dom.js'
 */
import { clockTime, duration } from '../model/format.js'
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
      renderActions(found.map(finding => ({ ...finding, age: ageOf(finding, now), at: timeOf(finding, now) })))
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
 * In minutes, so that it does not change with each round.
 * @param {Finding} finding
 * @param {number} now
 */
const ageOf = ({ since }, now) => {
  const minutes = since === undefined ? 0 : Math.floor((now - Date.parse(since)) / 60_000)
  if (minutes < 1) return 'less than a minute'
  return minutes < 90 ? `${minutes} min` : duration(minutes * 60)
}

/**
 * @param {Finding} finding
 * @param {number} now
 */
const timeOf = ({ since }, now) => (since === undefined ? undefined : clockTime(since, now))

/**
 * @param {readonly (Finding & { age: string, at: string | undefined })[]} found
 * @returns {readonly Child[]}
 */
const buildActions = found => [
  el(
    'ol',
    { class: 'findings' },
    ...found.map(({ level, sentence, actions, age, at }) =>
      el(
        'li',
        {},
        el('p', { class: 'finding' }, state(level, levelWords[level]), ' ', sentence, '.'),
        at !== undefined && el('p', { class: 'help' }, `Since ${at} (${age})`),
        el('ul', {}, ...actions.map(action => el('li', {}, ...rich(action)))),
      ),
    ),
  ),
]
