import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import { problemOf } from '../../../src/http/server/problems.ts'
import { BrokerError } from '../../../src/errors.ts'
import { arm, callerWith, grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { unavailable, cacheWorld, settled } from '../tokens/cache-world.ts'

const greedy = await callerWith({ sub: 'system:serviceaccount:greedy:worker' })
const modest = await callerWith({ sub: 'system:serviceaccount:modest:worker' })
const tenant = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
/** So many keys of one caller. */
const keysOf = (count: number, caller = greedy): readonly Grant[] =>
  Array.from({ length: count }, (_, n) => grantFor({ tenant: tenant(n) }, caller))
const single = grantFor({ scope: arm }, modest)

describe('a caller that requests thousands of cold keys', () => {
  test('leaves a slot free for the single key of another caller', async () => {
    const { get, fetched, hold, release } = cacheWorld({ concurrency: 4, maxEntries: 10_000 })
    hold()
    const many = keysOf(4000).map(grant => get(grant))
    assert.equal(fetched.length, 3)
    const served = get(single)
    assert.equal(fetched.at(-1), single)
    release()
    assert.match(await served, /^miss /)
    assert.equal(new Set(await Promise.all(many)).size, 4000)
  })

  test('does not delay that key when all slots are used: it starts within the next turns', async () => {
    const { get, fetched, hold, release } = cacheWorld({ concurrency: 2, maxEntries: 10_000 })
    hold()
    const many = keysOf(4000).map(grant => get(grant))
    const served = get(single)
    assert.ok(!fetched.includes(single))
    release()
    await served
    assert.ok(fetched.indexOf(single) <= 4, `it was number ${fetched.indexOf(single) + 1}`)
    await Promise.all(many)
  })

  test('is refused beyond half of the queue: 503 overloaded with Retry-After', async () => {
    const { get, hold, release } = cacheWorld({ concurrency: 1, maxEntries: 10_000 })
    hold()
    const all = keysOf(5002).map(grant => get(grant))
    const refused = await all.at(-1)?.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.ok(refused instanceof BrokerError)
    const { status, headers } = problemOf(refused, 'id')
    assert.deepEqual([refused.code, status, headers['retry-after']], ['overloaded', 503, '1'])
    const served = get(single)
    release()
    assert.match(await served, /^miss /, 'others still have room')
    assert.equal((await Promise.allSettled(all)).filter(({ status: how }) => how === 'rejected').length, 1)
  })

  test('gets cached tokens even if its share of the queue is used up', async () => {
    const { get, hold, release } = cacheWorld({ concurrency: 1, maxEntries: 10_000 })
    const mine = grantFor({ scope: arm }, greedy)
    await get(mine)
    hold()
    const all = keysOf(5001).map(grant => get(grant))
    assert.equal(await get(mine), 'hit token-1')
    release()
    await Promise.all(all)
  })
})

describe('a fetch that several callers wait for', () => {
  test('starts in the first turn of its callers', async () => {
    const { get, fetched, hold, release } = cacheWorld({ concurrency: 2, maxEntries: 1000 })
    hold()
    const many = keysOf(500).map(grant => get(grant))
    const joined = get(grantFor({ tenant: tenant(499) }, modest))
    release()
    assert.match(await joined, /^collapsed /)
    const place = fetched.findIndex(grant => grant.tenant === tenant(499))
    assert.ok(place <= 4, `it was number ${place + 1}`)
    await Promise.all(many)
    assert.equal(fetched.length, 500)
  })

  test('is not cancelled by a caller that gives up: the others get the token, and it is cached', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { get, fetched, hold, release } = cacheWorld({ timeoutMs: 5000 })
    hold()
    const first = get()
    await settled()
    t.mock.timers.tick(3000)
    const later = get(grantFor({}, modest))
    t.mock.timers.tick(2000)
    await assert.rejects(first, { code: 'upstream_unavailable', retryAfter: 1 })
    release()
    assert.equal(await later, 'collapsed token-1')
    assert.equal(await get(), 'hit token-1')
    assert.equal(fetched.length, 1)
  })

  test('is cached if it ends after all callers have given up', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { get, hold, release } = cacheWorld({ timeoutMs: 5000 })
    hold()
    const waits = [get(), get()]
    t.mock.timers.tick(5000)
    for (const wait of waits) await assert.rejects(wait, { code: 'upstream_unavailable' })
    release()
    await settled()
    assert.equal(await get(), 'hit token-1')
  })

  test('that has not started stays in the queues of the callers that still wait', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { get, fetched, hold, release } = cacheWorld({ concurrency: 1, timeoutMs: 5000 })
    hold()
    const running = get()
    const early = get(single)
    t.mock.timers.tick(4000)
    const late = get(grantFor({ scope: arm }, greedy))
    t.mock.timers.tick(1000)
    await assert.rejects(early, { code: 'upstream_unavailable' })
    await assert.rejects(running, { code: 'upstream_unavailable' })
    release()
    assert.equal(await late, 'collapsed token-2')
    assert.equal(fetched.length, 2)
  })

  test('that has not started stays in the queue of a caller while one of its requests still waits', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { get, fetched, hold, release } = cacheWorld({ concurrency: 1, timeoutMs: 5000 })
    hold()
    const running = get()
    const early = get(single)
    t.mock.timers.tick(4000)
    const late = get(single)
    t.mock.timers.tick(1000)
    for (const gone of [early, running]) await assert.rejects(gone, { code: 'upstream_unavailable' })
    release()
    assert.equal(await late, 'collapsed token-2')
    assert.equal(fetched.length, 2)
  })

  test('is not made if all callers give up before it starts', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { get, cache, fetched, hold, release } = cacheWorld({ concurrency: 1, timeoutMs: 5000 })
    hold()
    const waits = [get(), ...keysOf(20).map(grant => get(grant))]
    t.mock.timers.tick(5000)
    await Promise.allSettled(waits)
    release()
    await settled()
    assert.equal(fetched.length, 1)
    assert.equal(cache.view.statistics().fetching, 0)
  })
})

