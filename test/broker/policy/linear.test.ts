import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { cast, graph, ids } from '../../support/callers.ts'
import { runs } from '../../support/runs.ts'

const rule = { name: 'a', callers: [{ issuer: 'onprem', subject: 's' }], tenants: '*', scopes: [graph] }
const keys = <T>(count: number, value: (nth: number) => T) =>
  Object.fromEntries(Array.from({ length: count }, (_, nth) => [`key-${nth}`, value(nth)]))
const idOf = (nth: number): string => ids.home.slice(0, -6) + String(100_000 + nth)
const hashOf = (nth: number) => ({ sha256: String(nth).padStart(64, '0'), expires: '2999-01-01' })

/** Milliseconds of CPU time that this thread takes to parse a text: the least of three tries. */
function costOf(text: string): number {
  const tries = [1, 2, 3].map(() => {
    const before = process.threadCpuUsage()
    try {
      parsePolicy(text)
    } catch (thrown) {
      assert.ok(thrown instanceof InvalidConfigurationError)
    }
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1000
  })
  return Math.min(...tries)
}

describe('twice the keys in one mapping take about twice the time to read, not four times', () => {
  const json = JSON.stringify
  const table: readonly [why: string, count: number, text: (count: number) => string][] = [
    ['tenants', 20_000, count => json({ ...cast, tenants: keys(count, idOf), rules: [rule] })],
    [
      'tenants, one a line',
      20_000,
      count =>
        `tenants:\n${Array.from({ length: count }, (_, nth) => `  t${nth}: ${idOf(nth)}\n`).join('')}rules: []\n`,
    ],
    [
      'API keys that no rule refers to',
      10_000,
      count => json({ ...cast, apiKeys: keys(count, hashOf), rules: [rule] }),
    ],
    [
      'unknown keys, each reported with its place',
      4_000,
      count => json({ ...cast, rules: [rule], ...keys(count, () => 1) }),
    ],
    [
      'claims of a caller',
      10_000,
      count => json({ ...cast, rules: [{ ...rule, callers: [{ issuer: 'onprem', claims: keys(count, String) }] }] }),
    ],
    [
      'rules that refer to tenants, and the issuers whose audiences their scopes must not have',
      2_000,
      count =>
        json({
          ...cast,
          issuers: {
            ...cast.issuers,
            ...keys(count, nth => ({ issuer: `https://a.example/${nth}`, audiences: [`b${nth}`] })),
          },
          rules: Array.from({ length: count }, (_, nth) => ({ ...rule, name: `rule ${nth}` })),
        }),
    ],
  ]
  for (const [why, count, text] of table) {
    test(why, () => {
      const size = runs(count)
      const [once, twice] = [costOf(text(size)), costOf(text(2 * size))]
      assert.ok(twice / once < 3, `${once} ms and ${twice} ms`)
    })
  }
})
