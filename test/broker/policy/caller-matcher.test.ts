import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { TokenRequest, Policy } from '../../../src/broker/policy/model.ts'
import { authorize } from '../../../src/broker/authorization/authorize.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  arm,
  tokenRequest,
  callerWith,
  cast,
  entraIssuer,
  graph,
  ids,
  type Json,
  policyOf,
} from '../../support/callers.ts'
import { runs } from '../../support/runs.ts'

const rule: Json = { name: 'rule', tenants: ['contoso'], scopes: [graph] }

/** The outcome of a request: `granted`, or the error's code. */
function outcome(policy: Policy, caller: Caller, request: TokenRequest, homeTenant: string | undefined): string {
  try {
    authorize(policy, caller, request, homeTenant)
    return 'granted'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    return thrown.code
  }
}

describe('a caller matches by issuer, subject and claims, all of them', () => {
  const claims = {
    sub: 'system:serviceaccount:billing:worker',
    roles: ['Billing.Tokens', 'Other'],
    groups: [],
    level: 3,
    admin: true,
    role: 'reader',
    'kubernetes.io': { namespace: 'billing', serviceaccount: { name: 'worker' }, list: [{ name: 'first' }] },
    'a/b': 'slash',
    'm~n': 'tilde',
    '': 'empty',
    // As in parsed JSON: own properties of the token.
    ...JSON.parse('{"__proto__":{"role":"admin"},"constructor":"mine"}'),
  }
  const table: readonly [test: Json, matches: boolean, why: string][] = [
    [{ subject: 'system:serviceaccount:billing:worker' }, true, 'the subject'],
    [{ subject: 'system:serviceaccount:billing:*' }, true, 'a pattern of the subject'],
    [{ subject: 'system:serviceaccount:*' }, false, '* does not cross the colon'],
    [{ subject: 'system:serviceaccount:billing' }, false, 'a part of the subject'],
    [{ claims: { roles: 'Billing.Tokens' } }, true, 'an item of an array'],
    [{ claims: { roles: 'Billing.*' } }, true, 'a pattern of an item'],
    [{ claims: { roles: 'BillingXTokens' } }, false, 'a dot is a dot'],
    [{ claims: { groups: 'a' } }, false, 'an empty array'],
    [{ claims: { level: 3 } }, true, 'a number'],
    [{ claims: { level: '3' } }, false, 'a number is not a text'],
    [{ claims: { admin: true } }, true, 'a boolean'],
    [{ claims: { admin: 'true' } }, false, 'a boolean is not a text'],
    [{ claims: { admin: 1 } }, false, 'a boolean is not a number'],
    [{ claims: { '/kubernetes.io/namespace': 'billing' } }, true, 'a JSON pointer'],
    [{ claims: { '/kubernetes.io/serviceaccount/name': 'work*' } }, true, 'deeper, with a pattern'],
    [{ claims: { '/kubernetes.io/list/0/name': 'first' } }, true, 'through an array'],
    [{ claims: { 'kubernetes.io.namespace': 'billing' } }, false, 'dots are no path'],
    [{ claims: { '/a~1b': 'slash' } }, true, 'an escaped slash'],
    [{ claims: { 'a/b': 'slash' } }, true, 'a slash in a plain name'],
    [{ claims: { '/m~0n': 'tilde' } }, true, 'an escaped tilde'],
    [{ claims: { '/roles/0': 'Billing.Tokens' } }, true, 'the first of an array'],
    [{ claims: { '/roles/1': 'Billing.Tokens' } }, false, 'the second of an array'],
    [{ claims: { role: 'reader', level: 3 } }, true, 'two claims'],
    [{ claims: { role: 'reader', level: 4 } }, false, 'one of two claims'],
    [
      { subject: 'system:serviceaccount:billing:worker', claims: { role: 'admin' } },
      false,
      'the subject without the claim',
    ],
    [{ subject: 'x', claims: { role: 'reader' } }, false, 'the claim without the subject'],
    [{ claims: { missing: 'x' } }, false, 'a claim that is not there'],
    [{ claims: { toString: 'x*' } }, false, 'an inherited property is no claim'],
    [{ claims: { '/role/length': 6 } }, false, 'text has no fields'],
    [{ claims: { constructor: 'mine' } }, true, "a claim of such a name is the token's own"],
    [{ claims: { '/__proto__/role': 'admin' } }, true, "a claim of such a name is the token's own"],
    [{ claims: { '/kubernetes.io/role': 'admin' } }, false, "and is no other field's prototype"],
    [{ issuer: 'entra', subject: 'system:serviceaccount:billing:worker' }, false, 'the same subject of another issuer'],
  ]
  for (const [named, matches, why] of table) {
    test(`${matches ? 'is' : 'is not'} ${JSON.stringify(named)}: ${why}`, async () => {
      const caller = await callerWith(claims)
      const policy = policyOf({ ...cast, rules: [{ ...rule, callers: [{ issuer: 'onprem', ...named }] }] })
      assert.equal(outcome(policy, caller, tokenRequest(), ids.home), matches ? 'granted' : 'not_permitted')
    })
  }

  test('a claim that is named __proto__ in the policy is a claim', async () => {
    const callers = [{ issuer: 'onprem', claims: JSON.parse('{"/__proto__/role":"admin"}') }]
    const policy = policyOf({ ...cast, rules: [{ ...rule, callers }] })
    assert.equal(outcome(policy, await callerWith({ role: 'admin' }), tokenRequest(), ids.home), 'not_permitted')
  })

  test('one of several callers is enough', async () => {
    const callers = [
      { issuer: 'entra', subject: 'x' },
      { issuer: 'onprem', claims: { role: 'reader' } },
    ]
    const policy = policyOf({ ...cast, rules: [{ ...rule, callers }] })
    assert.equal(outcome(policy, await callerWith({ role: 'reader' }), tokenRequest(), ids.home), 'granted')
  })
})