test('a failure in the negative cache is returned at once, without a turn, and reported', async () => {
  const hits: string[] = []
  const { get, world, hold, release } = cacheWorld({
    concurrency: 1,
    events: { refreshed: () => undefined, negativeCacheHit: (_, { reason }) => void hits.push(reason) },
  })
  world.next = unavailable()
  await assert.rejects(get())
  world.next = {}
  hold()
  const others = keysOf(3).map(grant => get(grant))
  await assert.rejects(get(), { code: 'upstream_unavailable', retryAfter: 8 })
  assert.deepEqual(hits, ['status'])
  release()
  await Promise.all(others)
})

test('10,000 live keys whose federated credential is deleted: two to four exchanges a minute, and no failure before a token expires', async t => {
  const clock = movableClock()
  let seed = 1
  let deleted = false
  let exchanges = 0
  const keys = keysOf(10_000)
  const cache = createCache(
    () => {
      exchanges++
      const refusal = new BrokerError('federation_misconfigured', 'no credential', { reason: 'federation' })
      return deleted ? Promise.reject(refusal) : Promise.resolve({ token: 'token', expiresIn: 3600 })
    },
    {
      clock,
      random: () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647,
      maxEntries: 10_000,
      minRemainingSeconds: 60,
      timeoutMs: 5000,
      concurrency: 64,
      events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
    },
  )
  for (const grant of keys) await cache.get(grant, 0)
  deleted = true
  /** Every key is requested once a minute. Tokens are due from minute 40 on, and expired from minute 59 on. */
  const perMinute: number[] = []
  let refused = 0
  for (let minute = 0; minute < 70; minute++) {
    exchanges = 0
    for (let second = 0; second < 60; second++) {
      clock.advance(1000)
      for (let n = second; n < keys.length; n += 60) {
        const served = cache.get(keys[n] ?? assert.fail(), 0)
        if (!(served instanceof Promise)) continue
        served.catch(() => undefined)
        refused++
        assert.ok(minute * 60 + second + 1 >= 3540, 'a failure although a token was valid')
      }
      await settled()
    }
    perMinute.push(exchanges)
  }
  t.diagnostic(`exchanges a minute, from minute 40 on: ${perMinute.slice(40).join(' ')}`)
  assert.ok(refused > 90_000)
  assert.equal(Math.max(...perMinute.slice(0, 40)), 0)
  for (const count of perMinute.slice(42)) assert.ok(count >= 2 && count <= 4, perMinute.join(' '))
})
