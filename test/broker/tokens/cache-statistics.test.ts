import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CacheEntry } from '../../../src/broker/tokens/entry-page.ts'
import { fingerprint } from '../../../src/broker/lib/fingerprint.ts'
import { BrokerError } from '../../../src/errors.ts'
import { arm, callerWith, grantFor, graph, ids } from '../../support/callers.ts'
import { noon } from '../../support/clock.ts'
import { unavailable, cacheWorld, settled } from './cache-world.ts'

const seconds = 1000
const minutes = 60 * seconds
/** A tenant with a number in its id. */
const tenantId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

type World = ReturnType<typeof cacheWorld>
const all = ({ cache }: World): readonly CacheEntry[] => cache.view.page({ limit: 1000 }).entries
/** The one entry. */
function only(world: World): CacheEntry {
  const [entry, ...more] = all(world)
  assert.ok(entry)
  assert.deepEqual(more, [])
  return entry
}

describe('the statistics', () => {
  test('of an empty cache', () => {
    assert.deepEqual(cacheWorld({ maxEntries: 7 }).cache.view.statistics(), {
      entries: 0,
      maxEntries: 7,
      fetching: 0,
      load: { running: 0, waiting: 0, background: 0 },
      failures: [],
      evictions: 0,
      atRisk: 0,
      atRiskUsableSeconds: undefined,
    })
  })

  test('count running fetches, and one place in the queue for each caller that waits', async () => {
    const { cache, get, hold, release } = cacheWorld({ concurrency: 1 })
    const other = await callerWith({ sub: 'system:serviceaccount:other:worker' })
    hold()
    const second = { tenant: tenantId(2) }
    const waiting = [get(), get(grantFor(second)), get(grantFor(second)), get(grantFor(second, other))]
    assert.partialDeepStrictEqual(cache.view.statistics(), {
      fetching: 2,
      load: { running: 1, waiting: 2, background: 0 },
    })
    release()
    await Promise.all(waiting)
    assert.partialDeepStrictEqual(cache.view.statistics(), { fetching: 0, load: { running: 0, waiting: 0 } })
  })

  test('count cached failures by level and reason, also when their period is over', async () => {
    const { cache, get, world, clock } = cacheWorld()
    const failing = [
      new BrokerError('consent_required', 'no', { reason: 'consent' }),
      new BrokerError('consent_required', 'no', { reason: 'consent' }),
      new BrokerError('upstream_unavailable', 'no', { reason: 'timeout' }),
    ]
    for (const [n, error] of failing.entries()) {
      world.next = error
      await assert.rejects(get(grantFor({ tenant: tenantId(n) })))
    }
    const counted = [
      { level: 'tenant', reason: 'consent', count: 2 },
      { level: 'key', reason: 'timeout', count: 1 },
    ]
    assert.deepEqual(cache.view.statistics().failures, counted)
    clock.advance(minutes)
    assert.deepEqual(cache.view.statistics().failures, counted)
    world.next = {}
    await get(grantFor({ tenant: tenantId(2) }))
    assert.deepEqual(cache.view.statistics().failures, counted.slice(0, 1))
  })

  test('count entries, and one fetch per key', async () => {
    const { cache, get, hold, release } = cacheWorld()
    await get(grantFor({ scope: arm }))
    hold()
    const waiting = [get(), get(), get(grantFor({ tenant: 'fabrikam' }))]
    assert.partialDeepStrictEqual(cache.view.statistics(), { entries: 1, fetching: 2 })
    release()
    await Promise.all(waiting)
    assert.partialDeepStrictEqual(cache.view.statistics(), { entries: 3, fetching: 0 })
  })

  test('do not count a fetch that has failed', async () => {
    const { cache, get, world } = cacheWorld()
    world.next = unavailable()
    await assert.rejects(get())
    await settled()
    assert.partialDeepStrictEqual(cache.view.statistics(), { entries: 0, fetching: 0 })
  })

  test('count evictions, but no replaced and no expired tokens', async () => {
    const world = cacheWorld({ maxEntries: 2 })
    const { cache, get, clock } = world
    const fetchToken = (n: number) => get(grantFor({ tenant: tenantId(n) }))
    await fetchToken(1)
    await fetchToken(2)
    clock.advance(59 * minutes)
    await fetchToken(1)
    await fetchToken(2)
    assert.partialDeepStrictEqual(cache.view.statistics(), { entries: 2, evictions: 0 })
    await fetchToken(3)
    await fetchToken(4)
    assert.partialDeepStrictEqual(cache.view.statistics(), { entries: 2, evictions: 2 })
  })
})

