import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAgentAssertions, maxAgentAssertions } from '../../../src/outbound/entra/agent-assertions.ts'
import { BrokerError } from '../../../src/errors.ts'
import { movableClock } from '../../support/clock.ts'

const place = { clientId: 'blueprint', agentId: 'agent', tenant: 'tenant' }
const signal = new AbortController().signal
const never = () => new Promise<void>(() => undefined)

/** Assertions over a source that issues a new token, which lives an hour, for each request. */
function world() {
  const clock = movableClock()
  const assertions = createAgentAssertions({ clock, random: () => 0.5, timeoutMs: 5_000, wait: never })
  let count = 0
  const fetch = async () => ({ token: `token-${++count}`, expiresAt: clock.now() + 3_600_000 })
  const get = async (changes: object = {}) => (await assertions.of({ ...place, ...changes }, fetch).get(signal)).token
  return { clock, assertions, fetch, get, count: () => count }
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
    const { assertions, fetch } = world()
    const unavailable = new BrokerError('identity_unavailable', 'unavailable', { reason: 'status', retryAfter: 4 })
    const errors = [unavailable, unavailable]
    const source = assertions.of(place, () => (errors.length > 0 ? Promise.reject(errors.shift()) : fetch()))
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
    const { assertions, get } = world()
    const late = Promise.withResolvers<{ token: string; expiresAt: number }>()
    const waiting = assertions.of(place, () => late.promise).get(signal)
    assertions.purge({})
    late.resolve({ token: 'late', expiresAt: Number.MAX_SAFE_INTEGER })
    assert.equal((await waiting).token, 'late')
    assert.equal(await get(), 'token-1')
  })

  test('is requested again after a failure, which is not remembered here', async () => {
    const { assertions, get } = world()
    const failing = createFailing()
    await assert.rejects(assertions.of(place, failing).get(signal), /failed/)
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
    const assertions = createAgentAssertions({
      clock,
      random: () => 0.5,
      timeoutMs: 5_000,
      wait: async () => undefined,
    })
    await assert.rejects(assertions.of(place, () => new Promise(() => undefined)).get(signal), {
      code: 'upstream_unavailable',
      reason: 'timeout',
    })
  })

  test('that has expired when it comes is not used', async () => {
    const clock = movableClock()
    const assertions = createAgentAssertions({ clock, random: () => 0.5, timeoutMs: 5_000, wait: never })
    const expired = async () => ({ token: 'x', expiresAt: clock.now() })
    await assert.rejects(assertions.of(place, expired).get(signal), { code: 'upstream_invalid', reason: 'expired' })
  })
})

const createFailing = () => async (): Promise<never> => {
  throw new Error('failed')
}
