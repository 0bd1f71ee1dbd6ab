import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { createRateLimits } from '../../../src/broker/authorization/rate-limits.ts'
import { authorize, type Grant } from '../../../src/broker/authorization/authorize.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  arm,
  tokenRequest,
  callerWith,
  cast,
  graph,
  ids,
  type Json,
  type JwtCaller,
  policyOf,
  under,
} from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { runs } from '../../support/runs.ts'

const rule: Json = {
  name: 'a',
  callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:*:worker' }],
  tenants: ['contoso', 'fabrikam'],
  scopes: [graph],
}
const worker = await callerWith()
const again = await callerWith({ jti: 'another token of the same caller' })
const stranger = await callerWith({ sub: 'system:serviceaccount:web:worker' })

function grantOf(rules: readonly Json[], who: JwtCaller = worker, tenant: string = ids.contoso): Grant {
  const policy = policyOf({ ...cast, rules })
  return authorize(policy, under(policy, who), tokenRequest({ tenant }), ids.home)
}

/** How many of `times` requests pass at once. */
function passes(limits: ReturnType<typeof createRateLimits>, grant: Grant, times: number): number {
  let passed = 0
  for (let nth = 0; nth < times; nth++) {
    try {
      limits.chargeRequest(grant)
      passed++
    } catch (thrown) {
      assert.ok(thrown instanceof BrokerError)
      assert.equal(thrown.code, 'rate_limited')
    }
  }
  return passed
}

describe('a limit of requests', () => {
  const limited = { ...rule, requestLimit: '5/m' }

  test('permits its count at once, and then one for each part of its period', () => {
    const clock = movableClock()
    const limits = createRateLimits(clock)
    const grant = grantOf([limited])
    assert.equal(passes(limits, grant, 10), 5)
    clock.advance(11_999)
    assert.equal(passes(limits, grant, 10), 0)
    clock.advance(1)
    assert.equal(passes(limits, grant, 10), 1)
    clock.advance(600_000)
    assert.equal(passes(limits, grant, 10), 5, 'never more than the limit')
    clock.jumpWall(86_400_000)
    assert.equal(passes(limits, grant, 10), 0, 'whatever the time of day')
  })

  const units: readonly [limit: string, ms: number][] = [
    ['1/s', 1000],
    ['1/m', 60_000],
    ['1/h', 3_600_000],
  ]
  for (const [limit, ms] of units) {
    test(`${limit} is one every ${ms} ms`, () => {
      const clock = movableClock()
      const limits = createRateLimits(clock)
      const grant = grantOf([{ ...rule, requestLimit: limit }])
      assert.equal(passes(limits, grant, 2), 1)
      clock.advance(ms - 1)
      assert.equal(passes(limits, grant, 2), 0)
      clock.advance(1)
      assert.equal(passes(limits, grant, 2), 1)
    })
  }

  test('is shared by all that the rule grants, and by every token of a caller', () => {
    const limits = createRateLimits(movableClock())
    assert.equal(passes(limits, grantOf([limited]), 3), 3)
    assert.equal(passes(limits, grantOf([limited], again, ids.fabrikam), 3), 2)
  })

  test('is separate for each caller', () => {
    const limits = createRateLimits(movableClock())
    assert.equal(passes(limits, grantOf([limited]), 9), 5)
    assert.equal(passes(limits, grantOf([limited], stranger), 9), 5)
  })

  test('says what is left, and when there is more', () => {
    const clock = movableClock()
    const limits = createRateLimits(clock)
    const grant = grantOf([limited])
    const facts = { what: 'requests', count: 5, seconds: 60 }
    assert.deepEqual(limits.chargeRequest(grant), { ...facts, remaining: 4, resetIn: 12 })
    for (let nth = 0; nth < 3; nth++) limits.chargeRequest(grant)
    assert.deepEqual(limits.chargeRequest(grant), { ...facts, remaining: 0, resetIn: 12 })
    clock.advance(3000)
    assert.throws(
      () => limits.chargeRequest(grant),
      (thrown: unknown) => {
        assert.ok(thrown instanceof BrokerError)
        assert.deepEqual([thrown.code, thrown.reason, thrown.retryAfter], ['rate_limited', 'requests', 9])
        assert.deepEqual(thrown.parts.limit, { ...facts, remaining: 0, resetIn: 9 })
        assert.ok(!thrown.message.includes('"a"'), 'the rule is not named')
        return true
      },
    )
  })

  test('is separate for each pair of rule and caller, even if their names together make the same text', async () => {
    const callers = [{ issuer: 'onprem', claims: { team: 'a' } }]
    const named = (name: string): Json => ({ ...limited, name, callers })
    const [one, other] = await Promise.all(['a', 'a jwt onprem a'].map(sub => callerWith({ sub, team: 'a' })))
    const limits = createRateLimits(movableClock())
    assert.equal(passes(limits, grantOf([named('r jwt onprem a')], one), 9), 5)
    assert.equal(passes(limits, grantOf([named('r')], other), 9), 5)
  })

  test('survives a reload of the policy: no caller starts again', () => {
    const limits = createRateLimits(movableClock())
    assert.equal(passes(limits, grantOf([limited]), 9), 5)
    assert.equal(passes(limits, grantOf([limited, { ...rule, name: 'b', scopes: [arm] }]), 9), 0)
  })

  test('ten thousand callers are kept, and the least recently used starts again', async () => {
    const limits = createRateLimits(movableClock())
    const grant = grantOf([
      { ...limited, callers: [{ issuer: 'onprem', claims: { aud2: 'x' } }, ...(rule['callers'] as Json[])] },
    ])
    assert.equal(passes(limits, grant, 9), 5)
    const other = (nth: number): Grant =>
      Object.assign(Object.create(Object.getPrototypeOf(grant) as object) as Grant, grant, {
        caller: { id: `c${nth}` },
      })
    for (let nth = 0; nth < 9_999; nth++) limits.chargeRequest(other(nth))
    assert.equal(passes(limits, grant, 9), 0)
    for (let nth = 0; nth < 10_000; nth++) limits.chargeRequest(other(nth))
    assert.equal(passes(limits, grant, 9), 5)
  })

  test('a grant without a limit is not limited', () => {
    const limits = createRateLimits(movableClock())
    assert.equal(limits.chargeRequest(grantOf([rule])), undefined)
  })
})

