import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { ids } from '../../support/callers.ts'
import {
  away,
  consent,
  failure,
  federation,
  memoryWorld,
  otherApplication,
  otherScope,
  otherTenant,
  target,
  targetFor,
  unknown,
} from './world.ts'

const seconds = 1000

describe('a failure stands in the way of what it is about, and of nothing else', () => {
  const table: readonly [error: BrokerError, refused: string, why: string][] = [
    [federation(), 'target scope tenant', "the application's federated credential serves all its tenants"],
    [consent(), 'target scope', 'an administrator of one tenant acts'],
    [unknown(), 'target', 'one key'],
    [away(), 'target', 'a transient one says nothing of other keys: the circuit looks at those'],
    [failure('identity_unavailable', 'network'), '', "the identity's token has its own memory"],
    [failure('internal_error', 'internal_error'), '', 'a bug is no answer of anybody'],
  ]
  for (const [error, refused, why] of table) {
    test(`${error.reason} refuses ${refused || 'nothing'}: ${why}`, async () => {
      const world = memoryWorld()
      assert.equal(await world.fail(error), error)
      assert.equal(world.refused(), refused)
    })
  }

  test('it is answered without a fetch, with its code, words, remedy and upstream facts', async () => {
    const { fail, succeed, world } = memoryWorld()
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

  test('what is thrown besides our errors comes out as internal_error and is not remembered', async () => {
    const { fail, memory } = memoryWorld()
    const thrown = await fail(new TypeError('a bug'))
    assert.ok(thrown instanceof BrokerError && thrown.code === 'internal_error')
    assert.equal(memory.lookUp(target), undefined)
  })
})

describe('what is kept tells nobody more than they may know', () => {
  test('the cause goes: it can hold a request with its assertion', async () => {
    const { fail, memory } = memoryWorld()
    await fail(failure('upstream_unavailable', 'network', { cause: { body: 'client_assertion=secret' } }))
    const kept = [...memory.all()].map(({ error }) => error)
    assert.equal(kept.length, 1)
    assert.ok(kept.every(({ cause, parts }) => cause === undefined && parts.cause === undefined))
    assert.equal(memory.lookUp(target)?.cause, undefined)
  })

  test('callers of other tenants do not read of the tenant in which it failed', async () => {
    const { fail, memory } = memoryWorld()
    await fail(failure('federation_misconfigured', 'federation', { remedy: `Add it for ${ids.contoso}.` }))
    const met = memory.lookUp(otherTenant)
    assert.equal(met?.reason, 'federation')
    assert.equal(met.parts.remedy, undefined)
  })

  test('a remedy that names the scope is not told to those who ask for another', async () => {
    const { fail, memory } = memoryWorld()
    await fail(failure('consent_required', 'consent', { remedy: `Assign a role of ${target.scope}.` }))
    assert.equal(memory.lookUp(otherScope)?.parts.remedy, undefined)
  })

  test('a key keeps its whole remedy', async () => {
    const { fail, memory } = memoryWorld()
    await fail(failure('upstream_rejected', 'request', { remedy: `${target.tenant} does not know ${target.scope}.` }))
    assert.match(memory.lookUp(target)?.parts.remedy ?? '', /does not know/)
  })
})

describe('Retry-After', () => {
  test('counts down, never below a second', async () => {
    const { fail, memory, clock, world } = memoryWorld()
    world.random = 0
    await fail(failure('upstream_unavailable', 'throttled', { retryAfter: 20 }))
    const told = [0, 1, 999, 18_000, 999].map(ms => (clock.advance(ms), memory.lookUp(target)?.retryAfter))
    assert.deepEqual(told, [20, 20, 19, 1, 1])
    clock.advance(1)
    assert.equal(memory.lookUp(target), undefined)
  })

  for (const error of [federation(), consent(), unknown()]) {
    test(`is not sent with ${error.status} ${error.code}: waiting cannot help`, async () => {
      const { fail, memory } = memoryWorld()
      await fail(error)
      assert.equal(memory.lookUp(target)?.code, error.code)
      assert.equal(memory.lookUp(target)?.retryAfter, undefined)
    })
  }

  test('one error object is kept, and made anew once a second at most', async () => {
    const { fail, memory, clock } = memoryWorld()
    await fail(failure('upstream_unavailable', 'throttled', { retryAfter: 20 }))
    const first = memory.lookUp(target)
    assert.equal(memory.lookUp(target), first)
    clock.advance(1 * seconds)
    assert.notEqual(memory.lookUp(target), first)
    assert.equal(memory.lookUp(target), [...memory.all()][0]?.error)
  })
})

describe('a success', () => {
  test('disproves what was remembered of its key, its tenant and its application', async () => {
    const { fail, begin, refused } = memoryWorld()
    const [slow, other] = [begin(), begin(otherApplication)]
    for (const error of [unknown(), consent(), federation()]) await fail(error)
    await other.succeed()
    assert.notEqual(refused(), '')
    await slow.succeed()
    assert.equal(refused(), '')
  })

  test('in one tenant shows that federation works, and nothing of consent in another', async () => {
    const { fail, begin, refused } = memoryWorld()
    const slow = begin(otherTenant)
    await fail(consent())
    await fail(federation(), otherApplication)
    await slow.succeed()
    assert.equal(refused(), 'target scope application')
  })
})

describe('failures in a row', () => {
  test('make the back-off longer: up to 1 s, 2 s, 4 s', async () => {
    const { fail, clock, memory, world } = memoryWorld()
    world.random = 1
    for (const wait of [1000, 2000, 4000]) {
      await fail(away())
      clock.advance(wait - 1)
      assert.ok(memory.lookUp(target))
      clock.advance(1)
      assert.equal(memory.lookUp(target), undefined)
    }
  })

  test('a success begins anew', async () => {
    const { fail, succeed, clock, memory, world } = memoryWorld()
    world.random = 1
    for (const _ of [1, 2, 3]) {
      await fail(away())
      clock.advance(30 * seconds)
    }
    await succeed()
    await fail(away())
    assert.equal(memory.last(target)?.failures, 1)
  })

  test('are told of with the time of the first of them', async () => {
    const { fail, clock, memory } = memoryWorld()
    await fail(away())
    const first = clock.monotonic()
    clock.advance(30 * seconds)
    await fail(away())
    assert.deepEqual([memory.last(target)?.since, memory.last(target)?.failures], [first, 2])
  })

  test('fetches that were under way together are one: sixty-four do not make a back-off of minutes', async () => {
    const { begin, memory, clock } = memoryWorld()
    const together = Array.from({ length: 64 }, (_, n) => begin(targetFor({ tenant: `t${n}` })))
    for (const each of together) await each.fail(federation())
    assert.equal(memory.last(target)?.failures, 1)
    const until = memory.last(target)?.until
    assert.equal(until, clock.monotonic() + 22_500)
  })
})

test('what one tenant can bring about refuses nobody else, so that whoever may name any tenant shuts out no other', async () => {
  for (const reason of ['cloud', 'client'] as const) {
    const { fail, refused } = memoryWorld()
    await fail(failure('federation_misconfigured', reason))
    assert.equal(refused(), 'target scope', reason)
  }
})
