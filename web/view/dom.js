/**
 * Makes elements. Every text is a text node: no value of a response becomes markup.
 * @typedef {string | Node | null | undefined | false} Child
 */

/**
 * Makes an element with attributes and children.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Readonly<Record<string, string | undefined>>} [attributes] an `undefined` one is omitted
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value)
  }
  element.append(...children.filter(isShown))
  return element
}

/**
 * @param {Child} child
 * @returns {child is string | Node}
 */
const isShown = child => child !== null && child !== undefined && child !== false

const svgNamespace = 'http://www.w3.org/2000/svg'

/**
 * Makes an element of SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Readonly<Record<string, string>>} attributes
 * @param {...(string | Node)} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(svgNamespace, tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/**
 * An element of the document.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 * @throws if the document has none of this type with this id
 */
export function byId(id, type) {
  const element = document.getElementById(id)
  if (!(element instanceof type)) throw new Error(`the document has no ${type.name} ${id}`)
  return element
}

/**
 * Returns a function that renders into an element, and does nothing if what it shows has not changed: a selection, the
 * focus and the position of a scroll bar stay. If the focus was inside, it goes to the element with the same `data-key`.
 *
 * @template T
 * @param {Element} parent
 * @param {(model: T) => readonly Child[]} build
 * @returns {(model: T) => void}
 */
export function renderer(parent, build) {
  let shown = ''
  return model => {
    const next = JSON.stringify(model)
    if (next === shown) return
    shown = next
    const { activeElement } = document
    const key = parent.contains(activeElement) ? activeElement?.getAttribute('data-key') : undefined
    parent.replaceChildren(...build(model).filter(isShown))
    if (key !== undefined && key !== null) focusKey(parent, key)
  }
}

/**
 * @param {Element} parent
 * @param {string} key
 */
function focusKey(parent, key) {
  for (const element of parent.querySelectorAll('[data-key]')) {
    if (element instanceof HTMLElement && element.getAttribute('data-key') === key) element.focus()
  }
}

const guid = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/i

/**
 * A text with `code` in backticks, and https addresses as links. A GUID stays in one piece, to be copied.
 * @param {string} text
 * @returns {Child[]}
 */
export const rich = text => text.split(/(`[^`]+`|https:\/\/[^\s`),]+)/).flatMap(richPart)

/**
 * @param {string} part
 * @returns {Child[]}
 */
function richPart(part) {
  if (part.startsWith('`')) return [el('code', {}, ...guidsIn(part.slice(1, -1)))]
  const address = part.startsWith('https://') ? linkOf(part.replace(/\.$/, '')) : undefined
  return address ? [address] : guidsIn(part)
}

/**
 * A text whose GUIDs are elements of their own.
 * @param {string} text
 * @returns {Child[]}
 */
export const guidsIn = text =>
  text.split(guid).map((part, nth) => (nth % 2 === 1 ? el('span', { class: 'guid' }, part) : part))

/** @param {string} text */
function linkOf(text) {
  if (!URL.canParse(text)) return undefined
  return el('a', { href: new URL(text).href, rel: 'noopener noreferrer', target: '_blank' }, text)
}
