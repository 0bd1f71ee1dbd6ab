import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EntryPosition } from '../../../src/broker/tokens/entry-page.ts'
import { arm, grantFor, graph, ids } from '../../support/callers.ts'
import { cacheWorld, settled } from './cache-world.ts'

const minutes = 60_000
/** A tenant with a number in its id. */
const tenantId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

type World = ReturnType<typeof cacheWorld>

describe('pages', () => {
  async function filled(count: number) {
    const world = cacheWorld({ maxEntries: 1000 })
    for (let n = 0; n < count; n++) await world.get(grantFor({ tenant: tenantId(n) }))
    return world
  }

  function walk({ cache }: World, limit: number, between: (page: number) => void = () => undefined) {
    const pages: (readonly string[])[] = []
    let after: EntryPosition | undefined
    do {
      const page = cache.view.page({ limit, after })
      pages.push(page.entries.map(({ tenant }) => tenant))
      after = page.next
      between(pages.length)
    } while (after !== undefined && pages.length < 1000)
    return pages
  }

  const rows: readonly (readonly [count: number, limit: number, sizes: readonly number[], why: string])[] = [
    [0, 10, [0], 'an empty cache is one empty page'],
    [1, 1, [1], 'a full last page has no next'],
    [2, 1, [1, 1], 'one by one'],
    [7, 3, [3, 3, 1], 'a last page that is not full'],
    [9, 3, [3, 3, 3], 'no empty page at the end'],
    [100, 1000, [100], 'a limit beyond the number of entries'],
  ]
  for (const [count, limit, sizes, why] of rows)
    test(`${count} entries by ${limit}: ${why}`, async () => {
      const pages = walk(await filled(count), limit)
      assert.deepEqual(
        pages.map(({ length }) => length),
        sizes,
      )
      // In the order in which they were fetched, each exactly once.
      assert.deepEqual(
        pages.flat(),
        Array.from({ length: count }, (_, n) => tenantId(n)),
      )
    })

  test('a hit does not change the order, although it makes the entry the most recently used', async () => {
    const world = await filled(5)
    const pages = walk(world, 2, () => void world.get(grantFor({ tenant: tenantId(0) })))
    assert.deepEqual(pages.flat(), [0, 1, 2, 3, 4].map(tenantId))
  })

  test('an entry that is refreshed between two pages moves to the end: it is listed twice, and no entry is missed', async () => {
    const world = await filled(5)
    world.clock.advance(45 * minutes)
    const { view } = world.cache
    const first = view.page({ limit: 2 })
    await world.get(grantFor({ tenant: tenantId(0) }))
    await world.get(grantFor({ tenant: tenantId(3) }))
    await settled()
    const rest = view.page({ limit: 10, after: first.next })
    assert.deepEqual(
      [...first.entries, ...rest.entries].map(({ tenant, state }) => `${tenant.at(-1)} ${state}`),
      ['0 due', '1 due', '2 due', '4 due', '0 fresh', '3 fresh'],
    )
  })

  test('an entry that is evicted between two pages is not listed, and no other entry is missed', async () => {
    const world = cacheWorld({ maxEntries: 4 })
    for (let n = 0; n < 4; n++) await world.get(grantFor({ tenant: tenantId(n) }))
    const first = world.cache.view.page({ limit: 1 })
    // Evicts 0 and 1: the entry after which the next page begins, and the one that it would have begun with.
    for (let n = 4; n < 6; n++) await world.get(grantFor({ tenant: tenantId(n) }))
    const rest = world.cache.view.page({ limit: 10, after: first.next })
    assert.deepEqual(
      rest.entries.map(({ tenant }) => tenant),
      [2, 3, 4, 5].map(tenantId),
    )
  })

  test('a page after the last entry is empty', async () => {
    const { cache } = await filled(3)
    assert.deepEqual(cache.view.page({ limit: 10, after: { id: 999_999_999_999_999, endsAt: 0 } }), {
      entries: [],
      next: undefined,
    })
  })

  test('reading a page does not count as a use: the entry that was not requested is evicted', async () => {
    const world = cacheWorld({ maxEntries: 2 })
    await world.get(grantFor({ tenant: 'contoso' }))
    await world.get(grantFor({ tenant: 'fabrikam' }))
    world.cache.view.page({ limit: 1 })
    await world.get(grantFor({ tenant: tenantId(1) }))
    assert.equal(await world.get(grantFor({ tenant: 'fabrikam' })), 'hit token-2')
  })

  test('reading a page starts no fetch, also for due and expired entries', async () => {
    const world = await filled(3)
    world.clock.advance(45 * minutes)
    world.cache.view.page({ limit: 10 })
    world.clock.advance(45 * minutes)
    world.cache.view.page({ limit: 10 })
    world.cache.view.statistics()
    await settled()
    assert.equal(world.fetched.length, 3)
  })
})

describe('the entries of one tenant', () => {
  const requests = [
    { tenant: 'contoso' },
    { tenant: 'contoso', scope: arm },
    { tenant: 'contoso', application: 'other' },
    { tenant: 'fabrikam' },
  ]
  async function several() {
    const world = cacheWorld()
    for (const request of requests) await world.get(grantFor(request))
    return (tenant: string, limit = 10, after?: EntryPosition) => world.cache.view.page({ tenant, limit, after })
  }

  test('are those of all its scopes and applications, and no others', async () => {
    const page = await several()
    assert.deepEqual(
      page(ids.contoso).entries.map(({ clientId, scope }) => [clientId, scope]),
      [
        [ids.application, graph],
        [ids.application, arm],
        [ids.other, graph],
      ],
    )
    assert.equal(page(ids.fabrikam).entries.length, 1)
  })

  test('are paged in the same way', async () => {
    const page = await several()
    const first = page(ids.contoso, 2)
    assert.equal(first.entries.length, 2)
    const second = page(ids.contoso, 2, first.next)
    assert.deepEqual([second.entries.length, second.next], [1, undefined])
  })

  const none: readonly (readonly [tenant: string, why: string])[] = [
    [tenantId(99), 'a tenant without a token'],
    [ids.application, 'a client id'],
    [ids.contoso.slice(0, -1), 'a part of an id'],
    [graph, 'a scope'],
    ['', 'an empty text'],
    ['unknown', 'an unknown name'],
  ]
  for (const [tenant, why] of none)
    test(`are none for "${tenant}": ${why}`, async () => {
      assert.deepEqual((await several())(tenant), { entries: [], next: undefined })
    })
})
