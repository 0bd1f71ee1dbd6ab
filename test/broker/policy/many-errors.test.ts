import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InvalidConfigurationError, type ConfigurationError } from '../../../src/errors.ts'
import { cast, graph, type Json, policyOf } from '../../support/callers.ts'

function errorsOf(policy: Json): readonly ConfigurationError[] {
  try {
    policyOf(policy)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors
  }
}

describe('a file with very many errors', () => {
  const anything = { name: 'a', callers: [{ issuer: 'onprem', subject: 's' }], tenants: '*', scopes: [graph] }
  const keysOf = (count: number, value: unknown) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`key-${index}`, value]))
  const many: readonly [count: number, expected: number, policy: Json, where: RegExp, why: string][] = [
    [1500, 1500, { ...cast, rules: [anything], ...keysOf(1500, 1) }, /^key-\d+ \(/, 'unknown keys'],
    [
      10_001,
      10_000,
      { ...cast, rules: [{ ...anything, tenants: Array(10_001).fill('a') }] },
      /tenants/,
      'unknown tenants',
    ],
    [
      1500,
      1500,
      { ...cast, rules: [{ ...anything, callers: [{ issuer: 'onprem', claims: keysOf(1500, 1.5) }] }] },
      /claims/,
      'numbers that are not whole',
    ],
  ]
  for (const [count, expected, policy, where, why] of many) {
    test(`${count} ${why} are a list of ${expected} errors, never an empty one`, () => {
      const errors = errorsOf(policy)
      assert.equal(errors.filter(error => where.test(error.where)).length, expected)
      const hasMore = errors.some(({ what }) => what === 'has more errors than are listed here')
      assert.equal(hasMore, expected < count)
    })
  }
})
