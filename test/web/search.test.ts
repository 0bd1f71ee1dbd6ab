import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Entries, Entry } from '../../web/model/responses.js'
import { isTenantId, matches, scan, scanned } from '../../web/model/search.js'
import { createTokenList } from '../../web/model/token-list.js'

const entry = (nth: number, changes: Partial<Entry> = {}): Entry => ({
  tenant: `40000000-0000-4000-8000-${String(nth).padStart(12, '0')}`,
  tenant_name: `tenant-${nth}`,
  scope: 'https://graph.microsoft.com/.default',
  application: 'default',
  client_id: '30000000-0000-4000-8000-000000000001',
  agent: null,
  agent_id: null,
  state: 'fresh',
  at_risk: false,
  expires_on: 0,
  usable_seconds: 60,
  refresh_in: 0,
  failed_refreshes: 0,
  last_failure: null,
  token: 'ff',
  trace_id: null,
  correlation_id: null,
  ...changes,
})

/** The broker's pages of a cache, with the limits and cursors that were requested. */
function cacheOf(entries: readonly Entry[]) {
  const requests: (readonly [limit: number, cursor: string | undefined])[] = []
  const read = (limit: number, cursor?: string): Entries => {
    requests.push([limit, cursor])
    const from = Number(cursor ?? 0)
    const end = from + limit
    return { entries: entries.slice(from, end), next_cursor: end < entries.length ? String(end) : null }
  }
  return { requests, read }
}

describe('what a search finds', () => {
  const rows: readonly (readonly [text: string, isFound: boolean, why: string])[] = [
    ['tenant-7', true, 'the name'],
    ['NANT-7', true, 'a part of it, in another case'],
    ['000000000007', true, 'a part of the id'],
    ['graph', true, 'a part of the scope'],
    ['default', true, 'the application'],
    ['tenant-7 graph', true, 'two words, in different fields'],
    ['tenant-7  graph', true, 'with two blanks between them'],
    ['tenant-7 arm', false, 'one of the two words is nowhere'],
    ['.*', false, 'a text, not a pattern'],
  ]
  for (const [text, isFound, why] of rows)
    test(`${JSON.stringify(text)}: ${why}`, () => assert.equal(matches(entry(7), text), isFound))

  test('the name and the id of an agent identity', () => {
    const agent = { agent: 'helper', agent_id: '60000000-0000-4000-8000-0000000000a1' }
    for (const text of ['helper', '0000000000a1']) assert.ok(matches(entry(7, agent), text))
  })
  test('a token of a tenant without a name', () => assert.ok(!matches(entry(7, { tenant_name: null }), 'null')))
})

test('only a complete id is one', () => {
  assert.ok(isTenantId('40000000-0000-4000-8000-00000000000A'))
  for (const text of ['', '40000000', 'contoso', '40000000-0000-4000-8000-0000000000000'])
    assert.ok(!isTenantId(text), text)
})

describe('a search', () => {
  const all = Array.from({ length: 2500 }, (_, nth) => entry(nth))

  test('reads every page once', async () => {
    const cache = cacheOf(all)
    const { found, isComplete } = await scan(
      cursor => Promise.resolve(cache.read(scanned.limit, cursor)),
      'tenant-24',
      () => true,
    )
    assert.equal(found.length, 111)
    assert.ok(isComplete)
    assert.deepEqual(
      cache.requests.map(([, cursor]) => cursor),
      [undefined, '1000', '2000'],
    )
  })

  test('ends when it is stopped, and says that it is not complete', async () => {
    const cache = cacheOf(all)
    const { isComplete } = await scan(
      cursor => Promise.resolve(cache.read(scanned.limit, cursor)),
      'x',
      () => false,
    )
    assert.equal(isComplete, false)
    assert.equal(cache.requests.length, 1)
  })

  test('ends after 20,000 tokens, even if the cursors never do', async () => {
    let pages = 0
    const endless = () => Promise.resolve({ entries: [], next_cursor: String(++pages) })
    assert.deepEqual(await scan(endless, 'x', () => true), { found: [], isComplete: false })
    assert.equal(pages, 20)
  })
})

describe('the list', () => {
  function listOf(entries: readonly Entry[]) {
    const cache = cacheOf(entries)
    const queries: unknown[] = []
    const client = {
      get: (_path: string, query: { limit: string; cursor?: string }) => {
        queries.push(query)
        return Promise.resolve({ body: cache.read(Number(query.limit), query.cursor), now: 1000 })
      },
    }
    const progress: string[] = []
    type Client = Parameters<typeof createTokenList>[0]
    const list = createTokenList(client as unknown as Client, text => progress.push(text))
    return { list, queries, progress, page: () => list.page(() => true) }
  }

  test('reads one small page of a large cache, and goes on and back by cursors', async () => {
    const { list, queries, page } = listOf(Array.from({ length: 10_000 }, (_, nth) => entry(nth)))
    list.start('', 'due')
    const first = await page()
    assert.deepEqual([first.entries.length, first.hasNext, first.about], [20, true, '1 to 20'])
    list.next()
    assert.equal((await page()).about, '21 to 40')
    list.back()
    list.back()
    assert.equal((await page()).about, '1 to 20')
    assert.deepEqual(queries[1], { sort: 'expires_on', limit: '20', cursor: '20', tenant: undefined, state: 'due' })
  })

  test('lets the broker find a tenant by its id', async () => {
    const { list, queries, page } = listOf([entry(7)])
    list.start(entry(7).tenant, '')
    await page()
    assert.partialDeepStrictEqual(queries, [{ tenant: entry(7).tenant, limit: '20' }])
  })

  test('searches once, and shows what it has found page by page', async () => {
    const { list, queries, progress, page } = listOf(Array.from({ length: 1200 }, (_, nth) => entry(nth)))
    list.start('tenant-', '')
    const first = await page()
    assert.deepEqual([first.entries.length, first.hasNext, first.about], [20, true, '1,200 found'])
    assert.deepEqual(progress, ['Searched 1,000 …'])
    for (let nth = 1; nth < 60; nth++) list.next()
    assert.equal((await page()).hasNext, false)
    assert.equal(queries.length, 2)
  })

  test('of nothing says so', async () => {
    const { list, page } = listOf([])
    assert.deepEqual(await page(), { entries: [], hasNext: false, about: 'None', now: 1000 })
    assert.ok(list.isFirst())
  })
})