describe('an entry', () => {
  test('has all metadata, but not the token', async () => {
    const world = cacheWorld()
    world.world.next = { token: 'a-token', traceId: 'trace-1', correlationId: 'correlation-1' }
    await world.get()
    assert.deepEqual(only(world), {
      agentId: undefined,
      clientId: ids.application,
      tenant: ids.contoso,
      scope: graph,
      state: 'fresh',
      endsAt: noon + 60 * minutes,
      usableSeconds: 3540,
      refreshInSeconds: 2700,
      isAtRisk: false,
      failedRefreshes: 0,
      lastFailure: undefined,
      fingerprint: fingerprint('a-token'),
      traceId: 'trace-1',
      correlationId: 'correlation-1',
    })
    assert.ok(!JSON.stringify(all(world)).includes('a-token'))
  })

  const edges: readonly (readonly [ms: number, state: string, usable: number, refreshIn: number, why: string])[] = [
    [0, 'fresh', 3540, 2700, 'an hour of life; the last minute is not served; a refresh after 75 %'],
    [1, 'fresh', 3539, 2700, 'the usable time is rounded down, the time to the refresh is rounded up'],
    [2700 * seconds - 1, 'fresh', 840, 1, 'the last millisecond in which it is fresh'],
    [2700 * seconds, 'due', 840, 0, 'due: the next request starts a refresh'],
    [3540 * seconds - 1, 'due', 0, 0, 'the last millisecond in which it is served'],
    [3540 * seconds, 'expired', 0, 0, 'expired, with a minute left'],
    [3600 * seconds, 'expired', 0, 0, 'at its end'],
    [86_400 * seconds, 'expired', 0, 0, 'long after: never a negative number'],
  ]
  for (const [ms, state, usableSeconds, refreshInSeconds, why] of edges)
    test(`after ${ms} ms is ${state}: ${why}`, async () => {
      const world = cacheWorld()
      await world.get()
      world.clock.advance(ms)
      assert.partialDeepStrictEqual(only(world), { state, usableSeconds, refreshInSeconds })
    })

  test('is expired by the clock that leaves less time: after a machine slept, nothing is shown as usable', async () => {
    const world = cacheWorld()
    await world.get()
    world.clock.jumpWall(59 * minutes)
    assert.partialDeepStrictEqual(only(world), { state: 'expired', usableSeconds: 0, refreshInSeconds: 0 })
    world.clock.jumpWall(-118 * minutes)
    assert.partialDeepStrictEqual(only(world), { state: 'fresh', usableSeconds: 3540 })
  })

  test('has the reason and time of its failed refresh, and the time to the next one', async () => {
    const world = cacheWorld()
    await world.get()
    world.clock.advance(45 * minutes)
    world.world.next = unavailable()
    await world.get()
    await settled()
    const lastFailure = { code: 'upstream_unavailable', reason: 'status', at: noon + 45 * minutes }
    // Half of 15 s: full jitter at one half.
    assert.partialDeepStrictEqual(only(world), { state: 'due', failedRefreshes: 1, lastFailure, refreshInSeconds: 8 })
    world.clock.advance(7500)
    assert.equal(only(world).refreshInSeconds, 0)
    await world.get()
    await settled()
    assert.partialDeepStrictEqual(only(world), {
      failedRefreshes: 2,
      lastFailure: { ...lastFailure, at: noon + 45 * minutes + 7500 },
      refreshInSeconds: 15,
    })
  })

  test('for a new token has none of the failures of the old one', async () => {
    const world = cacheWorld()
    await world.get()
    world.clock.advance(45 * minutes)
    world.world.next = unavailable()
    await world.get()
    await settled()
    world.clock.advance(8 * seconds)
    world.world.next = {}
    await world.get()
    await settled()
    const entry = only(world)
    assert.partialDeepStrictEqual(entry, { state: 'fresh', failedRefreshes: 0, fingerprint: fingerprint('token-3') })
    assert.equal(entry.lastFailure, undefined)
  })
})
