import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { claimMatcher, claimPath, patternError, textMatcher, valueAt } from '../../../src/broker/policy/patterns.ts'
import { cpuMs } from '../../support/clock.ts'

describe('a pattern', () => {
  const table: readonly [pattern: string, value: unknown, matches: boolean, why: string][] = [
    ['billing', 'billing', true, 'text without * is compared as it is'],
    ['billing', 'Billing', false, 'case counts'],
    ['billing', 'billing2', false, 'nothing may follow'],
    ['billing', ' billing', false, 'nothing is trimmed'],
    ['sa:billing:*', 'sa:billing:worker', true, '* stands for a name'],
    ['sa:billing:*', 'sa:billing:w', true, 'one character is enough'],
    ['sa:billing:*', 'sa:billing:', false, '* is one character at least'],
    ['sa:billing:*', 'sa:billing:a.b_c~d-9', true, 'every character that * stands for'],
    ['sa:billing:*', 'sa:billing:a:b', false, '* does not cross a colon'],
    ['sa:billing:*', 'sa:billing:a/b', false, '* does not cross a slash'],
    ['sa:billing:*', 'sa:billing:a b', false, '* does not cross a space'],
    ['sa:billing:*', 'sa:billing:é', false, '* is ASCII only'],
    ['sa:billing:*', 'sa:billing:a%2fb', false, '* does not take a percent sign'],
    ['sa:billing:*', 'evil sa:billing:worker', false, 'anchored at the start'],
    ['*.prod', 'a.prod.evil', false, 'anchored at the end'],
    ['*.prod', 'a.prod\n', false, 'a line feed at the end is part of the text'],
    ['sa:*', 'x\nsa:a', false, 'a new line begins no new text'],
    ['a*c', 'abc', true, '* in the middle'],
    ['a*c', 'ac', false, '* in the middle is one character at least'],
    ['a*c', 'abcabc', true, '* takes as much as it needs'],
    ['spiffe://prod/ns/*/sa', 'spiffe://prod/ns/billing/sa', true, 'a path segment'],
    ['spiffe://prod/ns/*/sa', 'spiffe://prod/ns/billing/x/sa', false, 'not two path segments'],
    ['a.b*', 'axb1', false, 'a dot is a dot'],
    ['a.b*', 'a.b1', true, 'a dot is a dot'],
    ['(a|b)*', 'a1', false, 'no alternatives'],
    ['[a-z]x*', 'bx1', false, 'no character classes'],
    ['[a-z]x*', '[a-z]x1', true, 'brackets are brackets'],
    ['a\\d*', 'a11', false, 'no escapes'],
    ['a\\d*', 'a\\d1', true, 'a backslash is a backslash'],
    ['a+b?c^d$e{1}f|g/*', 'a+b?c^d$e{1}f|g/x', true, 'every special character stands for itself'],
    ['repo:org/*', 7, false, 'a number is no text'],
    ['7*', 77, false, 'a number is not turned into text'],
    ['7', 7, false, 'a number is not turned into text without * either'],
    ['true', true, false, 'nor is a boolean'],
    ['a*', ['ab'], false, 'nor an array: only claims look into arrays'],
    ['a*', undefined, false, 'an absent value'],
    ['null', null, false, 'null is no text'],
  ]
  for (const [pattern, value, matches, why] of table) {
    test(`${pattern} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(value)}: ${why}`, () => {
      assert.equal(textMatcher(pattern)(value), matches)
    })
  }

  test('takes linear time on a long text that almost matches', () => {
    const value = `${'a'.repeat(100_000)}!`
    const begun = cpuMs()
    assert.equal(textMatcher('a*a')(value), false)
    assert.ok(cpuMs() - begun < 500)
  })
})

describe('a pattern that is refused or accepted', () => {
  const table: readonly [pattern: string, error: RegExp | undefined, why: string][] = [
    ['', /empty/, 'it would match an empty subject only'],
    ['*', /alone/, 'it would match every value'],
    ['**', /one "\*"/, 'two wildcards'],
    ['a*b*', /one "\*"/, 'two wildcards'],
    ['a*', undefined, 'the wildcard has something before it'],
    ['*a', undefined, 'the wildcard has something after it'],
    ['a', undefined, 'plain text'],
  ]
  for (const [pattern, error, why] of table) {
    test(`${JSON.stringify(pattern)} is ${error ? 'refused' : 'accepted'}: ${why}`, () => {
      const found = patternError(pattern)
      if (error) assert.match(found ?? '', error)
      else assert.equal(found, undefined)
    })
  }
})