describe('of several rules that grant it, the most generous counts, whatever their order', () => {
  const table: readonly [
    limits: readonly (string | undefined)[],
    expected: [number, number] | undefined,
    why: string,
  ][] = [
    [['5/m', '10/m'], [10, 60], 'more in the same time'],
    [['5/s', '10/m'], [5, 1], 'more a second'],
    [['60/m', '1/s'], [60, 60], 'alike, but more at once'],
    [['60/m', '3600/h'], [3600, 3600], 'alike, but more at once'],
    [['5/m', undefined], undefined, 'none is more generous than any'],
    [['1/h', '2/h', '3/h'], [3, 3600], 'three'],
  ]
  for (const [texts, expected, why] of table) {
    test(`${texts.join(', ')}: ${why}`, () => {
      const rules = texts.map((text, nth) => ({
        ...rule,
        name: `rule ${nth}`,
        ...(text && { requestLimit: text, exchangeLimit: text }),
      }))
      for (const some of [rules, rules.toReversed()]) {
        const { requestLimit, exchangeLimit } = grantOf(some)
        assert.deepEqual(requestLimit && [requestLimit.count, requestLimit.seconds], expected)
        assert.deepEqual(exchangeLimit && [exchangeLimit.count, exchangeLimit.seconds], expected)
      }
    })
  }

  test('a rule that does not grant it does not count', () => {
    const rules = [
      { ...rule, requestLimit: '5/m' },
      { ...rule, name: 'b', tenants: ['fabrikam'] },
    ]
    assert.equal(grantOf(rules).requestLimit?.count, 5)
  })
})

describe('a limit of exchanges', () => {
  const limited = { ...rule, exchangeLimit: '2/m' }
  test('is separate from that of requests', () => {
    const limits = createRateLimits(movableClock())
    const grant = grantOf([{ ...limited, requestLimit: '2/m' }])
    limits.chargeExchange(grant)
    limits.chargeExchange(grant)
    assert.equal(passes(limits, grant, 3), 2)
    assert.throws(() => limits.chargeExchange(grant), { code: 'rate_limited' })
  })
})

test('over any time, no more passes than the limit allows for it and one burst', () => {
  const steps = fc.array(fc.tuple(fc.nat(5000), fc.nat(5)), { maxLength: 60 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 8 }), (moves, count) => {
      const clock = movableClock()
      const limits = createRateLimits(clock)
      const grant = grantOf([{ ...rule, requestLimit: `${count}/s` }])
      let passed = 0
      let elapsed = 0
      for (const [ms, times] of moves) {
        clock.advance(ms)
        elapsed += ms
        passed += passes(limits, grant, times)
        assert.ok(passed <= count + (elapsed / 1000) * count + 1e-6)
      }
    }),
    { numRuns: runs(100) },
  )
})
