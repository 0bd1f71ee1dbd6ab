import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAssertionCache } from '../../../src/broker/tokens/assertion-cache.ts'
import { encode, ids } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const table: readonly (readonly [claims: object, tenant: string | undefined, why: string])[] = [
  [{ tid: ids.home }, ids.home, 'the token names it'],
  [{ iss: `https://login.microsoftonline.com/${ids.home.toUpperCase()}/v2.0` }, ids.home, 'its issuer contains it'],
  [{ tid: ids.home, iss: `https://sts.windows.net/${ids.other}/` }, ids.home, 'the tid claim counts'],
  [{ iss: 'https://kubernetes.example.internal' }, undefined, 'no tenant anywhere'],
  [{}, undefined, 'no claims'],
]
for (const [claims, tenant, why] of table)
  test(`the home tenant of an identity's token with ${JSON.stringify(claims)} is ${tenant}: ${why}`, async () => {
    const clock = movableClock()
    const token = `${encode({ alg: 'RS256' })}.${encode(claims)}.x`
    const fetchAssertion = () => Promise.resolve({ token, expiresAt: clock.now() + 3_600_000 })
    const assertions = createAssertionCache(fetchAssertion, {
      clock,
      random: () => 0.5,
      timeoutMs: 5000,
      fetched: () => undefined,
    })
    await assertions.get(AbortSignal.timeout(1000))
    assert.equal(assertions.homeTenant(), tenant)
  })
