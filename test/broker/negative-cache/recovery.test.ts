import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { probeEveryMs, recoveryMs, sameTenantEveryMs } from '../../../src/broker/tokens/negative-cache/outage.ts'
import { inBackgroundMs } from '../../../src/broker/tokens/negative-cache/records.ts'
import { reasons } from '../../support/reasons.ts'
import { consent, failure, negativeCacheWorld, otherTenant, target, targetFor, unavailable } from './world.ts'

const timeout = () => failure('upstream_unavailable', 'timeout')
const throttled = () => failure('upstream_unavailable', 'throttled', { retryAfter: 7 })

describe('the success of one key', () => {
  for (const { code, reason, cachedFor, outage } of reasons.filter(each => each.cachedFor !== 'nothing')) {
    const ends = outage !== 'none'
    test(`${ends ? 'ends' : 'does not end'} ${code} ${reason} of another key`, async () => {
      const { fail, succeed, clock, negativeCache } = negativeCacheWorld()
      await fail(failure(code, reason, code === 'upstream_unavailable' ? { retryAfter: 20 } : {}), otherTenant)
      await succeed(targetFor({ clientId: 'another application' }))
      clock.advance(recoveryMs)
      assert.equal(negativeCache.lookUp(otherTenant) === undefined, ends)
      assert.ok(ends === (cachedFor === 'key' && code === 'upstream_unavailable' && !/throttled|loop/.test(reason)))
    })
  }

  test('ends ten thousand failures at moments of their own, spread over the whole time', async () => {
    const { fail, succeed, clock, negativeCache, world } = negativeCacheWorld()
    const keys = Array.from({ length: 10_000 }, (_, n) => targetFor({ scope: `s${n}/.default` }))
    for (const key of keys) await fail(timeout(), key)
    let chance = 0
    const spread = { get: () => (chance = (chance + 0.618_034) % 1) }
    Object.defineProperty(world, 'random', spread)
    await succeed(otherTenant)
    const left = () => keys.filter(key => negativeCache.lookUp(key)).length
    for (const tenths of [1, 5, 9]) {
      clock.advance((recoveryMs * tenths) / 10 + 1)
      const expected = 10_000 * (1 - tenths / 10)
      assert.ok(Math.abs(left() - expected) < 100, `${left()} left after ${tenths} tenths`)
      clock.advance(-(recoveryMs * tenths) / 10 - 1)
    }
    clock.advance(recoveryMs)
    assert.equal(left(), 0)
  })

  test('leaves a key that fails again twice as much time after each: 0.5 s, 1 s, 2 s', async () => {
    const { fail, succeed, clock, cachedFailure, world } = negativeCacheWorld()
    for (let n = 1; n <= 4; n++) {
      world.random = 1
      for (let more = 1; more < 6; more++) await fail(unavailable(), target)
      await succeed(otherTenant)
      const left = cachedFailure().until - clock.monotonic()
      assert.equal(left, Math.min(1000 * 2 ** (n - 1), recoveryMs * 2 ** (n - 1)))
      clock.advance(left)
    }
  })

  test('that began before the failure ends it, too: the upstream responds', async () => {
    const { begin, fail, clock, negativeCache } = negativeCacheWorld()
    const slow = begin(otherTenant)
    await fail(timeout())
    await slow.succeed()
    clock.advance(recoveryMs)
    assert.equal(negativeCache.lookUp(target), undefined)
  })

  test('does not end a failure that was evicted or purged, or one that came later', async () => {
    const { fail, succeed, begin, negativeCache, clock } = negativeCacheWorld()
    await fail(timeout())
    negativeCache.purge({})
    await succeed(otherTenant)
    const slow = begin()
    await slow.fail(timeout())
    clock.advance(recoveryMs)
    assert.ok(negativeCache.lookUp(target))
  })
})

