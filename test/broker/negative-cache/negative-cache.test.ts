import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { ids } from '../../support/callers.ts'
import {
  unavailable,
  consent,
  failure,
  federation,
  negativeCacheWorld,
  otherApplication,
  otherScope,
  otherTenant,
  target,
  targetFor,
  unknown,
} from './world.ts'

const seconds = 1000

describe('a failure is cached for what it concerns, and for nothing else', () => {
  const table: readonly [error: BrokerError, refused: string, why: string][] = [
    [federation(), 'target scope tenant', "the application's federated credential serves all its tenants"],
    [consent(), 'target scope', 'an administrator of one tenant must act'],
    [unknown(), 'target', 'one key'],
    [unavailable(), 'target', 'a temporary failure says nothing about other keys; the circuit breaker counts those'],
    [failure('identity_unavailable', 'network'), '', 'the assertion cache remembers it'],
    [failure('internal_error', 'internal_error'), '', 'a bug is no response of an upstream'],
  ]
  for (const [error, refused, why] of table) {
    test(`${error.reason} affects ${refused || 'nothing'}: ${why}`, async () => {
      const world = negativeCacheWorld()
      assert.equal(await world.fail(error), error)
      assert.equal(world.refused(), refused)
    })
  }

  test('a cached failure is returned without a fetch, with code, message, remedy and upstream details', async () => {
    const { fail, succeed, world } = negativeCacheWorld()
    const upstream = { error: 'invalid_client', codes: [700213], traceId: 'trace' }
    const error = failure('federation_misconfigured', 'federation', { remedy: 'set the subject', upstream })
    await fail(error)
    const refused = await succeed(otherTenant)
    assert.ok(refused instanceof BrokerError)
    assert.equal(world.calls, 1)
    assert.deepEqual(
      [refused.code, refused.message, refused.reason, refused.parts.remedy, refused.parts.upstream],
      [error.code, error.message, 'federation', 'set the subject', upstream],
    )
  })

  test('anything else that is thrown becomes `internal_error` and is not cached', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    const thrown = await fail(new TypeError('a bug'))
    assert.ok(thrown instanceof BrokerError && thrown.code === 'internal_error')
    assert.equal(negativeCache.lookUp(target), undefined)
  })
})

describe('a cached failure discloses nothing to other callers', () => {
  test('it has no cause: that can contain a request with its assertion', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    await fail(failure('upstream_unavailable', 'network', { cause: { body: 'client_assertion=secret' } }))
    const errors = [...negativeCache.all()].map(({ error }) => error)
    assert.equal(errors.length, 1)
    assert.ok(errors.every(({ cause, parts }) => cause === undefined && parts.cause === undefined))
    assert.equal(negativeCache.lookUp(target)?.cause, undefined)
  })

  test('callers of other tenants do not see the tenant for which it failed', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    await fail(failure('federation_misconfigured', 'federation', { remedy: `Add it for ${ids.contoso}.` }))
    const failed = negativeCache.lookUp(otherTenant)
    assert.equal(failed?.reason, 'federation')
    assert.equal(failed.parts.remedy, undefined)
  })

  test('a remedy that names the scope is not returned for another scope', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    await fail(failure('consent_required', 'consent', { remedy: `Assign a role of ${target.scope}.` }))
    assert.equal(negativeCache.lookUp(otherScope)?.parts.remedy, undefined)
  })

  test('for the same key the remedy is complete', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    await fail(failure('upstream_rejected', 'request', { remedy: `${target.tenant} does not know ${target.scope}.` }))
    assert.match(negativeCache.lookUp(target)?.parts.remedy ?? '', /does not know/)
  })
})

