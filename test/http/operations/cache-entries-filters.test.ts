import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, observers, sampleCaller, startWorld, type TestBroker, until } from '../../support/broker.ts'

const arm = 'https://management.azure.com/.default'
const mixed = 'ab000000-0000-4000-8000-0000000000cd'
const numbered = Array.from({ length: 12 }, (_, n) => `40000000-0000-4000-8000-000000000${100 + n}`)
const tenantIds = [...numbered, sample.contoso, sample.fabrikam, mixed]
const world = await startWorld({ tenants: tenantIds.map(id => ({ id })) })
const { emulator, clock } = world
const policy = {
  tenants: { contoso: sample.contoso, mixed: mixed.toUpperCase(), empty: sample.fabrikam },
  rules: [{ name: 'all', callers: [sampleCaller], tenants: tenantIds, scopes: [graph, arm] }, observers],
}

async function entriesOf(broker: TestBroker, query = '') {
  const { status, json, text } = await broker.get(`/cache/entries${query}`)
  assert.equal(status, 200, text)
  return { entries: json['entries'] as readonly Json[], next: json['next_cursor'] as string | null }
}

describe('the entries of one tenant', () => {
  const filled = async (t: TestContext) => {
    const broker = await world.broker(t, { policy })
    await broker.requestToken({ tenant: 'contoso', scope: graph })
    await broker.requestToken({ tenant: 'mixed', scope: graph })
    await broker.requestToken({ tenant: 'contoso', scope: arm })
    return broker
  }
  const rows: readonly (readonly [tenant: string, scopes: readonly string[], why: string])[] = [
    ['contoso', [graph, arm], 'a name of the policy'],
    [sample.contoso, [graph, arm], 'an id'],
    ['mixed', [graph], 'a name whose id the policy writes in upper case'],
    [mixed, [graph], 'an id in lower case'],
    [mixed.toUpperCase(), [graph], 'an id in upper case'],
    ['empty', [], 'a tenant without a token'],
    [sample.tailspin, [], 'an id that the policy does not know'],
    ['unknown', [], 'a name that the policy does not know'],
    ['constructor', [], 'a name like a property of every object'],
  ]
  for (const [tenant, scopes, why] of rows)
    test(`${tenant}: ${why}`, async t => {
      const { entries, next } = await entriesOf(await filled(t), `?tenant=${tenant}`)
      assert.deepEqual(
        entries.map(({ scope }) => scope),
        scopes,
      )
      assert.equal(next, null)
    })

  test('are paged in the same way', async t => {
    const broker = await filled(t)
    const first = await entriesOf(broker, '?tenant=contoso&limit=1')
    const second = await entriesOf(broker, `?tenant=contoso&limit=1&cursor=${first.next}`)
    assert.deepEqual(
      [...first.entries, ...second.entries].map(({ scope }) => scope),
      [graph, arm],
    )
    assert.equal(second.next, null)
  })
})

test('a tenant has its name in the policy, whatever its case there, and null if it has none', async t => {
  const broker = await world.broker(t, { policy })
  for (const tenant of ['contoso', 'mixed', numbered[0] ?? '']) await broker.requestToken({ tenant, scope: graph })
  const names = (await entriesOf(broker)).entries.map(({ tenant_name: name }) => name)
  assert.deepEqual(names, ['contoso', 'mixed', null])
})

describe('the entries of one state', () => {
  /** One token that is fresh, one that is due, one at risk, and one that has expired. */
  const filled = async (t: TestContext) => {
    const broker = await world.broker(t, { policy })
    const request = async (tenant: string) =>
      assert.equal((await broker.requestToken({ tenant, scope: graph })).status, 200)
    emulator.configure({ expiresIn: 1800 })
    await request('empty')
    emulator.configure({ expiresIn: 3599 })
    await request('contoso')
    await request('mixed')
    clock.advance(2750)
    await request(numbered[0] ?? '')
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    await request('contoso')
    await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
    await request('contoso')
    return broker
  }
  const rows: readonly (readonly [query: string, tenants: readonly string[], why: string])[] = [
    ['state=fresh', [numbered[0] ?? ''], 'not due yet'],
    ['state=due', [sample.contoso, mixed], 'the next request starts a refresh, or would'],
    ['state=expired', [sample.fabrikam], 'not served any more'],
    ['state=at_risk', [sample.contoso], 'requested after its refresh failed'],
    ['state=due&tenant=mixed', [mixed], 'with a tenant'],
    ['state=fresh&tenant=contoso', [], 'both must match'],
    ['state=due&sort=expires_on', [sample.contoso, mixed], 'sorted'],
  ]
  for (const [query, tenants, why] of rows)
    test(`${query}: ${why}`, async t => {
      const { entries, next } = await entriesOf(await filled(t), `?${query}`)
      assert.deepEqual(
        entries.map(({ tenant }) => tenant),
        tenants,
      )
      assert.equal(next, null)
    })

  test('at risk are only tokens that are still served', async t => {
    const broker = await filled(t)
    const shown = async () => (await entriesOf(broker, '?state=at_risk')).entries.map(entry => entry['at_risk'])
    assert.deepEqual(await shown(), [true])
    clock.advance(790)
    assert.deepEqual(await shown(), [])
    const [expired] = (await entriesOf(broker, '?tenant=contoso')).entries
    assert.deepEqual([expired?.['state'], expired?.['at_risk']], ['expired', false])
  })

  test('are paged in the same way', async t => {
    const broker = await filled(t)
    const first = await entriesOf(broker, '?state=due&limit=1')
    const second = await entriesOf(broker, `?state=due&limit=1&cursor=${first.next}`)
    assert.deepEqual(
      [...first.entries, ...second.entries].map(({ tenant }) => tenant),
      [sample.contoso, mixed],
    )
    assert.equal(second.next, null)
  })
})

describe('what ends first comes first', () => {
  /** Lives in seconds. Three tokens end together: they stay in the order in which they were fetched. */
  const lives = [1000, 900, 3000, 900, 800, 2000, 900, 3500, 1500, 700, 2500, 1200]
  const expected = numbered
    .map((tenant, n) => ({ tenant, life: lives[n] ?? 0 }))
    .toSorted((a, b) => a.life - b.life)
    .map(({ tenant }) => tenant)

  for (const limit of [1, 2, 3, 5, 11, 12, 13, 1000])
    test(`in pages of ${limit}: every entry exactly once`, async t => {
      const broker = await world.broker(t, { policy })
      for (const [n, tenant] of numbered.entries()) {
        emulator.configure({ expiresIn: lives[n] ?? 0 })
        await broker.requestToken({ tenant, scope: graph })
      }
      const listed: unknown[] = []
      for (let cursor: string | null = ''; cursor !== null;) {
        const query = `?sort=expires_on&limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`
        const { entries, next } = await entriesOf(broker, query)
        assert.ok(entries.length <= limit)
        listed.push(...entries.map(({ tenant }) => tenant))
        cursor = next
      }
      assert.deepEqual(listed, expected)
    })
})