describe('a probe', () => {
  const always = () => true

  test('is made once in a second, for all keys together', async () => {
    const { fail, negativeCache, clock } = negativeCacheWorld()
    const keys = Array.from({ length: 100 }, (_, n) => targetFor({ tenant: `tenant-${n}` }))
    for (const key of keys) await fail(timeout(), key)
    let probes = 0
    for (let ms = 0; ms < 4000; ms += 100) {
      for (const key of keys) if (negativeCache.shouldProbe(key, always)) probes++
      clock.advance(100)
    }
    assert.equal(probes, 4000 / probeEveryMs - 1, 'the first one a second after the failures')
  })

  test('of the same tenant is made once in two seconds', async () => {
    const { fail, negativeCache, clock } = negativeCacheWorld()
    await fail(timeout())
    clock.advance(probeEveryMs)
    assert.ok(negativeCache.shouldProbe(target, always))
    clock.advance(sameTenantEveryMs - 1)
    assert.ok(!negativeCache.shouldProbe(target, always))
    clock.advance(1)
    assert.ok(negativeCache.shouldProbe(target, always))
  })

  test('is not made for a limit, nor for what needs an operator, nor for a key without a failure', async () => {
    for (const error of [throttled(), consent(), failure('upstream_unavailable', 'loop', { retryAfter: 60 })]) {
      const { fail, negativeCache, clock } = negativeCacheWorld()
      await fail(error)
      await fail(unavailable(), otherTenant)
      clock.advance(5000)
      assert.ok(!negativeCache.shouldProbe(target, always), error.reason)
      assert.ok(!negativeCache.shouldProbe(targetFor({ tenant: 'unknown' }), always))
    }
  })

  test('is not made while the circuit would reject it, and then its caller is not charged', async () => {
    let admitted = false
    const { fail, negativeCache, clock } = negativeCacheWorld({ admits: () => admitted })
    await fail(timeout())
    clock.advance(probeEveryMs)
    assert.ok(!negativeCache.shouldProbe(target, () => assert.fail('charged')))
    admitted = true
    assert.ok(negativeCache.shouldProbe(target, always))
  })

  test('that its caller may not cause leaves the turn to another one', async () => {
    const { fail, negativeCache, clock } = negativeCacheWorld()
    for (const each of [target, otherTenant]) await fail(timeout(), each)
    clock.advance(probeEveryMs)
    assert.ok(!negativeCache.shouldProbe(target, () => false))
    assert.ok(negativeCache.shouldProbe(otherTenant, always))
  })

  test('that fails does not make the back-off longer; callers get its error', async () => {
    const { fail, probe, cachedFailure, negativeCache, clock } = negativeCacheWorld()
    await fail(timeout())
    const { until } = cachedFailure()
    clock.advance(probeEveryMs)
    await probe(failure('upstream_unavailable', 'server_error'))
    assert.deepEqual([cachedFailure().until, cachedFailure().failures], [until, 1])
    assert.equal(negativeCache.lookUp(target)?.reason, 'server_error')
  })

  test('that finds a limit stores that one', async () => {
    const { fail, probe, cachedFailure, clock } = negativeCacheWorld()
    await fail(timeout())
    clock.advance(probeEveryMs)
    await probe(throttled())
    assert.equal(cachedFailure().until, clock.monotonic() + 7000 + 1000)
  })

  test('is not made beside another one of the same key', async () => {
    const { fail, begin, negativeCache, clock } = negativeCacheWorld()
    await fail(timeout())
    clock.advance(probeEveryMs)
    const running = begin(target, { early: true })
    clock.advance(sameTenantEveryMs)
    assert.ok(!negativeCache.shouldProbe(target, always))
    await running.succeed()
    assert.equal(negativeCache.lookUp(target), undefined)
  })
})

describe('a time-out', () => {
  test('is cached for five seconds or more, and then the next fetch is made in the background', async () => {
    const { fail, negativeCache, clock, world } = negativeCacheWorld()
    world.random = 0
    await fail(timeout())
    for (const ms of [4999, 1, inBackgroundMs - 1]) {
      clock.advance(ms)
      assert.equal(negativeCache.lookUp(target)?.reason, 'timeout', `${ms}`)
    }
    assert.ok(negativeCache.shouldProbe(target, () => true))
    clock.advance(1)
    assert.equal(negativeCache.lookUp(target), undefined, 'it was not requested for long')
  })

  test('of which the authority has recovered: callers wait for the next fetch, but not for a second one that hangs', async () => {
    const { fail, succeed, negativeCache, clock } = negativeCacheWorld()
    await fail(timeout())
    await succeed(otherTenant)
    clock.advance(recoveryMs)
    assert.equal(negativeCache.lookUp(target), undefined)
    await fail(timeout())
    await succeed(otherTenant)
    clock.advance(recoveryMs * 2)
    assert.equal(negativeCache.lookUp(target)?.reason, 'timeout')
    assert.ok(negativeCache.shouldProbe(target, () => true))
  })
})
