/**
 * Rates and latency as lines, and as numbers in a table.
 * @import { Point } from '../model/rates.js'
 * @import { Snapshot } from '../model/responses.ts'
 * @import { Child } from './dom.js'
 * @typedef {object} Series
 * @property {string} name
 * @property {string} line the class of its line
 * @property {(point: Point) => number | undefined} of
 * @typedef {object} Chart
 * @property {string} title
 * @property {(value: number | undefined) => string} text
 * @property {readonly Series[]} series
 * @property {number} [top] the value at the upper edge; default: a round number above the highest one
 */
import { clockTime, figure, latency } from '../model/format.js'
import { beginning, createHistory, exchangesNote, linesOf, roundTop, spans } from '../model/rates.js'
import { byId, el, renderer, svg } from './dom.js'
import { table } from './table.js'

/** @param {number | undefined} value */
const perSecond = value => (value === undefined ? '–' : `${figure(value)}/s`)
/** @param {number | undefined} value */
const perCent = value => (value === undefined ? '–' : `${figure(value)} %`)

const exchangesTitle = 'Exchanges with Entra'

/** @type {readonly Chart[]} */
const charts = [
  {
    title: 'Requests for tokens',
    text: perSecond,
    series: [
      { name: 'issued', line: 'line-1', of: ({ issued }) => issued },
      { name: 'denied or failed', line: 'line-2', of: ({ failed }) => failed },
    ],
  },
  {
    title: 'Share from the cache',
    text: perCent,
    top: 100,
    series: [{ name: 'of all issued, at once', line: 'line-3', of: ({ hitShare }) => hitShare }],
  },
  {
    title: 'Duration of a request',
    text: latency,
    series: [
      { name: 'cached', line: 'line-3', of: ({ cachedSeconds }) => cachedSeconds },
      { name: 'fetched', line: 'line-1', of: ({ fetchedSeconds }) => fetchedSeconds },
    ],
  },
  {
    title: exchangesTitle,
    text: perSecond,
    series: [
      { name: 'succeeded', line: 'line-1', of: ({ exchanges }) => exchanges },
      { name: 'failed', line: 'line-2', of: ({ exchangeErrors }) => exchangeErrors },
    ],
  },
  {
    title: 'Duration of an exchange',
    text: latency,
    series: [{ name: 'average', line: 'line-1', of: ({ exchangeSeconds }) => exchangeSeconds }],
  },
]

/** The area of the lines, in units of the picture. */
const size = { width: 300, height: 72 }

/** Creates the view. */
export function createRatesView() {
  const kept = createHistory()
  const render = renderer(byId('rates-charts', HTMLElement), build)
  const renderNumbers = renderer(byId('rates-numbers', HTMLElement), buildNumbers)
  return {
    /** @param {Snapshot} snapshot */
    show: snapshot => {
      const points = kept.add(snapshot.cache)
      render({ points, note: exchangesNote(snapshot) })
      renderNumbers(points)
    },
    clear: () => {
      kept.clear()
      render({ points: [], note: '' })
      renderNumbers([])
    },
  }
}

/**
 * @param {{ points: readonly Point[], note: string }} model
 * @returns {readonly Child[]}
 */
const build = ({ points, note }) =>
  charts.map(chart => figureOf(chart, points, chart.title === exchangesTitle ? note : ''))

/**
 * @param {Chart} chart
 * @param {readonly Point[]} points
 * @param {string} note
 */
function figureOf({ title, text, series, top: fixed }, points, note) {
  const to = points.at(-1)?.at ?? 0
  const from = to - spans.shown
  const shown = series.map(each => ({
    ...each,
    values: points.map(point => ({ at: point.at, value: each.of(point) })),
  }))
  const highest = Math.max(0, ...shown.flatMap(({ values }) => values.map(({ value = 0 }) => value)))
  const top = fixed ?? roundTop(highest)
  const now = shown.map(({ name, line, values }) => ({ name, line, text: text(values.at(-1)?.value) }))
  const legend = now.map(each =>
    el(
      'li',
      {},
      el('span', { class: `key ${each.line}`, 'aria-hidden': 'true' }),
      `${each.name} `,
      el('b', {}, each.text),
    ),
  )
  const lines = shown.flatMap(({ line, values }) =>
    linesOf(values, { from, to, top, ...size })
      // One point alone draws nothing.
      .filter(line_ => line_.includes(' '))
      .map(points_ => svg('polyline', { class: line, points: points_ })),
  )
  const alternative = now.map(each => `${each.name} ${each.text}`).join(', ')
  return el(
    'figure',
    {},
    el('figcaption', {}, title),
    el('ul', { class: 'legend' }, ...legend),
    lines.length === 0
      ? el('p', { class: 'empty' }, 'Not enough data yet')
      : picture(`${title}, now: ${alternative}. The highest of the last five minutes: ${text(highest)}.`, lines),
    // One row of the grid, which all charts share.
    el(
      'div',
      { class: 'below' },
      axis(text(top)),
      ...[sinceText(points), note].map(line => line !== '' && el('p', {}, line)),
    ),
  )
}

/** @param {string} top */
const axis = top =>
  el(
    'p',
    { class: 'axis', 'aria-hidden': 'true' },
    el('span', {}, '5 min ago'),
    el('span', {}, `top: ${top}`),
    el('span', {}, 'now'),
  )

/** @param {readonly Point[]} points */
function sinceText(points) {
  const since = beginning(points)
  return since === undefined ? '' : `No data before ${clockTime(since, since)} UTC.`
}

/**
 * @param {string} label
 * @param {readonly SVGElement[]} lines
 */
function picture(label, lines) {
  const { width, height } = size
  const grid = [0, height / 2, height].map(y =>
    svg('line', { class: 'grid', x1: '0', x2: String(width), y1: String(y), y2: String(y) }),
  )
  const attributes = {
    role: 'img',
    'aria-label': label,
    viewBox: `0 -2 ${width} ${height + 4}`,
    preserveAspectRatio: 'none',
  }
  return svg('svg', attributes, ...grid, ...lines)
}

/**
 * @param {readonly Point[]} points
 * @returns {readonly Child[]}
 */
function buildNumbers(points) {
  const columns = [
    { title: 'What' },
    { title: 'Now', isNumber: true },
    { title: 'Lowest', isNumber: true },
    { title: 'Highest', isNumber: true },
  ]
  const rows = charts.flatMap(({ title, text, series }) =>
    series.map(({ name, of }) => {
      const values = points.map(of)
      const known = values.filter(value => value !== undefined)
      const [low, high] = known.length === 0 ? [undefined, undefined] : [Math.min(...known), Math.max(...known)]
      return [`${title}: ${name}`, text(values.at(-1)), text(low), text(high)]
    }),
  )
  return [table('Since the page was opened, in the last five minutes', columns, rows)]
}
