import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyWarnings } from '../../src/broker/policy-warnings.ts'
import { cast, graph, type Json, policyOf } from '../support/callers.ts'
import { noon } from '../support/clock.ts'

const worker = { issuer: 'onprem', subject: 'worker' }
const withCaller = (caller: Json, more: Json = {}) =>
  policyOf({
    ...cast,
    issuers: { onprem: cast.issuers.onprem },
    rules: [{ name: 'a', callers: [worker, caller], tenants: ['contoso'], scopes: [graph] }],
    ...more,
  })

const table: readonly [
  why: string,
  policy: ReturnType<typeof withCaller>,
  certificates: boolean,
  expected: RegExp[],
][] = [
  ['nothing', withCaller(worker), false, []],
  ['certificates that nobody can show', withCaller({ san: 'spiffe://a/b' }), false, [/"san" match nobody/]],
  ['the same by a pattern', withCaller({ san: '*.example' }), false, [/"san" match nobody/]],
  [
    'the same in a denial',
    withCaller(worker, { deny: [{ callers: [{ san: 'a.example' }] }] }),
    false,
    [/"san" match nobody/],
  ],
  ['certificates that can be shown', withCaller({ san: 'spiffe://a/b' }), true, []],
  [
    'a key that has expired',
    withCaller(worker, { apiKeys: { erp: { sha256: 'ab'.repeat(32), expires: '2020-01-01' } } }),
    true,
    [/apiKeys.erp: no rule names it/, /"erp" has expired/],
  ],
]
for (const [why, policy, certificates, expected] of table) {
  test(`told of: ${why}`, () => {
    const warnings = policyWarnings(policy, { now: noon, certificates })
    assert.equal(warnings.length, expected.length, warnings.join())
    for (const [nth, pattern] of expected.entries()) assert.match(warnings[nth] ?? '', pattern)
  })
}
