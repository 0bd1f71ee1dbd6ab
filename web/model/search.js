/**
 * Searching cached tokens. Without the DOM.
 * @import { Entries, Entry } from './responses.ts'
 */

/** The size of a page that is read to search it, and the most pages: 20,000 tokens. */
export const scanned = { limit: 1_000, pages: 20 }

/**
 * Whether a text is the id of a tenant: the broker finds it by itself.
 * @param {string} text
 */
export const isTenantId = text => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

/**
 * Whether every word of a text is part of a token's tenant, name, scope, application or agent identity, whatever the case.
 * @param {Entry} entry
 * @param {string} text
 */
export function matches({ tenant, tenant_name, scope, application, client_id, agent, agent_id }, text) {
  const where = [tenant, tenant_name, scope, application, client_id, agent, agent_id].join('\n').toLowerCase()
  return text
    .toLowerCase()
    .split(/\s+/)
    .every(word => where.includes(word))
}

/**
 * Reads tokens page by page and keeps those that match.
 *
 * @param {(cursor: string | undefined) => Promise<Entries>} read
 * @param {string} text
 * @param {(searched: number) => boolean} goOn is called after each page; false ends the search
 * @returns {Promise<{ found: readonly Entry[], isComplete: boolean }>}
 */
export async function scan(read, text, goOn) {
  /** @type {Entry[]} */
  const found = []
  /** @type {string | undefined} */
  let cursor
  for (let page = 1; page <= scanned.pages; page++) {
    const { entries, next_cursor } = await read(cursor)
    found.push(...entries.filter(entry => matches(entry, text)))
    if (next_cursor === null) return { found, isComplete: true }
    if (!goOn(page * scanned.limit)) break
    cursor = next_cursor
  }
  return { found, isComplete: false }
}
