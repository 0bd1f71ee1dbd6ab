import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { describePurges, describeTrouble } from './second-level-purges.ts'
import { awaited, grant, heldExchange, never, others, type Start, startWith, unexpected } from './second-level-world.ts'

/**
 * What every second level must do. Declares the tests.
 *
 * @param start starts a store of its own for each test
 */
export function describeSecondLevel(name: string, start: Start): void {
  describe(name, () => {
    describeTokens(start)
    describeLeases(start)
    describePurges(start)
    describeTrouble(start)
  })
}

function describeTokens(start: Start): void {
  describe('a token', () => {
    test('that was not fetched is not found', async t => {
      const { a } = await startWith(start, t, 1)
      assert.deepEqual(await a.lookUp(grant, awaited), { token: undefined, isFetching: false })
    })

    test('that one replica fetched is found by another, with everything that belongs to it', async t => {
      const { a, b, issued } = await startWith(start, t, 2)
      const token = issued('one', {
        expiresAt: (Math.floor(issued('').issuedAt ?? 0) / 1000 + 3500) * 1000,
        traceId: 'trace',
        correlationId: 'correlation',
      })
      assert.deepEqual(await a.fetch(grant, awaited, never, () => Promise.resolve(token)), token)
      const { token: found, isFetching } = await b.lookUp(grant, awaited)
      assert.partialDeepStrictEqual(found, token)
      assert.equal(isFetching, false)
    })

    for (const [other, why] of others)
      test(`is not found for ${why}`, async t => {
        const { a, b, issue, found } = await startWith(start, t, 2)
        await a.fetch(grant, awaited, never, issue('one'))
        assert.equal(await found(b, {}, other), undefined)
        assert.equal((await b.fetch(other, awaited, never, issue('two'))).token, 'two')
        assert.equal(await found(a), 'one')
      })

    test('that is there needs no exchange', async t => {
      const { a, b, issue } = await startWith(start, t, 2)
      await a.fetch(grant, awaited, never, issue('one'))
      assert.equal((await b.fetch(grant, awaited, never, unexpected)).token, 'one')
    })

    test('is of use only if it is newer than the one a replica has', async t => {
      const { a, b, issue, issued, found } = await startWith(start, t, 2)
      const issuedAt = (issued('').issuedAt ?? 0) - 10_000
      await a.fetch(grant, awaited, never, issue('one', { issuedAt }))
      assert.equal(await found(b, { newerThan: issuedAt - 1 }), 'one')
      assert.equal(await found(b, { newerThan: issuedAt }), undefined)
      const wanted = { ...awaited, newerThan: issuedAt }
      assert.equal((await b.fetch(grant, wanted, never, issue('two'))).token, 'two')
      assert.equal(await found(a, wanted), 'two')
      assert.equal((await a.fetch(grant, wanted, never, unexpected)).token, 'two')
    })

    test('that has ended is not found', async t => {
      const { a, b, issue, issued, found } = await startWith(start, t, 2)
      const issuedAt = (issued('').issuedAt ?? 0) - 3_600_000
      await a.fetch(grant, awaited, never, issue('one', { issuedAt, refreshAt: issuedAt + 1 }))
      assert.equal(await found(b), undefined)
    })
  })
}

function describeLeases(start: Start): void {
  describe('one exchange for all replicas', () => {
    test('the others wait for it, and a look-up says so', async t => {
      const { a, b, c, issued } = await startWith(start, t, 3)
      const held = heldExchange()
      const fetching = [a.fetch(grant, awaited, never, held.exchange)]
      await held.started
      fetching.push(b.fetch(grant, awaited, never, unexpected), c.fetch(grant, awaited, never, unexpected))
      assert.deepEqual(await b.lookUp(grant, awaited), { token: undefined, isFetching: true })
      held.resolve(issued('one'))
      assert.deepEqual(
        (await Promise.all(fetching)).map(({ token }) => token),
        ['one', 'one', 'one'],
      )
      assert.equal(held.calls(), 1)
    })

    test('another key does not wait', async t => {
      const { a, b, issue, issued } = await startWith(start, t, 2)
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      for (const [other] of others) assert.equal((await b.fetch(other, awaited, never, issue('two'))).token, 'two')
      held.resolve(issued('one'))
      assert.equal((await first).token, 'one')
    })

    test('if it fails, all fail with the same error, and the next fetch makes a new one', async t => {
      const { a, b, c, issue } = await startWith(start, t, 3)
      const held = heldExchange()
      const error = new BrokerError('upstream_unavailable', 'unavailable', { reason: 'throttled', retryAfter: 7 })
      const expected = { name: error.name, code: error.code, reason: error.reason, retryAfter: 7 }
      const first = assert.rejects(a.fetch(grant, awaited, never, held.exchange), expected)
      await held.started
      const second = assert.rejects(b.fetch(grant, awaited, never, unexpected), expected)
      await b.lookUp(grant, awaited)
      held.reject(error)
      await Promise.all([first, second])
      assert.equal((await c.fetch(grant, awaited, never, issue('two'))).token, 'two')
    })

    test('if it does not finish in time, another replica makes one', async t => {
      const { world, a, b, issue, issued } = await startWith(start, t, 2)
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      const second = b.fetch(grant, awaited, never, issue('two'))
      await b.lookUp(grant, awaited)
      await world.expireLeases()
      assert.equal((await second).token, 'two')
      held.resolve(issued('one'))
      assert.equal((await first).token, 'one')
    })

    test('a fetch that waits ends when its signal aborts', async t => {
      const { a, b, issued } = await startWith(start, t, 2)
      const held = heldExchange()
      const first = a.fetch(grant, awaited, never, held.exchange)
      await held.started
      const abort = new AbortController()
      const second = b.fetch(grant, awaited, abort.signal, (_, signal) =>
        signal.aborted ? Promise.reject(new Error('aborted')) : assert.fail('too early'),
      )
      await b.lookUp(grant, awaited)
      abort.abort()
      await assert.rejects(second)
      held.resolve(issued('one'))
      assert.equal((await first).token, 'one')
    })
  })
}
