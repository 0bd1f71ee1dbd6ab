import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHealth } from '../../src/broker/health.ts'
import type { Upstream } from '../../src/broker/events.ts'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../src/errors.ts'
import { movableClock, noon } from '../support/clock.ts'

const entra: Upstream = { kind: 'authority', name: 'https://login.microsoftonline.com' }
const identity: Upstream = { kind: 'identity', name: 'managed-identity' }
const onprem: Upstream = { kind: 'issuer', name: 'onprem' }

function healthWorld() {
  const clock = movableClock()
  const health = createHealth([identity, entra, onprem], clock)
  const seen = (upstream: Upstream) =>
    health.report().find(({ upstream: { kind, name } }) => kind === upstream.kind && name === upstream.name)
  return { clock, health, seen }
}

const unavailable = (detail = 'unavailable') => new BrokerError('upstream_unavailable', detail, { reason: 'network' })

describe('the status of an upstream', () => {
  test('is unknown until the first request to it; the report has one row per upstream, in the order of the list', () => {
    const { health } = healthWorld()
    assert.deepEqual(
      health.report(),
      [identity, entra, onprem].map(upstream => ({
        upstream,
        status: 'unknown',
        since: noon,
        lastSuccess: undefined,
        lastError: undefined,
        failures: 0,
        averageSeconds: undefined,
        ...(upstream === entra && { circuit: { state: 'closed', since: noon } }),
      })),
    )
  })

  test('has a circuit if it is an authority; status and circuit do not change each other', () => {
    const { clock, health, seen } = healthWorld()
    clock.advance(1000)
    health.upstreamCalled(entra, 0.1, unavailable())
    health.circuit('open', noon + 900)
    assert.partialDeepStrictEqual(seen(entra), { status: 'failing', circuit: { state: 'open', since: noon + 900 } })
    clock.advance(1000)
    health.upstreamCalled(entra, 0.1)
    assert.partialDeepStrictEqual(seen(entra), { status: 'ok', circuit: { state: 'open', since: noon + 900 } })
    for (const upstream of [identity, onprem]) assert.ok(!('circuit' in (seen(upstream) ?? {})))
  })

  test('follows the last request; `since` changes only with the status', () => {
    const { clock, health, seen } = healthWorld()
    const steps: readonly (readonly [
      error: BrokerError | undefined,
      status: string,
      since: number,
      failures: number,
    ])[] = [
      [undefined, 'ok', 1, 0],
      [undefined, 'ok', 1, 0],
      [unavailable(), 'failing', 3, 1],
      [unavailable(), 'failing', 3, 2],
      [unavailable(), 'failing', 3, 3],
      [undefined, 'ok', 6, 0],
      [unavailable(), 'failing', 7, 1],
    ]
    for (const [error, status, since, failures] of steps) {
      clock.advance(1000)
      health.upstreamCalled(entra, 0.1, error)
      assert.partialDeepStrictEqual(seen(entra), { status, since: noon + since * 1000, failures })
    }
  })

  test('changes from unknown to failing if the first request fails', () => {
    const { clock, health, seen } = healthWorld()
    clock.advance(5000)
    health.upstreamCalled(identity, 0.1, unavailable())
    const state = seen(identity)
    assert.partialDeepStrictEqual(state, { status: 'failing', since: noon + 5000, failures: 1 })
    assert.equal(state?.lastSuccess, undefined)
  })

  test('does not change without requests, even for hours', () => {
    const { clock, health, seen } = healthWorld()
    health.upstreamCalled(entra, 0.1)
    const before = seen(entra)
    clock.advance(10 * 3_600_000)
    assert.deepEqual(seen(entra), before)
  })

  test('is independent of other upstreams of the same kind or the same name', () => {
    const clock = movableClock()
    const twins: readonly Upstream[] = [onprem, { kind: 'issuer', name: 'entra' }, { kind: 'identity', name: 'onprem' }]
    const health = createHealth(twins, clock)
    health.upstreamCalled({ kind: 'issuer', name: 'onprem' }, 0.1, unavailable())
    assert.deepEqual(
      health.report().map(({ status }) => status),
      ['failing', 'unknown', 'unknown'],
    )
  })

  test('ignores events of upstreams that are not in the list', () => {
    const { health } = healthWorld()
    health.upstreamCalled({ kind: 'issuer', name: 'stranger' }, 0.1, unavailable())
    assert.equal(health.report().length, 3)
    assert.ok(health.report().every(({ status }) => status === 'unknown'))
  })

  test('is a snapshot: later events do not change a report', () => {
    const { health } = healthWorld()
    const before = health.report()
    health.upstreamCalled(entra, 0.1, unavailable())
    assert.ok(before.every(({ status }) => status === 'unknown'))
  })
})

