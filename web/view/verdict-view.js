/**
 * The one sentence, who is affected until when, and what to do.
 * @import { Finding } from '../model/finding.ts'
 * @import { Child } from './dom.js'
 */
import { clockTime, deadlineText, whenText } from '../model/format.js'
import { titles } from '../model/way.js'
import { ProblemError } from './client.js'
import { byId, el, guidsIn, renderer, rich } from './dom.js'
import { state } from './table.js'

const levelWords = {
  failing: 'failing',
  partial: 'partly failing',
  attention: 'needs attention',
  notice: 'for information',
}

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
  // Not in the section that screen readers read when it changes: it has a time that changes each minute.
  const renderAffected = renderer(byId('affected', HTMLElement), buildAffected)
  return {
    /**
     * @param {{ level: string, word: string, sentence: string }} model
     * @param {readonly Finding[]} found
     * @param {number} now
     */
    show(model, found, now) {
      render(model)
      actions.hidden = found.length === 0
      const shown = found.map(finding => ({ ...finding, deadline: undefined, when: whensOf(finding, now) }))
      renderAffected(model.level === 'ok' ? undefined : { level: model.level, finding: shown[0] })
      renderActions({ found: shown, hasVerdict: model.level !== 'ok' })
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
      renderAffected(undefined)
      render({
        level: 'failing',
        word: 'No response',
        sentence: `The broker last responded at ${clockTime(since, since)} UTC, and all that follows is from then. ${why}`,
      })
    },
    clear() {
      render(undefined)
      renderAffected(undefined)
      renderActions({ found: [], hasVerdict: false })
    },
  }
}

/**
 * @typedef {Omit<Finding, 'deadline'> & { when: readonly string[] }} Shown
 * @param {Finding} finding
 * @param {number} now
 * @returns {readonly string[]} sentences without a full stop
 */
const whensOf = (finding, now) => {
  const when = whenText(finding, now)
  const sentence = when.charAt(0).toUpperCase() + when.slice(1)
  return [...(sentence === '' ? [] : [sentence]), ...(finding.deadline ? [deadlineText(finding.deadline, now)] : [])]
}

/** @param {Shown} finding */
const affectedText = ({ affected, when }) => `Affected: ${[affected, ...when].join('. ')}.`

/**
 * @param {{ level: string, finding: Shown | undefined } | undefined} model
 * @returns {readonly Child[]}
 */
const buildAffected = model =>
  model?.finding ? [el('p', { class: `affected ${model.level}` }, affectedText(model.finding))] : []

/**
 * The sentence of the first finding is the verdict, so it is not repeated.
 * @param {{ found: readonly Shown[], hasVerdict: boolean }} model
 * @returns {readonly Child[]}
 */
const buildActions = ({ found, hasVerdict }) =>
  found.map((finding, nth) =>
    el(
      'section',
      { class: 'finding' },
      ...(hasVerdict && nth === 0
        ? [el('h3', {}, `${titles[finding.component]}: `, state(finding.level, finding.word))]
        : [
            el('h3', {}, state(finding.level, levelWords[finding.level]), ` ${finding.sentence}.`),
            el('p', { class: 'help' }, affectedText(finding)),
          ]),
      ...(finding.warnings ?? []).map(text => el('p', { class: 'warning' }, ...rich(text))),
      steps(finding.actions),
      finding.recovery !== undefined && el('p', { class: 'help' }, finding.recovery),
      ...factsOf(finding),
    ),
  )

/** @param {readonly string[]} actions */
const steps = actions => el('ol', {}, ...actions.map(action => el('li', {}, ...rich(action))))

/**
 * @param {Shown} finding
 * @returns {readonly Child[]}
 */
const factsOf = ({ facts }) =>
  facts === undefined
    ? []
    : [
        el('p', { class: 'help' }, `${facts.title}:`),
        el(
          'dl',
          { class: 'facts' },
          ...facts.values.map(([name, value]) =>
            el('div', {}, el('dt', {}, name), el('dd', {}, el('code', {}, ...guidsIn(value)))),
          ),
        ),
      ]
