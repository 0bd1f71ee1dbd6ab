/**
 * The list of cached tokens: which page is shown, and how it is read. Without the DOM.
 * @import { Client, Entry } from './responses.ts'
 */
import { count } from './format.js'
import { isTenantId, scan, scanned } from './search.js'

/** Rows of a page. */
const pageSize = 20
/**
 * @typedef {object} Listed one page
 * @property {readonly Entry[]} entries
 * @property {boolean} hasNext
 * @property {string} about how many there are
 * @property {number} now
 */

/**
 * Where the list stands, and how its pages are read: from the broker, or of what a search has found.
 * @param {Client} client
 * @param {(text: string) => void} progress
 */
export function createTokenList(client, progress) {
  let [text, filter, page] = ['', '', 0]
  /** @type {(string | undefined)[]} */
  let cursors = [undefined]
  /** @type {{ found: readonly Entry[], isComplete: boolean, now: number } | undefined} */
  let result
  /**
   * @param {number} limit
   * @param {string} [cursor]
   */
  const read = async (limit, cursor) => {
    const tenant = isTenantId(text) ? text : undefined
    const query = { sort: 'expires_on', limit: String(limit), cursor, tenant, state: filter || undefined }
    const { body, now } = await client.get('cache/entries', query)
    return { ...body, now }
  }
  /** @returns {Promise<Listed>} */
  const readPage = async () => {
    const { entries, next_cursor, now } = await read(pageSize, cursors[page])
    cursors[page + 1] = next_cursor ?? undefined
    const first = page * pageSize + 1
    const about = entries.length === 0 ? 'None' : `${count(first)} to ${count(first + entries.length - 1)}`
    return { entries, hasNext: next_cursor !== null, about, now }
  }
  /**
   * @param {() => boolean} isCurrent
   * @returns {Promise<Listed>}
   */
  const searchPage = async isCurrent => {
    let now = 0
    /** @param {string | undefined} cursor */
    const readNext = async cursor => {
      const entries = await read(scanned.limit, cursor)
      now = entries.now
      return entries
    }
    result ??= {
      ...(await scan(readNext, text, searched => {
        if (isCurrent()) progress(`Searched ${count(searched)} …`)
        return isCurrent()
      })),
      now,
    }
    const { found, isComplete } = result
    const entries = found.slice(page * pageSize, (page + 1) * pageSize)
    const about = `${count(found.length)} found${isComplete ? '' : ` in the first ${count(scanned.limit * scanned.pages)}`}`
    return { entries, hasNext: found.length > (page + 1) * pageSize, about, now: result.now }
  }
  const isSearch = () => text !== '' && !isTenantId(text)
  return {
    isSearch,
    isFirst: () => page === 0,
    /**
     * @param {string} newText
     * @param {string} newFilter
     */
    start: (newText, newFilter) => {
      ;[text, filter, page, cursors, result] = [newText, newFilter, 0, [undefined], undefined]
    },
    next: () => void page++,
    back: () => void (page = Math.max(0, page - 1)),
    /** @param {() => boolean} isCurrent */
    page: isCurrent => (isSearch() ? searchPage(isCurrent) : readPage()),
  }
}
