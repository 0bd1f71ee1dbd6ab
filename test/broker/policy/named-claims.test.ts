import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compileCaller } from '../../../src/broker/policy/caller-matcher.ts'
import { keepNamed, noNames, weightOf } from '../../../src/broker/policy/file/named-claims.ts'
import { cast, graph, ids, type Json, policyOf } from '../../support/callers.ts'

/** A rule that names no claims. */
const without = { name: 'b', callers: [{ issuer: 'onprem', subject: 'x' }], tenants: ['contoso'], scopes: [graph] }

type Expected = Readonly<Record<string, string | number | boolean>>

/** What is kept of claims under a policy whose rule, or denial, names them. */
function kept(claims: unknown, expected: Expected, as: 'rules' | 'deny' = 'rules'): Json {
  const named = Object.keys(expected).length > 0
  const callers = [{ issuer: 'onprem', ...(named ? { claims: expected } : { subject: 'x' }) }]
  const rule = { name: 'a', callers, tenants: ['contoso'], scopes: [graph] }
  const policy = policyOf({
    ...cast,
    ...(as === 'rules' ? { rules: [rule] } : { rules: [without], deny: [{ callers }] }),
  })
  return keepNamed(claims as object, policy.namedClaims.get('onprem') ?? noNames)
}

/** Parsed, because a token may have a claim `__proto__`, which a literal cannot. */
const claims = JSON.parse(`{
  "iss": "i", "sub": "s", "azp": "z", "aud": "a", "exp": 1, "email": "e",
  "roles": ["a", 1, true, null, ["a"], { "b": "c" }], "flag": false, "n": 0, "none": null,
  "a": { "b": { "c": "d", "e": ["f"] }, "g": "h" }, "a/b": "slash", "": "empty", "0": "zero",
  "__proto__": { "x": "polluted" }, "constructor": "own"
}`) as Json

describe('of the claims are kept', () => {
  const always = { iss: 'i', sub: 's', azp: 'z' }
  const table: readonly [expected: Expected, kept: Json][] = [
    [{}, {}],
    [{ roles: 'a' }, { roles: ['a', 1, true, null, null, null] }],
    [
      { flag: true, n: 1, none: 'x', absent: 'x' },
      { flag: false, n: 0 },
    ],
    [{ '/a/b/c': 'd' }, { a: { b: { c: 'd' } } }],
    [{ '/a/b/c': 'd', '/a/g': 'h', a: 'x' }, { a: { b: { c: 'd' }, g: 'h' } }],
    [{ '/a/b': 'x' }, {}],
    [{ '/a/b/e': 'f' }, { a: { b: { e: ['f'] } } }],
    [
      { '/a~1b': 'slash', '/': 'empty', '0': 'zero' },
      { 'a/b': 'slash', '': 'empty', 0: 'zero' },
    ],
    [{ '/roles/5/b': 'c' }, { roles: { 5: { b: 'c' } } }],
    [{ roles: 'a', '/roles/5/b': 'c' }, { roles: ['a', 1, true, null, null, { b: 'c' }] }],
  ]
  for (const [expected, rest] of table)
    for (const as of ['rules', 'deny'] as const)
      test(`${as} that name ${Object.keys(expected).join(', ') || 'none'}: these`, () =>
        assert.deepEqual(kept(claims, expected, as), { ...always, ...rest }))

  test('of an issuer without rules only who the caller is', () => assert.deepEqual(keepNamed(claims, noNames), always))

  test('nothing that is not a claim', () => {
    const result = kept(claims, { '/__proto__/x': 'polluted', constructor: 'own' })
    assert.deepEqual(Object.keys(result).toSorted(), ['__proto__', 'azp', 'constructor', 'iss', 'sub'])
    assert.equal(Object.getPrototypeOf(result), Object.prototype)
    assert.deepEqual(kept({}, { '/__proto__/constructor/name': 'x', constructor: 'x' }), {})
    for (const odd of [[], ['a'], 'text', 7, null, undefined]) assert.deepEqual(kept(odd, { roles: 'a' }), {})
  })
})

describe('a rule decides about the kept claims as about all', () => {
  const names = ['roles', 'flag', 'n', 'none', '/a/b/c', '/a/b', '/a/b/e', '/a/b/e/0', '/a/b/e/length', '/a/g', 'a']
  const odd = ['/a~1b', '/', '0', '/roles/0', '/roles/5/b', '/roles/5', '/roles/length', '/__proto__/x', 'constructor']
  const values = ['a', 'f', 'd', 'h', 'c', 'slash', 'own', 'polluted', 'o*n', 0, 1, 6, true, false]
  for (const name of [...names, ...odd]) {
    test(name, () => {
      for (const value of values)
        for (const other of [...names, ...odd]) {
          const text = { issuer: 'onprem', claims: { [name]: value } }
          const matches = (of: Json) =>
            compileCaller(text).matches({ kind: 'jwt', issuer: 'onprem', subject: ids.other, claims: of })
          assert.equal(matches(kept(claims, { [other]: 'x', [name]: value })), matches(claims), `${value}, ${other}`)
        }
    })
  }
})

describe('the weight of a value', () => {
  const table: readonly [value: unknown, least: number, most: number][] = [
    ['', 16, 64],
    ['x'.repeat(1000), 1000, 3000],
    [1.5, 8, 32],
    [null, 0, 32],
    [Array.from({ length: 1000 }, () => 'ab'), 24_000, 64_000],
    [{ a: { b: 'c' } }, 64, 512],
  ]
  for (const [value, least, most] of table)
    test(JSON.stringify(value).slice(0, 20), () => {
      const weight = weightOf(value)
      assert.ok(weight >= least && weight <= most, String(weight))
    })
})
