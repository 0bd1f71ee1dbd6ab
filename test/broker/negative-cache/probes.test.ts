import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keptAfterMs, probeMs } from '../../../src/broker/tokens/negative-cache.ts'
import { BrokerError } from '../../../src/errors.ts'
import { consent, failure, federation, memoryWorld, otherScope, otherTenant, target } from './world.ts'

const seconds = 1000

describe('once its period has ended', () => {
  for (const [error, others] of [
    [federation(), [otherScope, otherTenant]],
    [consent(), [otherScope]],
  ] as const) {
    test(`${error.reason}: one fetch of all finds out; the others meet the failure until it has settled`, async () => {
      const { fail, begin, succeed, clock, memory, world } = memoryWorld()
      await fail(error)
      clock.advance(60 * seconds)
      assert.equal(memory.lookUp(others[0]), undefined, 'looking takes nothing away')
      const probe = begin()
      for (const other of [target, ...others]) assert.equal((await succeed(other)) instanceof BrokerError, true)
      assert.equal(world.calls, 2)
      await probe.succeed()
      for (const other of others) assert.equal(await succeed(other), 'token')
    })
  }

  test('a probe that fails in the same way starts another period', async () => {
    const { fail, clock, refused, memory } = memoryWorld()
    await fail(federation())
    clock.advance(30 * seconds)
    await fail(federation(), otherTenant)
    clock.advance(15 * seconds - 1)
    assert.equal(refused(), 'target scope tenant')
    assert.equal(memory.last(target)?.failures, 2)
  })

  for (const [random, pause] of [
    [0, 1000],
    [1, 2000],
  ] as const)
    test(`a probe that fails otherwise says nothing: the next may be made after ${pause} ms, not at once`, async () => {
      const { fail, clock, refused, world } = memoryWorld()
      await fail(federation())
      clock.advance(30 * seconds)
      world.random = random
      await fail(failure('identity_unavailable', 'network'))
      clock.advance(pause - 1)
      assert.equal(refused(), 'target scope tenant')
      clock.advance(1)
      assert.equal(refused(), '')
    })

  test('a probe that fails otherwise is remembered for what it was, too', async () => {
    const { fail, clock, memory } = memoryWorld()
    await fail(federation())
    clock.advance(30 * seconds)
    await fail(consent())
    assert.equal(memory.lookUp(otherScope)?.code, 'federation_misconfigured')
    clock.advance(2 * seconds)
    assert.equal(memory.lookUp(otherTenant), undefined)
    assert.equal(memory.lookUp(otherScope)?.code, 'consent_required')
  })

  test('a probe that never settles does not hold up the others for ever', async () => {
    const { fail, begin, clock, refused, succeed } = memoryWorld()
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

  test('what nobody asked about for long is forgotten: nobody meets an old failure while another finds out', async () => {
    const { fail, begin, clock, succeed, memory } = memoryWorld()
    await fail(federation())
    clock.advance(30 * seconds + keptAfterMs)
    begin(otherTenant)
    assert.equal(await succeed(), 'token')
    assert.equal([...memory.all()].length, 0)
  })
})
