import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TokenSource } from '../../../src/broker/events.ts'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../../src/errors.ts'
import { createCircuit } from '../../../src/outbound/entra/circuit-breaker.ts'
import { withRetries } from '../../../src/outbound/entra/retry.ts'
import { grantFor } from '../../support/callers.ts'
import { failure } from './circuit-world.ts'
import { type Result, serverError, movableTime, outcomeOf, retryWorld, token } from './retry-world.ts'

const reasonOf = (outcome: unknown) => (outcome instanceof BrokerError ? outcome.reason : outcome)

describe('attempts', () => {
  const table: readonly [results: readonly Result[], attemptedAt: readonly number[], reason: unknown, why: string][] = [
    [['token'], [0], token, 'one is enough'],
    [[serverError(), 'token'], [0, 50], token, 'a second one after half of 100 ms'],
    [[serverError(), serverError(), 'token'], [0, 50, 150], token, 'a third one after half of 200 ms more'],
    [[serverError(), serverError(), serverError(), 'token'], [0, 50, 150], 'server_error', 'three are enough'],
    [[serverError(2), 'token'], [0, 2050], token, 'Retry-After is waited for'],
    [[serverError(2), serverError(2), 'token'], [0, 2050, 4150], token, 'as often as there is time'],
    [[serverError(2), serverError(3), 'token'], [0, 2050], 'server_error', '3 s do not fit any more'],
    [[serverError(5), 'token'], [0], 'server_error', '5 s do not fit into 5 s'],
    [[serverError(300), 'token'], [0], 'server_error', 'nor do five minutes'],
    [[serverError(), 'hangs'], [0, 50], 'timeout', 'the second hangs: all share one deadline'],
  ]
  for (const [results, attemptedAt, outcome, why] of table) {
    const names = results.map(result =>
      result instanceof BrokerError ? `${result.reason} ${result.retryAfter}` : result,
    )
    test(`${names.join(', ')}: ${why}`, async () => {
      const world = await outcomeOf(results)
      assert.deepEqual(world.attemptedAt, attemptedAt)
      assert.equal(reasonOf(world.outcome), outcome)
    })
  }

  const retried: readonly [code: ErrorCode, reason: ReasonOf<ErrorCode>, times: number, why: string][] = [
    ['upstream_unavailable', 'network', 3, 'a connection may have been cut'],
    ['upstream_unavailable', 'server_error', 3, '5xx'],
    ['upstream_unavailable', 'transient', 3, 'a code that passes'],
    ['upstream_unavailable', 'throttled', 3, '429, where Retry-After fits'],
    ['upstream_unavailable', 'timeout', 1, 'the time is over'],
    ['upstream_unavailable', 'loop', 1, 'each further request makes the loop longer'],
    ['upstream_unavailable', 'broker', 1, 'a broker has tried again itself'],
    ['federation_misconfigured', 'federation', 1, 'an operator must act'],
    ['federation_misconfigured', 'assertion', 1, 'the source has tried another one itself'],
    ['consent_required', 'consent', 1, 'an operator must act'],
    ['upstream_rejected', 'unknown', 1, 'refused'],
    ['upstream_invalid', 'wrong_tenant', 1, 'never request a wrong token twice'],
    ['identity_unavailable', 'network', 1, 'its own source decides when to try again'],
    ['internal_error', 'internal_error', 1, 'a bug'],
  ]
  for (const [code, reason, times, why] of retried) {
    test(`${code} ${reason}: ${times} (${why})`, async () => {
      const error = failure(code, reason)
      const world = await outcomeOf([error, error, error, error])
      assert.equal(world.attemptedAt.length, times)
      assert.equal(world.outcome, error)
    })
  }

  test('pauses have full jitter: from none to 100 ms and 200 ms', async () => {
    for (const [random, attemptedAt] of [
      [0, [0, 0, 0]],
      [1, [0, 100, 300]],
    ] as const) {
      const world = await outcomeOf([serverError(), serverError(), serverError()], { random: () => random })
      assert.deepEqual(world.attemptedAt, attemptedAt)
    }
  })

  for (const [timeoutMs, latency, why] of [
    [5000, 1500, 'the default, and attempts that take a second and a half each'],
    [500, 30, 'a tenth of it, and attempts that take 30 ms each'],
  ] as const)
    test(`${timeoutMs} ms have room for three attempts, with the longest pauses: ${why}`, async () => {
      const world = await outcomeOf([serverError(), serverError(), 'token'], { timeoutMs, latency, random: () => 1 })
      assert.deepEqual([world.attemptedAt.length, world.outcome], [3, token])
    })

  test('a failure whose Retry-After does not fit is thrown at once, with it', async () => {
    const world = await outcomeOf([serverError(20)])
    assert.equal(world.elapsed, 0)
    assert.ok(world.outcome instanceof BrokerError && world.outcome.retryAfter === 20)
  })

  test('none is begun with less than 100 ms left', async () => {
    const begun = async (latency: number) =>
      (await outcomeOf([serverError(), 'token'], { latency, random: () => 0 })).attemptedAt.length
    assert.equal(await begun(4900), 2)
    assert.equal(await begun(4901), 1)
  })
})

