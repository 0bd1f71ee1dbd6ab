import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failureLevel, failurePeriodMs } from '../../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import type { BrokerError, ErrorCode, ReasonOf } from '../../../src/errors.ts'
import type { FailureLevel } from '../../../src/reasons/row.ts'
import { reasons as known, refusedWith } from '../../support/reasons.ts'
import { failure } from './world.ts'

type Row = readonly [
  code: ErrorCode,
  reasons: readonly ReasonOf<ErrorCode>[],
  level: FailureLevel | 'nothing',
  why: string,
]

const placement: readonly Row[] = [
  ['federation_misconfigured', ['federation'], 'application', 'all tenants use one federated credential'],
  ['federation_misconfigured', ['assertion'], 'application', 'all tenants use one assertion'],
  [
    'federation_misconfigured',
    ['agent_identity', 'agent_assertion'],
    'tenant',
    'one agent identity, not its blueprint',
  ],
  ['federation_misconfigured', ['cloud', 'client'], 'tenant', 'one tenant can cause it; others must not be affected'],
  ['consent_required', ['consent'], 'tenant', 'one tenant has not consented'],
  ['upstream_rejected', ['request', 'unknown'], 'key', 'this resource or scope, or an unknown reason'],
  ['upstream_invalid', ['redirect', 'unreadable', 'unusable'], 'key', 'not of the protocol'],
  [
    'upstream_invalid',
    ['no_expiry', 'expired', 'wrong_expiry', 'malformed_token', 'not_bearer'],
    'key',
    'a token that cannot be used',
  ],
  ['upstream_invalid', ['wrong_tenant', 'wrong_application', 'wrong_audience', 'wrong_kind'], 'key', "another's token"],
  ['upstream_unavailable', ['network', 'timeout'], 'key', 'no response: the circuit breaker looks at all keys'],
  [
    'upstream_unavailable',
    ['transient', 'throttled', 'loop', 'server_error', 'status', 'expired'],
    'key',
    'a temporary condition',
  ],
  ['upstream_unavailable', ['circuit_open', 'aborted'], 'nothing', 'no request was sent to Entra'],
  ['upstream_unavailable', ['min_expires_in'], 'nothing', 'a token is cached, only too short for one caller'],
  ['identity_unavailable', ['network', 'timeout', 'status'], 'nothing', 'the assertion cache has it'],
  [
    'identity_unavailable',
    ['refused', 'identity_header', 'identity_endpoint', 'unusable', 'expired', 'file'],
    'nothing',
    'the assertion cache has it',
  ],
  ['identity_unavailable', ['identity_unavailable'], 'nothing', 'the policy could not be decided'],
  ['consent_required', ['broker'], 'key', 'the central broker returned it, and caches it at its own level'],
  ['federation_misconfigured', ['broker'], 'key', 'the same'],
  ['upstream_rejected', ['broker'], 'key', 'the same'],
  ['upstream_unavailable', ['broker'], 'key', 'the same'],
  ['not_permitted', ['broker'], 'nothing', 'a refusal, which the agent caches elsewhere'],
  ['issuer_unavailable', ['issuer_unavailable'], 'nothing', "the caller's issuer, not Entra"],
  ['internal_error', ['internal_error'], 'nothing', 'a bug'],
  ['not_permitted', ['no_rule'], 'nothing', 'the policy, not Entra'],
]

describe('for what a failure is cached', () => {
  for (const [code, reasons, level, why] of placement) {
    for (const reason of reasons) {
      test(`${code} ${reason}: ${level} (${why})`, () => {
        assert.equal(failureLevel(failure(code, reason)) ?? 'nothing', level)
      })
    }
  }

  test('every reason of a failed fetch has a row', () => {
    const ofFetches = /^(upstream_|identity_|federation_|consent_|internal_)/
    const pairs = known.map(({ code, reason }) => `${code} ${reason}`).filter(pair => ofFetches.test(pair))
    const rows = new Set(placement.flatMap(([code, reasons]) => reasons.map(reason => `${code} ${reason}`)))
    assert.deepEqual(
      pairs.filter(pair => !rows.has(pair)),
      [],
    )
  })
})

