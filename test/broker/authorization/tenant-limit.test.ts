import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { authorize, type Grant } from '../../../src/broker/authorization/authorize.ts'
import { createRateLimits } from '../../../src/broker/authorization/rate-limits.ts'
import type { TokenRequest } from '../../../src/broker/policy/model.ts'
import { BrokerError } from '../../../src/errors.ts'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { arm, callerWith, cast, graph, ids, type Json, policyOf, tokenRequest, under } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const worker = await callerWith()
const stranger = await callerWith({ sub: 'stranger' })
const rule = {
  name: 'a',
  callers: [
    { issuer: 'onprem', subject: 'system:serviceaccount:*:worker' },
    { issuer: 'onprem', subject: 'stranger' },
  ],
  tenants: ['contoso', 'fabrikam'],
  scopes: [graph, arm],
  applications: ['default', 'other'],
}

/** Grants under a policy with this `tenantLimit`. */
const granting =
  (tenantLimit: string | undefined, changes: Json = {}) =>
  (request: Partial<TokenRequest> = {}, who = worker): Grant => {
    const rules = [{ ...rule, ...changes }]
    const policy = policyOf({ ...cast, ...(tenantLimit !== undefined && { tenantLimit }), rules })
    return authorize(policy, under(policy, who), tokenRequest(request), ids.home)
  }

/** Charges exchanges. Returns `charged`, or the limit that refused it. */
function charging(clock = movableClock()) {
  const limits = createRateLimits(clock)
  const charge = (grant: Grant): string => {
    try {
      limits.chargeExchange(grant)
      return 'charged'
    } catch (thrown) {
      assert.ok(thrown instanceof BrokerError && thrown.code === 'rate_limited')
      return thrown.reason
    }
  }
  return { clock, charge, limits }
}

describe('the limit of a tenant', () => {
  test('refuses the exchanges of one tenant, whichever caller causes them, and of no other', () => {
    const { charge } = charging()
    const grant = granting('2/m')
    assert.deepEqual([charge(grant()), charge(grant({ scope: arm }, stranger))], ['charged', 'charged'])
    assert.deepEqual([charge(grant()), charge(grant({}, stranger))], ['tenant', 'tenant'])
    assert.equal(charge(grant({ tenant: ids.fabrikam })), 'charged', 'another tenant')
    assert.equal(charge(grant({ application: 'other' })), 'charged', 'another application')
  })

  test('refills evenly, and says when the next exchange is possible', () => {
    const { clock, charge, limits } = charging()
    const grant = granting('2/m')
    charge(grant())
    charge(grant())
    assert.throws(
      () => limits.chargeExchange(grant()),
      (thrown: unknown) => {
        assert.ok(thrown instanceof BrokerError)
        assert.equal(thrown.retryAfter, 30)
        assert.deepEqual(thrown.parts.limit, { what: 'tenant', count: 2, seconds: 60, remaining: 0, resetIn: 30 })
        return true
      },
    )
    clock.advance(30_000)
    assert.deepEqual([charge(grant()), charge(grant())], ['charged', 'tenant'])
  })

  test('and the limit of a caller both apply, and a refusal by one uses up nothing of the other', () => {
    const { clock, charge } = charging()
    const grant = granting('2/h', { exchangeLimit: '1/m' })
    assert.equal(charge(grant()), 'charged')
    for (let nth = 0; nth < 5; nth++) assert.equal(charge(grant()), 'exchanges')
    assert.equal(charge(grant({}, stranger)), 'charged', 'the refusals did not count for the tenant')
    clock.advance(60_000)
    for (let nth = 0; nth < 5; nth++) assert.equal(charge(grant()), 'tenant')
    clock.advance(30 * 60_000)
    assert.equal(charge(grant()), 'charged', 'the refusals did not count for the caller')
  })

  test('does not exist if the policy has none', () => {
    const { charge } = charging()
    const grant = granting(undefined)
    for (let nth = 0; nth < 1000; nth++) assert.equal(charge(grant()), 'charged')
  })

  for (const limit of ['0/m', '60', '60/d', '1.5/m', '', 60])
    test(`${JSON.stringify(limit)} is refused at load`, () => {
      assert.throws(
        () => policyOf({ ...cast, tenantLimit: limit, rules: [rule] }),
        /tenantLimit .*must be a limit such as 60/,
      )
    })
})