describe('for every policy', async () => {
  const subjects = ['a', 'b']
  const everyCaller = await Promise.all(
    subjects.flatMap(sub => [callerWith({ sub }), callerWith({ sub, iss: entraIssuer, azp: ids.other })]),
  )
  const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 })
  const callers = some(subjects.flatMap(subject => ['onprem', 'entra'].map(issuer => ({ issuer, subject }))))
  const tenants = some(['contoso', 'fabrikam', ids.home])
  const scopes = some([graph, arm])
  const applications = some(['default', 'other'])
  const rules = fc.array(fc.record({ callers, tenants: fc.oneof(tenants, fc.constant('*')), scopes, applications }), {
    minLength: 1,
    maxLength: 5,
  })
  const denial = fc
    .record({ callers, tenants, scopes, applications }, { requiredKeys: [] })
    .filter(each => Object.keys(each).length > 0)
  const denials = fc.array(denial, { maxLength: 2 })
  const home = fc.constantFrom(ids.home, undefined)

  /** The outcomes of every possible request of every caller, in a fixed order. */
  function outcomes(ruleTexts: readonly object[], deny: readonly object[], homeTenant: string | undefined) {
    const named = ruleTexts.map((each, index) => ({ name: `rule ${index}`, ...each }))
    const policy = policyOf({ ...cast, rules: named, ...(deny.length > 0 && { deny }) })
    return everyCaller.flatMap(caller =>
      [ids.contoso, 'fabrikam', ids.home, 'nowhere'].flatMap(tenant =>
        [graph, arm].flatMap(scope =>
          ['default', 'other'].map(application =>
            outcome(policy, caller, tokenRequest({ tenant, scope, application }), homeTenant),
          ),
        ),
      ),
    )
  }

  const granted = (before: readonly string[], after: readonly string[]) =>
    after.every((each, index) => each !== 'granted' || before[index] === 'granted')

  const often = { numRuns: runs(150) }

  test('the order of its rules and denials does not matter', () => {
    const property = fc.property(rules, denials, home, (few, deny, homeTenant) => {
      const reversed = outcomes(few.toReversed(), deny.toReversed(), homeTenant)
      assert.deepEqual(reversed, outcomes(few, deny, homeTenant))
    })
    fc.assert(property, often)
  })

  test('one more denial grants nothing more', () => {
    const property = fc.property(rules, denials, denial, home, (few, deny, more, homeTenant) => {
      assert.ok(granted(outcomes(few, deny, homeTenant), outcomes(few, [more, ...deny], homeTenant)))
    })
    fc.assert(property, often)
  })

  test('one rule fewer grants nothing more', () => {
    const property = fc.property(rules, denials, home, fc.nat(4), (few, deny, homeTenant, nth) => {
      fc.pre(few.length > 1)
      const less = few.toSpliced(nth % few.length, 1)
      assert.ok(granted(outcomes(few, deny, homeTenant), outcomes(less, deny, homeTenant)))
    })
    fc.assert(property, often)
  })

  test('nothing that a denial matches is granted', () => {
    const property = fc.property(rules, denial, home, (few, deny, homeTenant) => {
      const { tenants: _, ...broader } = deny
      fc.pre(Object.keys(broader).length > 0)
      assert.ok(granted(outcomes(few, [deny], homeTenant), outcomes(few, [broader], homeTenant)))
    })
    fc.assert(property, often)
  })
})
