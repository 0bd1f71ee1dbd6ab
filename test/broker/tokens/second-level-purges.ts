import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FetchFilter } from '../../../src/broker/events.ts'
import { BrokerError } from '../../../src/errors.ts'
import { arm, ids } from '../../support/callers.ts'
import { settled } from './cache-world.ts'
import { awaited, grant, heldExchange, never, type Start, startWith } from './second-level-world.ts'

/** Declares the tests of purges. */
export function describePurges(start: Start): void {
  describe('a purge', () => {
    const filters: readonly (readonly [FetchFilter, string])[] = [
      [{}, 'everything'],
      [{ tenant: grant.tenant }, 'a tenant'],
      [{ scope: grant.scope }, 'a scope'],
      [{ clientId: grant.clientId }, 'an application'],
      [{ clientId: grant.clientId, tenant: grant.tenant, scope: grant.scope }, 'one key'],
    ]
    for (const [filter, what] of filters)
      test(`of ${what} reaches all replicas: no look-up finds the token, and the others are notified once`, async t => {
        const { a, b, c, heard, issue, found } = await startWith(start, t, 3)
        await a.fetch(grant, awaited, never, issue('one'))
        assert.deepEqual(await a.purge(filter), { live: 3, confirmed: 3 })
        assert.deepEqual(heard, [[], [filter], [filter]])
        for (const replica of [a, b, c]) assert.equal(await found(replica), undefined)
        assert.equal((await b.fetch(grant, awaited, never, issue('two'))).token, 'two')
        for (const replica of [a, b, c]) assert.equal(await found(replica), 'two')
      })

    test('leaves what does not match', async t => {
      const { a, b, issue, found } = await startWith(start, t, 2)
      await a.fetch(grant, awaited, never, issue('one'))
      await b.purge({ tenant: ids.fabrikam })
      await b.purge({ tenant: grant.tenant, scope: arm })
      assert.equal(await found(b), 'one')
    })

    test('also counts for an exchange that is under way on another replica', async t => {
      const { a, b, issue, issued, found } = await startWith(start, t, 2)
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      await b.purge({ tenant: grant.tenant })
      held.resolve(issued('one'))
      assert.equal((await first).token, 'one', 'its own caller gets it')
      for (const replica of [a, b]) assert.equal(await found(replica), undefined)
      assert.equal((await b.fetch(grant, awaited, never, issue('two'))).token, 'two')
    })

    test('that a replica missed is applied when that replica is connected again', async t => {
      const { world, a, b, heard, issue } = await startWith(start, t, 2)
      await a.fetch(grant, awaited, never, issue('one'))
      await world.cutOff(b)
      const reach = await a.purge({ tenant: grant.tenant })
      assert.equal(reach.confirmed, 1)
      assert.equal(heard[1]?.length, 0)
      await world.reconnect(b)
      const [filter] = heard[1] ?? []
      assert.ok(filter !== undefined && (filter.tenant === undefined || filter.tenant === grant.tenant))
    })

    test('is not undone by a restart of the store', async t => {
      const { world, a, b, heard, issue, issued, found } = await startWith(start, t, 2)
      for (let nth = 0; nth < 3; nth++) await a.purge({ scope: arm })
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      await b.purge({ tenant: grant.tenant })
      await world.restart()
      held.resolve(issued('one'))
      await first
      assert.equal(await found(b), undefined, 'its exchange began before the purge')
      const before = heard[1]?.length ?? 0
      assert.deepEqual(await a.purge({ tenant: grant.tenant }), { live: 2, confirmed: 2 })
      assert.ok((heard[1]?.length ?? 0) > before, 'a purge after the restart is heard')
      await a.fetch(grant, awaited, never, issue('two'))
      assert.equal(await found(b), 'two')
    })
  })
}

/** Declares the tests of an unavailable store. */
export function describeTrouble(start: Start): void {
  describe('without the store', () => {
    test('a look-up is a miss, a fetch makes its own exchange, and a purge reaches one replica', async t => {
      const { world, a, issue } = await startWith(start, t, 1)
      await a.fetch(grant, awaited, never, issue('one'))
      await world.cutOff(a)
      assert.deepEqual(await a.lookUp(grant, awaited), { token: undefined, isFetching: false })
      assert.equal((await a.fetch(grant, awaited, never, issue('two'))).token, 'two')
      await assert.rejects(
        a.fetch(grant, awaited, never, () => Promise.reject(new BrokerError('internal_error', 'as the exchange'))),
        { code: 'internal_error' },
      )
      assert.deepEqual(await a.purge({}), { live: undefined, confirmed: 1 })
      const { isUp, replicas } = a.status()
      assert.deepEqual({ isUp, replicas }, { isUp: false, replicas: undefined })
    })

    test('a fetch that waits for another replica makes its own exchange', async t => {
      const { world, a, b, issue, issued } = await startWith(start, t, 2)
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      const second = b.fetch(grant, awaited, never, issue('two'))
      await b.lookUp(grant, awaited)
      await settled()
      await world.cutOff(b)
      assert.equal((await second).token, 'two')
      held.resolve(issued('one'))
      assert.equal((await first).token, 'one')
    })

    test('once it is there again, tokens are shared again', async t => {
      const { world, a, b, issue, found } = await startWith(start, t, 2)
      await world.cutOff(b)
      await a.fetch(grant, awaited, never, issue('one'))
      await world.reconnect(b)
      assert.equal(await found(b), 'one')
      assert.equal(b.status().replicas?.length, 2)
    })
  })
}