describe('one deadline for everything', () => {
  test('it settles in time even if the source hangs, and the signal of the source aborts', async () => {
    const world = retryWorld(['hangs'])
    world.fetch()
    await world.pass(4999)
    assert.ok(Number.isNaN(world.elapsed), 'not yet')
    await world.pass(1)
    assert.equal(world.elapsed, 5000)
    const { outcome } = world
    assert.ok(outcome instanceof BrokerError && outcome.code === 'upstream_unavailable' && outcome.reason === 'timeout')
    assert.equal(outcome.retryAfter, 1)
    assert.equal(world.signals[0]?.aborted, true)
  })

  test('a source that reports the abort as a failure of its own does not hide that the time was over', async () => {
    const time = movableTime()
    const aborting: TokenSource = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(failure('upstream_unavailable', 'network')))
      })
    const circuit = createCircuit(time)
    const tokens = withRetries(aborting, { ...time, circuit, random: () => 0.5, timeoutMs: 5000 })
    const outcome = tokens(grantFor(), new AbortController().signal).catch((thrown: unknown) => thrown)
    await time.pass(5000)
    assert.equal(reasonOf(await outcome), 'timeout')
  })

  test('what was begun late has only what is left', async () => {
    const world = await outcomeOf([serverError(3), 'hangs'])
    assert.deepEqual(world.attemptedAt, [0, 3050])
    assert.equal(world.elapsed, 5000)
  })

  test('no timer is left behind, however it ends', async () => {
    for (const results of [
      ['token'],
      [failure('consent_required', 'consent')],
      [serverError(), 'token'],
    ] as Result[][]) {
      const world = retryWorld(results)
      world.fetch()
      await world.pass(50)
      assert.ok(world.elapsed <= 50, 'it has ended')
      assert.equal(world.timers.size, 0)
    }
  })

  for (const [when, ms] of [
    ['an attempt', 0],
    ['a pause', 1000],
  ] as const)
    test(`given up from outside during ${when}, it ends at once and is not tried again`, async () => {
      const world = retryWorld(ms === 0 ? ['hangs'] : [serverError(3), 'token'])
      world.fetch()
      await world.pass(ms)
      world.outer.abort()
      await world.pass(0)
      assert.equal(reasonOf(world.outcome), 'aborted')
      await world.pass(10_000)
      assert.equal(world.attemptedAt.length, 1)
      assert.equal(world.timers.size, 0)
    })

  test('aborted before it began, it does not wait', async () => {
    const world = retryWorld(['hangs'])
    world.outer.abort()
    world.fetch()
    await world.pass(0)
    assert.equal(reasonOf(world.outcome), 'aborted')
    assert.deepEqual([world.attemptedAt, world.timers.size], [[], 0], 'and there is no attempt')
  })

  test('with real timers it is the same', async () => {
    const clock = { now: () => Date.now(), monotonic: () => performance.now() }
    const source: TokenSource = () => new Promise(() => undefined)
    const tokens = withRetries(source, { clock, circuit: createCircuit({ clock }), random: () => 0, timeoutMs: 5 })
    await assert.rejects(tokens(grantFor(), new AbortController().signal), { reason: 'timeout' })
  })
})

describe('the circuit', () => {
  test('sees time-outs of a source that never settles', async () => {
    const world = retryWorld([])
    const tenants = Array.from({ length: 10 }, (_, n) => `1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b5c0${n}`)
    for (const tenant of tenants) world.fetch(grantFor({ tenant }))
    await world.pass(5000)
    assert.equal(world.circuit.state(), 'open')
  })

  test('open, nothing is tried, and callers hear for how long', async () => {
    const world = retryWorld(['token'])
    for (const tenant of 'abcdefghij') {
      await world.circuit.run(tenant, () => Promise.reject(serverError())).catch(() => undefined)
    }
    world.fetch()
    await world.pass(0)
    assert.ok(world.outcome instanceof BrokerError && world.outcome.reason === 'circuit_open')
    assert.equal(world.outcome.retryAfter, 2)
    assert.deepEqual(world.attemptedAt, [])
  })

  test('open, and given up from outside at the same moment, is no unhandled rejection', async t => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    t.after(() => process.off('unhandledRejection', listen))
    const world = retryWorld([])
    for (const tenant of 'abcdefghij') {
      await world.circuit.run(tenant, () => Promise.reject(serverError())).catch(() => undefined)
    }
    world.fetch()
    world.outer.abort()
    await world.pass(0)
    assert.equal(reasonOf(world.outcome), 'circuit_open')
    assert.deepEqual(unhandled, [])
  })

  test('is not retried against once it has opened', async () => {
    const world = retryWorld([serverError(), 'token'])
    const others = 'abcdefghi'.split('')
    for (const tenant of others)
      await world.circuit.run(tenant, () => Promise.reject(serverError())).catch(() => undefined)
    world.fetch()
    await world.pass(5000)
    assert.equal(world.circuit.state(), 'open')
    assert.equal(world.attemptedAt.length, 1)
    assert.equal(reasonOf(world.outcome), 'server_error')
  })
})
