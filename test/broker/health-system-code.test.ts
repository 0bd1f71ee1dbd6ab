import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Upstream } from '../../src/broker/events.ts'
import { createHealth } from '../../src/broker/health.ts'
import { BrokerError } from '../../src/errors.ts'
import { movableClock } from '../support/clock.ts'

const identity: Upstream = { kind: 'identity', name: 'managed-identity' }

function identityHealth() {
  const health = createHealth([identity], movableClock())
  return { health, seen: () => health.report()[0] }
}

describe('the last error of an upstream', () => {
  const codes: readonly (readonly [cause: unknown, code: string | undefined, why: string])[] = [
    [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED', 'of the system'],
    [
      new Error('x', { cause: Object.assign(new Error('y'), { code: 'ENOTFOUND' }) }),
      'ENOTFOUND',
      'of the cause of a cause',
    ],
    [Object.assign(new Error('x'), { code: 'a text of a stranger' }), undefined, 'not the form of a code'],
    [Object.assign(new Error('x'), { code: `E${'X'.repeat(50)}` }), undefined, 'too long'],
    [Object.assign(new Error('x'), { code: 7 }), undefined, 'not a text'],
    ['ECONNREFUSED', undefined, 'no error'],
    [undefined, undefined, 'no cause'],
  ]
  for (const [cause, systemCode, why] of codes)
    test(`has the system's code ${systemCode ?? 'of nothing'}: ${why}`, () => {
      const { health, seen } = identityHealth()
      health.upstreamCalled(identity, 0.1, new BrokerError('identity_unavailable', 'no', { reason: 'network', cause }))
      assert.equal(seen()?.lastError?.systemCode, systemCode)
    })

  test('whose causes are a circle has an end', () => {
    const { health, seen } = identityHealth()
    const cause = new Error('x')
    cause.cause = cause
    health.upstreamCalled(identity, 0.1, new BrokerError('identity_unavailable', 'no', { reason: 'network', cause }))
    assert.equal(seen()?.lastError?.systemCode, undefined)
  })
})
