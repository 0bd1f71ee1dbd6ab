import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import {
  createAgentAssertions,
  maxAgentAssertions,
  sweepEveryMs,
  type AgentPlace,
} from '../../../src/outbound/entra/agent-assertions.ts'
import type { Assertion } from '../../../src/broker/events.ts'
import { BrokerError } from '../../../src/errors.ts'
import { movableClock } from '../../support/clock.ts'

const place = { clientId: 'blueprint', agentId: 'agent', tenant: 'tenant' }
const signal = new AbortController().signal
const never = () => new Promise<void>(() => undefined)
const usual = { random: () => 0.5, timeoutMs: 5_000, isKnown: () => true }

/** Assertions over a source that issues a new token, which lives an hour, for each request. */
function world(options: { readonly isKnown?: (place: AgentPlace) => boolean } = {}) {
  const clock = movableClock()
  const assertions = createAgentAssertions({ ...usual, ...options, clock, wait: never })
  let count = 0
  const fetch = async () => ({ token: `token-${++count}`, expiresAt: clock.now() + 3_600_000 })
  const sourceOf = (changes: Partial<AgentPlace> = {}, how: () => Promise<Assertion> = fetch) =>
    assertions.of({ ...place, ...changes }, how) ?? assert.fail('it is not kept')
  const get = async (changes: Partial<AgentPlace> = {}) => (await sourceOf(changes).get(signal)).token
  return { clock, assertions, fetch, sourceOf, get, count: () => count }
}

describe("the blueprint's token for an agent identity", () => {
  test('is kept for each blueprint, agent identity and tenant', async () => {
    const { get, count } = world()
    const changes = [{}, { clientId: 'other' }, { agentId: 'other' }, { tenant: 'other' }]
    for (const each of [...changes, ...changes]) await get(each)
    assert.equal(count(), 4)
  })

  test('is requested once by all who wait', async () => {
    const { get, count } = world()
    assert.equal(new Set(await Promise.all(Array.from({ length: 100 }, () => get()))).size, 1)
    assert.equal(count(), 1)
  })

  test('is replaced in the background once it is due, and awaited once it ends within a minute', async () => {
    const { clock, get, count } = world()
    await get()
    clock.advance(2_800_000)
    assert.equal(await get(), 'token-1')
    assert.equal(count(), 2)
    await new Promise(setImmediate)
    assert.equal(await get(), 'token-2')
    clock.advance(3_541_000)
    assert.equal(await get(), 'token-3')
  })

  test('is requested again at once after the identity was unavailable: that pause is over where it was made', async () => {
    const { fetch, sourceOf } = world()
    const unavailable = new BrokerError('identity_unavailable', 'unavailable', { reason: 'status', retryAfter: 4 })
    const errors = [unavailable, unavailable]
    const source = sourceOf({}, () => (errors.length > 0 ? Promise.reject(errors.shift()) : fetch()))
    await assert.rejects(source.get(signal), { code: 'identity_unavailable' })
    await assert.rejects(source.get(signal), { code: 'identity_unavailable' })
    assert.equal((await source.get(signal)).token, 'token-1')
  })

  test('is forgotten by a purge that matches, whatever its scope', async () => {
    const { assertions, get } = world()
    await get()
    await get({ agentId: 'other' })
    assertions.purge({ agentId: 'agent', scope: 'x' })
    assert.equal(await get(), 'token-3')
    assert.equal(await get({ agentId: 'other' }), 'token-2')
    assertions.purge({ tenant: 'elsewhere' })
    assert.equal(await get(), 'token-3')
    assertions.purge({})
    assert.equal(await get({ agentId: 'other' }), 'token-4')
  })

  test('that was being requested when a purge came is not kept', async () => {
    const { assertions, sourceOf, get } = world()
    const late = Promise.withResolvers<Assertion>()
    const waiting = sourceOf({}, () => late.promise).get(signal)
    assertions.purge({})
    late.resolve({ token: 'late', expiresAt: Number.MAX_SAFE_INTEGER })
    assert.equal((await waiting).token, 'late')
    assert.equal(await get(), 'token-1')
  })

  test('is requested again after a failure, which is not remembered here', async () => {
    const { assertions, sourceOf, get } = world()
    await assert.rejects(sourceOf({}, createFailing()).get(signal), /failed/)
    assertions.purge({})
    assert.equal(await get(), 'token-1')
  })

  test('is bounded: the least recently used agent identity is forgotten', async () => {
    const { get, count } = world()
    for (let nth = 0; nth <= maxAgentAssertions; nth++) await get({ agentId: `agent-${nth}` })
    await get({ agentId: 'agent-1' })
    assert.equal(count(), maxAgentAssertions + 1)
    await get({ agentId: 'agent-0' })
    assert.equal(count(), maxAgentAssertions + 2)
  })

  test('that does not come in time fails as Entra, not as the identity endpoint', async () => {
    const clock = movableClock()
    const assertions = createAgentAssertions({ ...usual, clock, wait: async () => undefined })
    await assert.rejects(async () => assertions.of(place, () => new Promise(() => undefined))?.get(signal), {
      code: 'upstream_unavailable',
      reason: 'timeout',
    })
  })

  test('that has expired when it comes is not used', async () => {
    const { clock, sourceOf } = world()
    const expired = async () => ({ token: 'x', expiresAt: clock.now() })
    await assert.rejects(sourceOf({}, expired).get(signal), { code: 'upstream_invalid', reason: 'expired' })
  })
})

