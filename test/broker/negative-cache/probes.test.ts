import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keptAfterMs, probeMs } from '../../../src/broker/tokens/negative-cache/negative-cache.ts'
import { BrokerError } from '../../../src/errors.ts'
import { consent, failure, federation, negativeCacheWorld, otherScope, otherTenant, target } from './world.ts'

const seconds = 1000

describe('once the period of a failure is over', () => {
  for (const [error, others] of [
    [federation(), [otherScope, otherTenant]],
    [consent(), [otherScope]],
  ] as const) {
    test(`${error.reason}: one fetch of all is the probe; the others get the cached failure until it settles`, async () => {
      const { fail, begin, succeed, clock, negativeCache, world } = negativeCacheWorld()
      await fail(error)
      clock.advance(60 * seconds)
      assert.equal(negativeCache.lookUp(others[0]), undefined, '`lookUp` does not use up the probe')
      const probe = begin()
      for (const other of [target, ...others]) assert.equal((await succeed(other)) instanceof BrokerError, true)
      assert.equal(world.calls, 2)
      await probe.succeed()
      for (const other of others) assert.equal(await succeed(other), 'token')
    })
  }

  test('a probe that fails with the same reason starts another period', async () => {
    const { fail, clock, refused, cachedFailure } = negativeCacheWorld()
    await fail(federation())
    clock.advance(30 * seconds)
    await fail(federation(), otherTenant)
    clock.advance(15 * seconds - 1)
    assert.equal(refused(), 'target scope tenant')
    assert.equal(cachedFailure().failures, 2)
  })

  for (const [random, pause] of [
    [0, 1000],
    [1, 2000],
  ] as const)
    test(`after a probe that failed for another reason, the next one waits ${pause} ms`, async () => {
      const { fail, clock, refused, world } = negativeCacheWorld()
      await fail(federation())
      clock.advance(30 * seconds)
      world.random = random
      await fail(failure('identity_unavailable', 'network'))
      clock.advance(pause - 1)
      assert.equal(refused(), 'target scope tenant')
      clock.advance(1)
      assert.equal(refused(), '')
    })

  test('a probe that fails for another reason is cached for that reason, too', async () => {
    const { fail, clock, negativeCache } = negativeCacheWorld()
    await fail(federation())
    clock.advance(30 * seconds)
    await fail(consent())
    assert.equal(negativeCache.lookUp(otherScope)?.code, 'federation_misconfigured')
    clock.advance(2 * seconds)
    assert.equal(negativeCache.lookUp(otherTenant), undefined)
    assert.equal(negativeCache.lookUp(otherScope)?.code, 'consent_required')
  })

  test('a probe that never settles does not block the others for ever', async () => {
    const { fail, begin, clock, refused, succeed } = negativeCacheWorld()
    await fail(federation())
    clock.advance(30 * seconds)
    const lost = begin()
    clock.advance(probeMs - 1)
    assert.equal(refused(), 'target scope tenant')
    clock.advance(1)
    const second = begin(otherTenant)
    await lost.fail(failure('identity_unavailable', 'network'))
    clock.advance(5 * seconds)
    assert.equal(refused(), 'target scope tenant', 'the second is under way')
    await second.succeed()
    assert.equal(await succeed(otherScope), 'token')
  })

  test('a failure without a probe for a long time is removed: no caller gets an old failure during a probe', async () => {
    const { fail, begin, clock, succeed, negativeCache } = negativeCacheWorld()
    await fail(federation())
    clock.advance(30 * seconds + keptAfterMs)
    begin(otherTenant)
    assert.equal(await succeed(), 'token')
    assert.equal([...negativeCache.all()].length, 0)
  })
})
