/**
 * Tables. The roles are explicit, because on narrow screens the style shows each row as a block, which would hide them.
 * @import { Child } from './dom.js'
 * @typedef {{ readonly title: string, readonly isNumber?: boolean, readonly hasScope?: boolean }} Column
 * @typedef {string | readonly Child[]} Cell
 */
import { el, guidsIn } from './dom.js'

/**
 * Makes a table. The first cell of each row is its header.
 *
 * @param {string} caption
 * @param {readonly Column[]} columns
 * @param {readonly (readonly Cell[])[]} rows
 */
export function table(caption, columns, rows) {
  const head = columns.map(({ title, isNumber }) =>
    el('th', { scope: 'col', role: 'columnheader', class: isNumber ? 'number' : undefined }, title),
  )
  return el(
    'table',
    { role: 'table' },
    el('caption', {}, caption),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...head)),
    el('tbody', { role: 'rowgroup' }, ...rows.map(cells => row(columns, cells))),
  )
}

/**
 * @param {readonly Column[]} columns
 * @param {readonly Cell[]} cells
 */
const row = (columns, cells) => el('tr', { role: 'row' }, ...cells.map((cell, nth) => cellOf(columns[nth], cell, nth)))

/**
 * @param {Column | undefined} column
 * @param {Cell} cell
 * @param {number} nth
 */
function cellOf(column, cell, nth) {
  const children = (typeof cell === 'string' ? [cell] : cell).flatMap(child =>
    typeof child === 'string' ? kept(child) : [child],
  )
  const kind = column?.isNumber ? 'number' : column?.hasScope ? 'scope' : undefined
  const common = { 'data-title': column?.title, class: kind }
  return nth === 0
    ? el('th', { ...common, scope: 'row', role: 'rowheader' }, ...children)
    : el('td', { ...common, role: 'cell' }, ...children)
}

/**
 * A name above the id for which it stands, or the id alone.
 * @param {string | null} name
 * @param {string | null} id
 * @returns {readonly Child[]}
 */
export const nameAndId = (name, id) =>
  name === null || name === id
    ? [el('span', { class: 'id' }, ...guidsIn(id ?? '–'))]
    : [name, ' ', el('span', { class: 'id' }, ...guidsIn(id ?? ''))]

/** Words up to this length are not divided. Longer ones in every column could make a table wider than its page. */
const longestWord = 16

/**
 * A text whose words stay in one piece if all of them are short, also those with a hyphen: names, codes.
 * @param {string} text
 * @returns {readonly Child[]}
 */
const kept = text =>
  text.trim() !== '' && text.split(/\s+/).every(word => word.length <= longestWord)
    ? text.split(/(\s+)/).map(part => (part.trim() === '' ? part : el('span', { class: 'kept' }, part)))
    : [text]

/**
 * The AADSTS codes behind a reason.
 * @param {readonly number[]} codes
 */
export const codesOf = codes => codes.map(code => ` AADSTS${code}`)

/**
 * A state in a word, with its colour.
 * @param {string} level `ok`, `attention`, `failing`, `unknown` or `notice`
 * @param {string} word
 */
export const state = (level, word) => el('span', { class: `state ${level}` }, word)
