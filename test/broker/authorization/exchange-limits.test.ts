import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { createRateLimits } from '../../../src/broker/authorization/rate-limits.ts'
import { authorize, type Grant } from '../../../src/broker/authorization/authorize.ts'
import { tokenRequest, callerWith, cast, graph, ids, policyOf, under } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const rule = { tenants: ['contoso'], scopes: [graph] }
const limited = { ...rule, name: 'a', callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:*:worker' }] }
const worker = await callerWith()
const stranger = await callerWith({ sub: 'stranger' })

function grantOf(exchangeLimit: string | undefined, who = worker): Grant {
  const rules = [
    { ...limited, ...(exchangeLimit !== undefined && { exchangeLimit }) },
    { ...rule, name: 'b', callers: [{ issuer: 'onprem', subject: 'stranger' }] },
  ]
  const policy = policyOf({ ...cast, rules })
  return authorize(policy, under(policy, who), tokenRequest({ tenant: ids.contoso }), ids.home)
}

/** A cache whose source, with one slot, waits until it is released. */
const world = (concurrency = 4) => {
  const clock = movableClock()
  const fetched: Grant[] = []
  const waits: (() => void)[] = []
  const source = async (grant: Grant) => {
    fetched.push(grant)
    if (concurrency === 1) await new Promise<void>(done => waits.push(done))
    return { token: String(fetched.length), expiresIn: 3600 }
  }
  const cache = createCache(source, {
    clock,
    random: () => 0,
    maxEntries: 10,
    minRemainingSeconds: 300,
    timeoutMs: 5_000,
    concurrency,
    charge: createRateLimits(clock).chargeExchange,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  return { clock, fetched, cache, release: () => waits.splice(0).forEach(done => done()) }
}

describe('a limit of exchanges', () => {
  test('is counted before the source is called, and a refused request does not reach it', async () => {
    const { clock, fetched, cache } = world()
    const grant = grantOf('2/m')
    const fetch = async () => {
      cache.purge({})
      await cache.get(grant, 0)
    }
    await fetch()
    await fetch()
    await assert.rejects(fetch(), { code: 'rate_limited', reason: 'exchanges', retryAfter: 30 })
    assert.equal(fetched.length, 2)
    assert.deepEqual(cache.view.statistics().failures, [], 'one caller’s limit is no failure that others meet')
    clock.advance(30_000)
    await fetch()
    assert.equal(fetched.length, 3)
  })

  test('does not refuse another caller of the same token, even if the limited one requested it first', async () => {
    const { fetched, cache, release } = world(1)
    const grant = grantOf('1/m')
    const first = cache.get(grant, 0)
    cache.purge({})
    // The only slot is taken, so that a fetch of this caller would wait for its turn.
    await assert.rejects(async () => cache.get(grant, 0), { code: 'rate_limited' })
    const other = cache.get(grantOf(undefined, stranger), 0)
    release()
    await first
    for (let turns = 0; fetched.length < 2 && turns < 100; turns++) await new Promise(setImmediate)
    release()
    assert.equal((await other).how, 'miss')
  })

  test('counts the exchanges that a caller causes: joining a running one, its own or another’s, costs nothing', async () => {
    const { fetched, cache, release } = world(1)
    const grant = grantOf('1/m')
    const get = async (of = grant) => (await cache.get(of, 0)).how
    const begun = [get(grantOf(undefined, stranger)), get()]
    release()
    assert.deepEqual(await Promise.all(begun), ['miss', 'collapsed'])
    cache.purge({})
    const own = [get(), get(), get()]
    release()
    assert.deepEqual(await Promise.all(own), ['miss', 'collapsed', 'collapsed'])
    assert.equal(fetched.length, 2)
    cache.purge({})
    await assert.rejects(
      async () => cache.get(grant, 0),
      { code: 'rate_limited' },
      'the one that it caused was counted',
    )
  })

  test('is the error of a request for more remaining life, and does not use up the one replacement of a minute', async () => {
    const { clock, fetched, cache } = world()
    const greedy = grantOf('1/h')
    await cache.get(greedy, 0)
    clock.advance(2_400_000)
    await assert.rejects(async () => cache.get(greedy, 1_800), { code: 'rate_limited' })
    assert.equal((await cache.get(grantOf(undefined, stranger), 1_800)).how, 'request')
    assert.equal(fetched.length, 2)
  })

  test('keeps no other caller from refreshing the cached token', async () => {
    const { clock, fetched, cache } = world()
    const greedy = grantOf('1/h')
    await cache.get(greedy, 0)
    clock.advance(3_200_000)
    for (let second = 0; second < 5; second++) {
      assert.equal((await cache.get(greedy, 0)).how, 'due', 'no failure of the token')
      await new Promise(setImmediate)
    }
    assert.equal(fetched.length, 1)
    await cache.get(grantOf(undefined, stranger), 0)
    await new Promise(setImmediate)
    assert.equal(fetched.length, 2)
    assert.equal((await cache.get(greedy, 0)).how, 'hit')
  })
})
