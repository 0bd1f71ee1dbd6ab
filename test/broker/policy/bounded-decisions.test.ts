import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { requirePermission } from '../../../src/broker/authorization/authorize-operation.ts'
import { createAuthorize } from '../../../src/broker/authorization/authorize.ts'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { CallerFacts } from '../../../src/broker/policy/caller-facts.ts'
import { decide } from '../../../src/broker/policy/decide.ts'
import type { Policy } from '../../../src/broker/policy/model.ts'
import { BrokerError } from '../../../src/errors.ts'
import { runs } from '../../support/runs.ts'
import { arm, cast, graph, ids, type Json, policyOf, tokenRequest } from '../../support/callers.ts'

/** How much a loop of requests makes the policy compare: denied requests are neither cached nor limited. */

/** 10,000 in CI. */
const many = runs(10_000)

/** A caller that counts how often it is compared with one in the policy. */
function countedCaller(
  policy: Policy,
  subject = 'stranger',
): { readonly caller: Caller; readonly compared: () => number } {
  let compared = 0
  const facts = {
    kind: 'jwt',
    get issuer() {
      compared++
      return 'onprem'
    },
    subject,
    claims: { roles: ['Reader'] },
    id: `jwt onprem ${subject}`,
    policy,
  } satisfies CallerFacts & { readonly id: string; readonly policy: Policy }
  return { caller: facts as unknown as Caller, compared: () => compared }
}

const numbered = (nth: number): string => `00000000-0000-4000-8000-${String(nth).padStart(12, '0')}`
const subjects = Array.from({ length: many }, (_, nth) => ({ issuer: 'onprem', subject: `caller-${nth}:*` }))
const each = (rest: Json) =>
  subjects.map((caller, nth) => ({ name: `rule ${nth}`, callers: [caller], scopes: [graph], ...rest }))

const policies: readonly (readonly [why: string, policy: Json])[] = [
  ['rules for one tenant', { rules: each({ tenants: ['contoso'] }) }],
  ['rules for every tenant', { rules: each({ tenants: '*' }) }],
  ['callers in one rule', { rules: [{ name: 'a', callers: subjects, tenants: '*', scopes: [graph] }] }],
  ['rules by a claim', { rules: each({ tenants: '*', callers: [{ issuer: 'onprem', claims: { roles: 'Writer' } }] }) }],
  [
    'denials of one tenant',
    {
      rules: each({ tenants: ['fabrikam'] }).slice(0, 1),
      deny: subjects.map(caller => ({ callers: [caller], tenants: ['contoso'] })),
    },
  ],
  [
    'denials of callers',
    { rules: each({ tenants: ['fabrikam'] }).slice(0, 1), deny: subjects.map(caller => ({ callers: [caller] })) },
  ],
]

describe(`a loop of denied requests of one caller compares it once with each of ${many}`, () => {
  for (const [why, text] of policies)
    test(why, () => {
      const policy = policyOf({ ...cast, ...text })
      const { caller, compared } = countedCaller(policy)
      const authorize = createAuthorize(() => ids.home)
      for (let nth = 0; nth < 300; nth++) {
        // It varies all that a request can vary, so that no two requests are the same.
        const request = { tenant: nth % 2 ? 'contoso' : numbered(nth), scope: nth % 3 ? graph : `${nth}/.default` }
        assert.throws(() => authorize(caller, tokenRequest(request)), { code: 'not_permitted' })
      }
      assert.ok(compared() >= many && compared() <= many + 600, String(compared()))
    })

  for (const [why, text] of [
    [
      'rules with a permission',
      { rules: subjects.map((caller, nth) => ({ name: `${nth}`, callers: [caller], permissions: ['observe'] })) },
    ],
    [
      'denials of permissions',
      {
        rules: each({ permissions: ['observe'], tenants: ['contoso'] }).slice(0, 1),
        deny: subjects.map(caller => ({ callers: [caller] })),
      },
    ],
  ] as const)
    test(`operations: ${why}`, () => {
      const policy = policyOf({ ...cast, ...text })
      const { caller, compared } = countedCaller(policy)
      for (let nth = 0; nth < 300; nth++)
        assert.throws(() => requirePermission(policy, caller, nth % 2 ? 'observe' : 'purge'), { code: 'not_permitted' })
      assert.ok(compared() >= many && compared() <= many + 600, String(compared()))
    })
})

test('a caller that a rule of many lists is granted each time, and every other request of it is denied', () => {
  const policy = policyOf({ ...cast, rules: each({ tenants: ['contoso'] }) })
  const { caller, compared } = countedCaller(policy, 'caller-7:x')
  const authorize = createAuthorize(() => ids.home)
  for (let nth = 0; nth < 50; nth++) {
    assert.equal(authorize(caller, tokenRequest({ tenant: 'contoso' })).rule, 'rule 7')
    assert.throws(() => authorize(caller, tokenRequest({ tenant: 'contoso', scope: arm })), BrokerError)
  }
  // The words of a refusal name the issuer, too.
  assert.equal(compared(), many + 50)
})

test('another version of the policy remembers nothing of the one before', () => {
  const [before, after] = [each({ tenants: '*' }), each({ tenants: '*' }).slice(8)].map(rules =>
    policyOf({ ...cast, rules }),
  )
  assert.ok(before && after)
  const { caller } = countedCaller(before, 'caller-7:x')
  const request = tokenRequest({ tenant: 'contoso' })
  assert.equal(decide(before, caller, request, ids.home).verdict, 'granted')
  assert.equal(decide(after, caller, request, ids.home).verdict, 'denied')
})

test('what is remembered is bounded: callers that many rules list make the index forget, and decisions stay the same', () => {
  const callers = [{ issuer: 'onprem', claims: { roles: 'Reader' } }]
  const rules = Array.from({ length: 5_000 }, (_, nth) => ({ name: `${nth}`, callers, tenants: '*', scopes: [graph] }))
  const policy = policyOf({ ...cast, rules })
  const crowd = Array.from({ length: 250 }, (_, nth) => countedCaller(policy, `s${nth}`))
  const verdicts = () =>
    new Set(crowd.map(({ caller }) => decide(policy, caller, tokenRequest({ tenant: 'contoso' }), ids.home).verdict))
  assert.deepEqual([verdicts(), verdicts()], [new Set(['granted']), new Set(['granted'])])
  const counts = crowd.map(({ compared }) => compared())
  // 250 callers with 5,000 entries each are more than a million.
  assert.equal(counts[0], 2 * rules.length, 'the first was forgotten')
  assert.ok(counts.every(count => count <= 2 * rules.length))
})

test('a client id is looked up, however many applications there are', () => {
  const names = Array.from({ length: 1_000 }, (_, nth) => [`app-${nth}`, numbered(nth)] as const)
  const policy = policyOf({
    ...cast,
    applications: { ...Object.fromEntries(names), twin: numbered(7) },
    rules: each({ tenants: '*', applications: ['app-7'] }).slice(0, 1),
  })
  assert.deepEqual(policy.index.applications(numbered(7)), ['app-7', 'twin'])
  assert.deepEqual(policy.index.applications(ids.home), [])
})