describe('a claim', () => {
  const table: readonly [expected: string | number | boolean, value: unknown, matches: boolean, why: string][] = [
    ['a', 'a', true, 'text'],
    ['a', ['b', 'a'], true, 'one item of an array is enough'],
    ['a', [], false, 'an empty array has no item'],
    ['a', [['a']], false, 'arrays within arrays are not looked into'],
    ['a', { 0: 'a' }, false, 'an object is no array'],
    ['a*', ['b', 'ab'], true, 'patterns apply to items too'],
    [1, 1, true, 'a number'],
    [1, '1', false, 'text is no number'],
    [1, true, false, 'a boolean is no number'],
    [1, [2, 1], true, 'a number in an array'],
    [true, true, true, 'a boolean'],
    [true, 'true', false, 'text is no boolean'],
    [true, 1, false, 'a number is no boolean'],
    [false, undefined, false, 'absent is not false'],
    [false, null, false, 'null is not false'],
    [0, '', false, 'nothing is coerced'],
  ]
  for (const [expected, value, matches, why] of table) {
    test(`${JSON.stringify(expected)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(value)}: ${why}`, () => {
      assert.equal(claimMatcher(expected)(value), matches)
    })
  }
})

describe("a claim's name", () => {
  const table: readonly [name: string, path: readonly string[] | undefined, why: string][] = [
    ['roles', ['roles'], 'a top-level name'],
    ['kubernetes.io', ['kubernetes.io'], 'dots separate nothing'],
    ['https://example.com/role', ['https://example.com/role'], 'a URL as a name: it does not begin with a slash'],
    ['/a/b', ['a', 'b'], 'a JSON pointer'],
    ['/kubernetes.io/namespace', ['kubernetes.io', 'namespace'], 'the example of the documentation'],
    ['/a~1b', ['a/b'], '~1 is a slash (RFC 6901 §4)'],
    ['/m~0n', ['m~n'], '~0 is a tilde'],
    ['/~01', ['~1'], '~01 is ~1, not a slash (RFC 6901 §4)'],
    ['/', [''], 'the field with the empty name'],
    ['/a/', ['a', ''], 'an empty name at the end'],
    ['/a~', undefined, 'a tilde with nothing behind it'],
    ['/a~2', undefined, 'a tilde with something else behind it'],
    ['', undefined, 'no name at all'],
    ['a~2', ['a~2'], 'a tilde outside of a pointer'],
  ]
  for (const [name, path, why] of table) {
    test(`${JSON.stringify(name)}: ${why}`, () => assert.deepEqual(claimPath(name), path))
  }
})

describe('the value at a path', () => {
  const claims: unknown = JSON.parse(
    '{"a":{"b":[{"c":1}]},"s":"text","n":null,"__proto__":{"own":true},"constructor":"mine"}',
  )
  const table: readonly [path: readonly string[], value: unknown, why: string][] = [
    [['a', 'b', '0', 'c'], 1, 'through objects and arrays'],
    [['a', 'b', '1', 'c'], undefined, 'beyond the end of an array'],
    [['a', 'b', 'length'], 1, "an array's own length is a property of its own"],
    [['s', '0'], undefined, 'text has no fields'],
    [['s', 'length'], undefined, 'text has no fields'],
    [['n', 'x'], undefined, 'null has no fields'],
    [['missing'], undefined, 'absent'],
    [['toString'], undefined, 'inherited names are absent'],
    [['hasOwnProperty'], undefined, 'inherited names are absent'],
    [['a', 'constructor'], undefined, 'inherited at any depth'],
    [['a', '__proto__'], undefined, 'inherited at any depth'],
    [['constructor'], 'mine', "a claim of that name is the token's own"],
    [['__proto__', 'own'], true, "a claim of that name is the token's own"],
  ]
  for (const [path, value, why] of table) {
    test(`${JSON.stringify(path)}: ${why}`, () => assert.equal(valueAt(claims, path), value))
  }
})