describe('Retry-After', () => {
  test('counts down, but never below a second', async () => {
    const { fail, negativeCache, clock, world } = negativeCacheWorld()
    world.random = 0
    await fail(failure('upstream_unavailable', 'throttled', { retryAfter: 20 }))
    const left = [0, 1, 999, 18_000, 999].map(ms => (clock.advance(ms), negativeCache.lookUp(target)?.retryAfter))
    assert.deepEqual(left, [20, 20, 19, 1, 1])
    clock.advance(1)
    assert.equal(negativeCache.lookUp(target), undefined)
  })

  for (const error of [federation(), consent(), unknown()]) {
    test(`is not sent with ${error.status} ${error.code}: waiting does not help`, async () => {
      const { fail, negativeCache } = negativeCacheWorld()
      await fail(error)
      assert.equal(negativeCache.lookUp(target)?.code, error.code)
      assert.equal(negativeCache.lookUp(target)?.retryAfter, undefined)
    })
  }

  test('there is one error object, replaced once a second at most', async () => {
    const { fail, negativeCache, clock } = negativeCacheWorld()
    await fail(failure('upstream_unavailable', 'throttled', { retryAfter: 20 }))
    const first = negativeCache.lookUp(target)
    assert.equal(negativeCache.lookUp(target), first)
    clock.advance(1 * seconds)
    assert.notEqual(negativeCache.lookUp(target), first)
    assert.equal(negativeCache.lookUp(target), [...negativeCache.all()][0]?.error)
  })
})

describe('a success', () => {
  test('removes the failures of its key, its tenant and its application', async () => {
    const { fail, begin, refused } = negativeCacheWorld()
    const [slow, other] = [begin(), begin(otherApplication)]
    for (const error of [unknown(), consent(), federation()]) await fail(error)
    await other.succeed()
    assert.notEqual(refused(), '')
    await slow.succeed()
    assert.equal(refused(), '')
  })

  test('in one tenant removes no failure of another tenant or of another application', async () => {
    const { fail, begin, refused } = negativeCacheWorld()
    const slow = begin(otherTenant)
    await fail(consent())
    await fail(federation(), otherApplication)
    await slow.succeed()
    assert.equal(refused(), 'target scope application')
  })
})

describe('failures in a row', () => {
  test('make the back-off longer: up to 1 s, 2 s, 4 s', async () => {
    const { fail, clock, negativeCache, world } = negativeCacheWorld()
    world.random = 1
    for (const wait of [1000, 2000, 4000]) {
      await fail(unavailable())
      clock.advance(wait - 1)
      assert.ok(negativeCache.lookUp(target))
      clock.advance(1)
      assert.equal(negativeCache.lookUp(target), undefined)
    }
  })

  test('are counted from the start after a success', async () => {
    const { fail, succeed, clock, cachedFailure, world } = negativeCacheWorld()
    world.random = 1
    for (const _ of [1, 2, 3]) {
      await fail(unavailable())
      clock.advance(30 * seconds)
    }
    await succeed()
    await fail(unavailable())
    assert.equal(cachedFailure().failures, 1)
  })

  test('are counted after the period of the first, too', async () => {
    const { fail, clock, cachedFailure } = negativeCacheWorld()
    await fail(unavailable())
    clock.advance(30 * seconds)
    await fail(unavailable())
    assert.equal(cachedFailure().failures, 2)
  })

  test('concurrent fetches that fail together count once: sixty-four do not cause a back-off of minutes', async () => {
    const { begin, cachedFailure, clock } = negativeCacheWorld()
    const together = Array.from({ length: 64 }, (_, n) => begin(targetFor({ tenant: `t${n}` })))
    for (const each of together) await each.fail(federation())
    assert.equal(cachedFailure().failures, 1)
    const until = cachedFailure().until
    assert.equal(until, clock.monotonic() + 22_500)
  })
})

test('a failing tenant does not affect other tenants, so a caller that may use any tenant cannot block the others', async () => {
  for (const reason of ['cloud', 'client'] as const) {
    const { fail, refused } = negativeCacheWorld()
    await fail(failure('federation_misconfigured', reason))
    assert.equal(refused(), 'target scope', reason)
  }
})
