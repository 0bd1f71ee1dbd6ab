import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAuthorizeOperation } from '../../../src/broker/authorization/authorize-operation.ts'
import type { Permission } from '../../../src/broker/policy/model.ts'
import { BrokerError } from '../../../src/errors.ts'
import { callerWith, cast, graph, type Json, policyOf, under } from '../../support/callers.ts'

const worker = await callerWith()
const workers = [{ issuer: 'onprem', subject: 'system:serviceaccount:billing:*' }]
const others = [{ issuer: 'onprem', subject: 'system:serviceaccount:sales:*' }]
const request = { requestId: 'request-1', endpoint: 'health', address: '192.0.2.1' }

/** Whether the worker is permitted, and what was reported. */
function decide(permission: Permission, rules: readonly Json[], deny: readonly Json[] = []) {
  const reported: unknown[][] = []
  const named = rules.map((rule, index) => ({ name: `rule ${index}`, ...rule }))
  const policy = policyOf({ ...cast, rules: named, ...(deny.length > 0 && { deny }) })
  const authorizeOperation = createAuthorizeOperation((...facts) => void reported.push(facts))
  const caller = under(policy, worker)
  let error: unknown
  try {
    authorizeOperation(caller, permission, request)
  } catch (thrown) {
    error = thrown
  }
  return { caller, error, reported }
}

const observe = { callers: workers, permissions: ['observe'] }
const both = { callers: workers, permissions: ['purge', 'observe'] }
const purge = { callers: workers, permissions: ['purge'] }
const tokens = { callers: workers, tenants: '*', scopes: [graph] }

type Row = readonly [why: string, permission: Permission, rules: readonly Json[], deny?: readonly Json[]]

describe('a caller is permitted', () => {
  const rows: readonly Row[] = [
    ['a rule gives the permission', 'observe', [observe]],
    ['a rule gives several', 'observe', [both]],
    ['a rule gives several, the other of them', 'purge', [both]],
    ['the second rule gives it', 'purge', [observe, purge]],
    ['a rule gives tokens and the permission', 'observe', [{ ...tokens, ...observe }]],
    ['a denial of tenants is about tokens', 'observe', [observe], [{ tenants: ['contoso'] }]],
    ['a denial of scopes is about tokens', 'observe', [observe], [{ scopes: [graph] }]],
    ['a denial of applications is about tokens', 'observe', [observe], [{ applications: ['default'] }]],
    [
      'a denial of the caller for a tenant is about tokens',
      'observe',
      [observe],
      [{ callers: workers, tenants: ['contoso'] }],
    ],
    [
      'a denial of the caller for a scope is about tokens',
      'observe',
      [observe],
      [{ callers: workers, scopes: [graph] }],
    ],
    ['a denial of another caller', 'observe', [observe], [{ callers: others }]],
  ]
  for (const [why, permission, rules, deny] of rows)
    test(`to ${permission}: ${why}`, () => {
      const { error, reported } = decide(permission, rules, deny)
      assert.deepEqual([error, reported], [undefined, []])
    })
})

describe('a caller is refused', () => {
  const rows: readonly (readonly [reason: string, ...row: Row])[] = [
    ['no_rule', 'a rule for tokens gives no permission', 'observe', [tokens]],
    ['no_rule', 'purge does not include observe', 'observe', [purge]],
    ['no_rule', 'observe does not include purge', 'purge', [observe]],
    ['no_rule', 'a rule of another caller', 'observe', [{ ...observe, callers: others }]],
    ['denied', 'a denial of the caller alone wins', 'observe', [observe], [{ callers: workers }]],
    ['denied', 'the second denial counts too', 'purge', [both], [{ tenants: ['contoso'] }, { callers: workers }]],
    ['denied', 'without a matching rule, a denial is still the reason', 'observe', [tokens], [{ callers: workers }]],
  ]
  for (const [reason, why, permission, rules, deny] of rows)
    test(`to ${permission} (${reason}): ${why}`, () => {
      const { caller, error, reported } = decide(permission, rules, deny)
      assert.ok(error instanceof BrokerError)
      assert.deepEqual([error.code, error.reason], ['not_permitted', reason])
      assert.match(error.message, new RegExp(`"${permission}"`))
      assert.match(error.parts.remedy ?? '', new RegExp(`permissions: \\[${permission}\\]`))
      // Once, with the same facts.
      assert.equal(reported.length, 1)
      assert.deepEqual(reported[0], [request, caller, permission, error])
    })

  test('with the same words for a denial and a missing rule', () => {
    const denied = decide('observe', [observe], [{ callers: workers }]).error
    const missing = decide('observe', [tokens]).error
    assert.ok(denied instanceof BrokerError && missing instanceof BrokerError)
    assert.deepEqual([denied.message, denied.parts.remedy], [missing.message, missing.parts.remedy])
  })
})
