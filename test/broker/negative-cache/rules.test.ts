import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failureLevel, failurePeriodMs } from '../../../src/broker/tokens/negative-cache-rules.ts'
import type { BrokerError, ErrorCode, ReasonOf } from '../../../src/errors.ts'
import type { FailureLevel } from '../../../src/reasons/row.ts'
import { reasons as known, refusedWith } from '../../support/reasons.ts'
import { failure } from './world.ts'

type Row = readonly [
  code: ErrorCode,
  reasons: readonly ReasonOf<ErrorCode>[],
  level: FailureLevel | 'nowhere',
  why: string,
]

const placement: readonly Row[] = [
  ['federation_misconfigured', ['federation'], 'application', 'all tenants use one federated credential'],
  ['federation_misconfigured', ['assertion'], 'application', 'all tenants use one assertion'],
  ['federation_misconfigured', ['cloud', 'client'], 'tenant', 'one tenant can bring it about; others must not suffer'],
  ['consent_required', ['consent'], 'tenant', 'one tenant has not admitted the application'],
  ['upstream_rejected', ['request', 'unknown'], 'key', 'this resource or scope, or nobody knows'],
  ['upstream_invalid', ['redirect', 'unreadable', 'unusable'], 'key', 'not the protocol'],
  ['upstream_invalid', ['no_expiry', 'expired', 'wrong_expiry'], 'key', 'a token that is no use'],
  ['upstream_invalid', ['wrong_tenant', 'wrong_application', 'wrong_audience'], 'key', "another's token"],
  ['upstream_unavailable', ['network', 'timeout'], 'key', 'no answer: the circuit looks at all keys together'],
  [
    'upstream_unavailable',
    ['transient', 'throttled', 'server_error', 'status', 'expired'],
    'key',
    'an answer that may pass',
  ],
  ['upstream_unavailable', ['circuit_open', 'aborted'], 'nowhere', 'Entra was not asked'],
  ['upstream_unavailable', ['min_expires_in'], 'nowhere', 'a token is held, only too short for one caller'],
  ['identity_unavailable', ['network', 'timeout', 'status'], 'nowhere', 'its own memory'],
  ['identity_unavailable', ['refused', 'unusable', 'expired', 'file'], 'nowhere', 'its own memory'],
  ['identity_unavailable', ['identity_unavailable'], 'nowhere', 'the policy could not be decided'],
  ['consent_required', ['broker'], 'key', 'another broker said so, and remembers whose trouble it is'],
  ['federation_misconfigured', ['broker'], 'key', 'the same'],
  ['upstream_rejected', ['broker'], 'key', 'the same'],
  ['upstream_unavailable', ['broker'], 'key', 'the same'],
  ['not_permitted', ['broker'], 'nowhere', 'a refusal, which is answered from elsewhere'],
  ['issuer_unavailable', ['issuer_unavailable'], 'nowhere', "the caller's issuer, not Entra"],
  ['internal_error', ['internal_error'], 'nowhere', 'a bug'],
  ['not_permitted', ['no_rule'], 'nowhere', 'the policy, not Entra'],
]

describe('where a failure is remembered', () => {
  for (const [code, reasons, level, why] of placement) {
    for (const reason of reasons) {
      test(`${code} ${reason}: ${level} (${why})`, () => {
        assert.equal(failureLevel(failure(code, reason)) ?? 'nowhere', level)
      })
    }
  }

  test('every reason that a fetch can fail with has a row', () => {
    const ofFetches = /^(upstream_|identity_|federation_|consent_|internal_)/
    const pairs = known.map(({ code, reason }) => `${code} ${reason}`).filter(pair => ofFetches.test(pair))
    const rows = new Set(placement.flatMap(([code, reasons]) => reasons.map(reason => `${code} ${reason}`)))
    assert.deepEqual(
      pairs.filter(pair => !rows.has(pair)),
      [],
    )
  })
})

describe('AADSTS codes move a failure to where it belongs', () => {
  const table: readonly [code: ErrorCode, codes: readonly number[], level: FailureLevel, why: string][] = [
    ['upstream_rejected', [90002], 'tenant', 'no such tenant, whatever the scope'],
    ['upstream_rejected', [900023], 'tenant', 'no tenant can have this name'],
    ['upstream_rejected', [1234, 90002], 'tenant', 'behind a code that nobody knows'],
    ['upstream_rejected', [500011], 'key', 'the resource is unknown there, others are not'],
    ['upstream_rejected', [53003], 'key', 'Conditional Access'],
    ['upstream_rejected', [], 'key', 'no code'],
    ['consent_required', [700016], 'tenant', 'no service principal'],
    ['consent_required', [7000112], 'tenant', 'the service principal is disabled'],
    ['consent_required', [501051], 'key', 'one resource wants an assignment: the others must not suffer'],
    ['consent_required', [65001], 'key', 'no consent for this resource'],
    ['consent_required', [650056], 'key', 'this resource is not among the registered permissions'],
    ['federation_misconfigured', [700213, 90002], 'application', 'the first known code decides'],
    ['upstream_unavailable', [90033, 90002], 'key', 'an outage says nothing of the tenant'],
  ]
  for (const [code, codes, level, why] of table) {
    test(`${code} ${codes.join(', ')}: ${level} (${why})`, () => {
      const error = refusedWith(codes)
      assert.equal(error.code, code)
      assert.equal(failureLevel(error), level)
    })
  }

  test('an outage that comes with such a code says nothing of the tenant either', () => {
    assert.equal(failureLevel(refusedWith([90002], 503)), 'key')
  })
})

describe('for how long', () => {
  const transient = (retryAfter?: number) =>
    failure('upstream_unavailable', 'throttled', retryAfter === undefined ? {} : { retryAfter })
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
    ['tenant', failure('consent_required', 'consent'), 1, 30_000, 60_000, 'somebody must act'],
    ['tenant', failure('upstream_rejected', 'request'), 1, 30_000, 60_000, 'no such tenant'],
    ['tenant', failure('federation_misconfigured', 'cloud'), 1, 30_000, 60_000, "one tenant's trouble"],
    ['key', failure('upstream_invalid', 'wrong_tenant'), 9, 30_000, 60_000, 'it does not grow'],
    ['key', transient(), 1, 0, 1_000, 'back-off begins at a second'],
    ['key', transient(), 2, 0, 2_000, 'twice as long'],
    ['key', transient(), 5, 0, 16_000, 'the last below half a minute'],
    ['key', transient(), 6, 0, 30_000, 'half a minute at most'],
    ['key', transient(), 5000, 0, 30_000, 'also where the power of two is infinite'],
    ['key', transient(7), 1, 7_000, 8_000, 'never before Retry-After, and not all at once after it'],
    ['key', transient(7), 6, 7_000, 37_000, 'the back-off comes on top'],
    ['key', transient(300), 1, 300_000, 301_000, 'five minutes are believed'],
    ['key', transient(86_400), 1, 300_000, 301_000, 'a day is not'],
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
})