describe('the average duration', () => {
  const rows: readonly (readonly [seconds: readonly number[], average: number, why: string])[] = [
    [[0.2], 0.2, 'the first one is all that is known'],
    [[0.2, 0.2, 0.2], 0.2, 'equal ones'],
    [[0.2, 5.2], 1.2, 'one that is slow counts a fifth'],
    [[0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 4.46, 'after ten that are slow, it is slow'],
    [[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0.54, 'after ten that are fast, it is fast again'],
  ]
  for (const [seconds, average, why] of rows)
    test(`of ${seconds.join(', ')} s is about ${average} s: ${why}`, () => {
      const { health, seen } = healthWorld()
      for (const each of seconds) health.upstreamCalled(entra, each)
      assert.equal(seen(entra)?.averageSeconds?.toFixed(2), average.toFixed(2))
    })

  test('counts failures too: a time-out is slow', () => {
    const { health, seen } = healthWorld()
    health.upstreamCalled(entra, 5, unavailable())
    assert.equal(seen(entra)?.averageSeconds, 5)
  })
})

test('the last comparison of clocks is reported, for that upstream only', () => {
  const { health, seen } = healthWorld()
  health.clockCompared(entra, -200)
  health.clockCompared(entra, -180)
  health.clockCompared({ kind: 'authority', name: 'stranger' }, 5)
  assert.equal(seen(entra)?.clockOffset, -180)
  assert.equal(seen(identity)?.clockOffset, undefined)
  health.upstreamCalled(entra, 0.1)
  health.circuit('open', noon)
  assert.equal(seen(entra)?.clockOffset, -180)
})

describe('the last error', () => {
  test('is kept after the upstream recovers, with the time of the failure', () => {
    const { clock, health, seen } = healthWorld()
    const upstream = { error: 'invalid_client', codes: [700213], traceId: 'trace-1' }
    clock.advance(1000)
    health.upstreamCalled(
      entra,
      0.1,
      new BrokerError('federation_misconfigured', 'It does not fit.', {
        reason: 'federation',
        upstream,
        cause: 'secret',
      }),
    )
    clock.advance(1000)
    health.upstreamCalled(entra, 0.1)
    const lastError = {
      code: 'federation_misconfigured',
      reason: 'federation',
      detail: 'It does not fit.',
      upstreamCodes: [700213],
      at: noon + 1000,
    }
    assert.deepEqual(seen(entra), {
      upstream: entra,
      status: 'ok',
      since: noon + 2000,
      lastSuccess: noon + 2000,
      lastError,
      failures: 0,
      averageSeconds: 0.1,
      circuit: { state: 'closed', since: noon },
    })
  })

  test('is replaced by the next error; the last success is kept', () => {
    const { clock, health, seen } = healthWorld()
    health.upstreamCalled(entra, 0.1)
    clock.advance(1000)
    health.upstreamCalled(entra, 0.1, unavailable('first'))
    health.upstreamCalled(entra, 0.1, unavailable('second'))
    assert.equal(seen(entra)?.lastError?.detail, 'second')
    assert.deepEqual(seen(entra)?.lastError?.upstreamCodes, [])
    assert.equal(seen(entra)?.lastSuccess, noon)
  })
})

describe('which errors make an upstream failing', () => {
  /** Errors of one tenant or one request: they show that Entra responds. */
  const reachable: readonly (readonly [code: ErrorCode, reason: ReasonOf<ErrorCode>, why: string])[] = [
    ['consent_required', 'consent', 'one tenant has not consented'],
    ['upstream_rejected', 'request', 'one tenant id or scope is wrong'],
    ['upstream_rejected', 'unknown', "one tenant's conditional access"],
    ['federation_misconfigured', 'cloud', 'one tenant is in another national cloud'],
  ]
  for (const [code, reason, why] of reachable)
    test(`not ${code} (${reason}): ${why}`, () => {
      const { health, seen } = healthWorld()
      health.upstreamCalled(entra, 0.1, unavailable())
      health.upstreamCalled(entra, 0.1, new BrokerError(code, 'no', { reason }))
      const state = seen(entra)
      assert.partialDeepStrictEqual(state, { status: 'ok', failures: 0, lastSuccess: undefined })
      assert.equal(state?.lastError?.reason, 'network')
    })

  test('an error of one tenant does not hide that the federated credential is wrong', () => {
    const { health, seen } = healthWorld()
    health.upstreamCalled(entra, 0.1, new BrokerError('federation_misconfigured', 'no', { reason: 'federation' }))
    health.upstreamCalled(entra, 0.1, new BrokerError('consent_required', 'no', { reason: 'consent' }))
    assert.partialDeepStrictEqual(seen(entra), { status: 'failing', failures: 1 })
  })

  const troubles: readonly (readonly [code: ErrorCode, why: string])[] = [
    ['upstream_unavailable', 'no connection, a time-out, 429 or 5xx'],
    ['upstream_invalid', 'a response that is not of the protocol, or the wrong token'],
    ['federation_misconfigured', "the broker's own set-up"],
    ['identity_unavailable', 'no token of the managed identity'],
    ['issuer_unavailable', 'no keys of an issuer'],
    ['internal_error', 'a bug'],
  ]
  for (const [code, why] of troubles)
    test(`${code}: ${why}`, () => {
      const { health, seen } = healthWorld()
      health.upstreamCalled(entra, 0.1, new BrokerError(code, 'no'))
      assert.equal(seen(entra)?.status, 'failing')
      // Without a reason, the code is the reason.
      assert.deepEqual([seen(entra)?.lastError?.code, seen(entra)?.lastError?.reason], [code, code])
    })
})