describe('some AADSTS codes decide for what a failure is cached', () => {
  const table: readonly [code: ErrorCode, codes: readonly number[], level: FailureLevel, why: string][] = [
    ['upstream_rejected', [90002], 'tenant', 'the tenant does not exist, for any scope'],
    ['upstream_rejected', [900023], 'tenant', 'no tenant can have this name'],
    ['upstream_rejected', [1234, 90002], 'tenant', 'after an unknown code'],
    ['upstream_rejected', [500011], 'key', 'the resource is unknown there, others are not'],
    ['upstream_rejected', [53003], 'key', 'Conditional Access'],
    ['upstream_rejected', [], 'key', 'no code'],
    ['consent_required', [700016], 'tenant', 'no service principal'],
    ['consent_required', [7000112], 'tenant', 'the service principal is disabled'],
    ['consent_required', [501051], 'key', 'one resource requires an assignment; others must not be affected'],
    ['consent_required', [65001], 'key', 'no consent for this resource'],
    ['consent_required', [650056], 'key', 'this resource is not among the registered permissions'],
    ['federation_misconfigured', [700213, 90002], 'application', 'the first known code decides'],
    ['upstream_unavailable', [90033, 90002], 'key', 'an outage says nothing about the tenant'],
  ]
  for (const [code, codes, level, why] of table) {
    test(`${code} ${codes.join(', ')}: ${level} (${why})`, () => {
      const error = refusedWith(codes)
      assert.equal(error.code, code)
      assert.equal(failureLevel(error), level)
    })
  }

  test('an outage with such a code is cached for the key only', () => {
    assert.equal(failureLevel(refusedWith([90002], 503)), 'key')
  })
})

describe('for how long a failure is cached', () => {
  const transient = (retryAfter?: number) =>
    failure('upstream_unavailable', 'throttled', retryAfter === undefined ? {} : { retryAfter })
  const timeout = failure('upstream_unavailable', 'timeout')
  const table: readonly [
    level: FailureLevel,
    error: BrokerError,
    failures: number,
    least: number,
    most: number,
    why: string,
  ][] = [
    ['application', failure('federation_misconfigured', 'federation'), 1, 15_000, 30_000, 'one probe for all keys'],
    ['application', failure('federation_misconfigured', 'federation'), 50, 15_000, 30_000, 'it does not grow'],
    ['tenant', failure('consent_required', 'consent'), 1, 30_000, 60_000, 'an administrator must act'],
    ['tenant', failure('upstream_rejected', 'request'), 1, 30_000, 60_000, 'the tenant does not exist'],
    ['tenant', failure('federation_misconfigured', 'cloud'), 1, 30_000, 60_000, "one tenant's trouble"],
    ['key', failure('upstream_invalid', 'wrong_tenant'), 9, 30_000, 60_000, 'it does not grow'],
    ['key', transient(), 1, 0, 1_000, 'back-off begins at a second'],
    ['key', transient(), 2, 0, 2_000, 'twice as long'],
    ['key', transient(), 5, 0, 16_000, 'the last below half a minute'],
    ['key', transient(), 6, 0, 30_000, 'half a minute at most'],
    ['key', transient(), 5000, 0, 30_000, 'also where the power of two is infinite'],
    ['key', transient(7), 1, 7_000, 8_000, 'never before Retry-After, and not all keys at once after it'],
    ['key', transient(7), 6, 7_000, 37_000, 'the back-off is added'],
    ['key', transient(300), 1, 300_000, 301_000, 'up to five minutes'],
    ['key', timeout, 1, 5_000, 10_000, 'a time-out has made a caller wait'],
    ['key', timeout, 2, 5_000, 15_000, 'the random part doubles'],
    ['key', timeout, 3, 5_000, 25_000, 'once more'],
    ['key', timeout, 4, 5_000, 30_000, 'half a minute at most'],
    ['key', failure('identity_unavailable', 'timeout'), 1, 0, 1_000, 'that of the identity endpoint is none of Entra'],
    ['key', transient(86_400), 1, 300_000, 301_000, 'a day counts as five minutes'],
  ]
  for (const [level, error, failures, least, most, why] of table) {
    test(`${level}, ${error.reason}, failure ${failures}: ${least} to ${most} ms (${why})`, () => {
      assert.equal(
        failurePeriodMs(level, error, failures, () => 0),
        least,
      )
      assert.equal(
        failurePeriodMs(level, error, failures, () => 0.5),
        (least + most) / 2,
      )
      assert.equal(
        failurePeriodMs(level, error, failures, () => 1),
        most,
      )
    })
  }

  for (const [longest, least, most] of [
    [200, 200, 200],
    [6000, 5000, 6000],
  ] as const)
    test(`a time-out of a refresh: ${least} to ${most} ms if ${longest} ms fit into the life of its token`, () => {
      assert.deepEqual(
        [0, 1].map(random => failurePeriodMs('key', timeout, 9, () => random, longest)),
        [least, most],
      )
    })
})