describe("the blueprint's token leaves the memory", () => {
  /** A world in which minutes pass, and the policy can lose places. A source that is kept is the same object. */
  function sweeping(t: TestContext) {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const unknown = new Set<string>()
    const made = world({ isKnown: ({ clientId, agentId }) => !unknown.has(clientId) && !unknown.has(agentId) })
    t.after(() => made.assertions.close())
    return { ...made, unknown, minute: () => t.mock.timers.tick(sweepEveryMs) }
  }

  const lives: readonly (readonly [seconds: number, isKept: boolean, why: string])[] = [
    [0, true, 'it is new'],
    [2_800, true, 'it is due, and would still be sent'],
    [3_539, true, 'it lives for a minute and a second'],
    [3_540, false, 'it lives for a minute, and is not sent any more'],
    [3_600, false, 'it has expired'],
    [86_400, false, 'it expired long ago'],
  ]
  for (const [seconds, isKept, why] of lives)
    test(`${seconds} s old, at the next minute: ${isKept ? 'no' : 'yes'}, ${why}`, async t => {
      const { clock, get, sourceOf, minute } = sweeping(t)
      await get()
      const before = sourceOf()
      clock.advance(seconds * 1000)
      assert.equal(sourceOf(), before, 'not earlier')
      minute()
      assert.equal(sourceOf() === before, isKept)
    })

  test('all 10,000 that have expired, and none of those that have not', async t => {
    const { clock, sourceOf, minute } = sweeping(t)
    const places = Array.from({ length: maxAgentAssertions }, (_, nth) => ({ agentId: `agent-${nth}` }))
    const sources = places.map(each => sourceOf(each))
    await Promise.all(sources.slice(0, -1).map(source => source.get(signal)))
    clock.advance(3_000_000)
    await sources.at(-1)?.get(signal)
    clock.advance(600_000)
    minute()
    assert.equal(sourceOf(places.at(-1)), sources.at(-1))
    assert.ok(places.slice(0, -1).every((each, nth) => sourceOf(each) !== sources[nth]))
  })

  test('not while it is being requested: everyone still waits for one request', async t => {
    const { sourceOf, minute } = sweeping(t)
    const late = Promise.withResolvers<Assertion>()
    const waiting = sourceOf({}, () => late.promise).get(signal)
    minute()
    const second = sourceOf().get(signal)
    late.resolve({ token: 'late', expiresAt: Number.MAX_SAFE_INTEGER })
    assert.deepEqual([(await waiting).token, (await second).token], ['late', 'late'])
  })

  test('after a request that failed', async t => {
    const { sourceOf, minute } = sweeping(t)
    const source = sourceOf({}, createFailing())
    await assert.rejects(source.get(signal))
    minute()
    assert.notEqual(sourceOf(), source)
  })

  test('again and again, as tokens come and expire', async t => {
    const { clock, get, sourceOf, minute } = sweeping(t)
    for (let nth = 0; nth < 3; nth++) {
      await get()
      const before = sourceOf()
      clock.advance(3_600_000)
      minute()
      // Nothing is left: the minutes end until there is one again.
      minute()
      assert.notEqual(sourceOf(), before)
    }
  })

  for (const gone of ['agent', 'blueprint'])
    test(`when the policy loses its ${gone}, at once; others stay`, async t => {
      const { unknown, assertions, get, sourceOf, count } = sweeping(t)
      const other = { clientId: 'other', agentId: 'another' }
      await get()
      await get(other)
      const kept = sourceOf(other)
      unknown.add(gone)
      assertions.sweep()
      assert.equal(sourceOf(other), kept)
      unknown.clear()
      await get()
      assert.equal(count(), 3)
    })

  test('a request that was under way when the policy lost its agent identity: it is not kept', async t => {
    const { unknown, assertions, sourceOf, get } = sweeping(t)
    const late = Promise.withResolvers<Assertion>()
    const waiting = sourceOf({}, () => late.promise).get(signal)
    unknown.add('agent')
    assertions.sweep()
    unknown.clear()
    late.resolve({ token: 'late', expiresAt: Number.MAX_SAFE_INTEGER })
    assert.equal((await waiting).token, 'late')
    assert.equal(await get(), 'token-1')
  })

  test('and nothing is kept for an exchange that begins after the policy lost its agent identity', t => {
    const { unknown, assertions, fetch } = sweeping(t)
    unknown.add('agent')
    assert.equal(assertions.of(place, fetch), undefined)
  })
})

const createFailing = () => async (): Promise<never> => {
  throw new Error('failed')
}