describe('a cache whose tenant has reached its limit', () => {
  const world = () => {
    const clock = movableClock()
    let fetched = 0
    const cache = createCache(() => Promise.resolve({ token: String(++fetched), expiresIn: 3600, refreshIn: 600 }), {
      clock,
      random: () => 0,
      maxEntries: 10,
      minRemainingSeconds: 300,
      timeoutMs: 5_000,
      concurrency: 4,
      charge: createRateLimits(clock).chargeExchange,
      events: {
        refreshed: () => assert.fail('a refresh that is not allowed is no failure'),
        negativeCacheHit: () => undefined,
      },
    })
    const listed = () =>
      cache.view
        .failures({ limit: 10 })
        .failures.map(({ level, tenant, error, count }) => [level, tenant, error.reason, count])
    return { clock, cache, fetched: () => fetched, listed }
  }

  test('serves cached tokens, due ones too, and postpones their refresh', async () => {
    const { clock, cache, fetched, listed } = world()
    const grant = granting('1/h')
    await cache.get(grant(), 0)
    clock.advance(700_000)
    for (let nth = 0; nth < 3; nth++) {
      assert.equal((await cache.get(grant(), 0)).how, 'due')
      await new Promise(setImmediate)
    }
    assert.equal(fetched(), 1)
    assert.deepEqual(listed(), [['tenant', ids.contoso, 'tenant', 1]], 'not each request tries again')
    clock.advance(60 * 60_000 - 700_000 - 300_000 - 1)
    assert.equal((await cache.get(grant(), 0)).how, 'due', 'usable to its end')
  })

  test('lists the tenant with the number of refusals for a minute, and not in the statistics', async () => {
    const { clock, cache, listed } = world()
    const grant = granting('1/h')
    await cache.get(grant(), 0)
    for (let nth = 0; nth < 3; nth++)
      await assert.rejects(async () => cache.get(grant({ scope: arm }), 0), { code: 'rate_limited', reason: 'tenant' })
    assert.deepEqual(listed(), [['tenant', ids.contoso, 'tenant', 3]])
    assert.deepEqual(cache.view.statistics().failures, [])
    clock.advance(59_999)
    assert.equal(listed().length, 1)
    clock.advance(1)
    assert.deepEqual(listed(), [])
  })

  test('lists limited tenants after cached failures, page by page, and forgets them with a purge', async () => {
    const { cache, listed } = world()
    const grant = granting('1/h')
    for (const tenant of [ids.contoso, ids.fabrikam]) {
      await cache.get(grant({ tenant }), 0)
      await assert.rejects(async () => cache.get(grant({ tenant, scope: arm }), 0))
    }
    const { failures, next } = cache.view.failures({ limit: 1 })
    assert.deepEqual([failures.length, failures[0]?.tenant], [1, ids.contoso])
    assert.match(String(next), /^[0-9]{1,15}$/, 'a cursor as the API accepts it')
    const second = cache.view.failures({ limit: 1, after: next })
    assert.deepEqual([second.failures[0]?.tenant, second.next], [ids.fabrikam, undefined])
    assert.equal(cache.view.failures({ limit: 10, tenant: ids.fabrikam }).failures.length, 1)
    cache.purge({ tenant: ids.contoso })
    assert.deepEqual(
      listed().map(([, tenant]) => tenant),
      [ids.fabrikam],
    )
  })

  test('a limit of a caller lists no tenant', async () => {
    const { cache, listed } = world()
    const grant = granting(undefined, { exchangeLimit: '1/h' })
    await cache.get(grant(), 0)
    await assert.rejects(async () => cache.get(grant({ scope: arm }), 0), { reason: 'exchanges' })
    assert.deepEqual(listed(), [])
  })
})
