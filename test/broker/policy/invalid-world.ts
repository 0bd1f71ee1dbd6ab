import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { cast, graph, type Json, onprem, policyOf } from '../../support/callers.ts'

/** The callers of the valid rule. */
export const callers = [{ issuer: 'onprem', subject: 'system:serviceaccount:billing:*' }]
/** A valid rule. */
export const rule: Json = { name: 'a', callers, tenants: ['contoso'], scopes: [graph] }
/** A valid issuer. */
export const issuer: Json = { issuer: onprem, audiences: ['token-broker'] }

/** A policy whose rule has these changes. */
export const withRule = (changes: Json): Json => ({ ...cast, rules: [{ ...rule, ...changes }] })
/** A policy whose rule has this caller. */
export const withCaller = (caller: unknown): Json => withRule({ callers: [caller] })
/** A policy that grants this scope; `audiences` are those of its issuer. */
export const withScope = (scope: string, audiences?: readonly string[]): Json => ({
  ...withRule({ scopes: [scope] }),
  ...(audiences && { issuers: { onprem: { ...issuer, audiences } } }),
})
/** A policy whose issuer has these changes. */
export const withIssuer = (changes: Json): Json => ({ ...withRule({}), issuers: { onprem: { ...issuer, ...changes } } })
/** A policy with this denial. */
export const withDenial = (denial: Json): Json => ({ ...withRule({}), deny: [denial] })
/** A policy with this API key. */
export const withKey = (key: Json): Json => ({ ...withRule({}), apiKeys: { erp: key } })
/** A valid API key. */
export const key = { sha256: '3c'.repeat(32), expires: '2027-01-31' }
/** SHA-256 of the empty text. */
export const hashOfNothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** The places of a policy's errors, without line and column. */
export function placesOf(policy: Json): readonly string[] {
  try {
    policyOf(policy)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors.map(({ where }) => where.replace(/ \(line.*/, ''))
  }
}

type Table = readonly [policy: Json, where: string, why: string][]

/** Tests that each policy has exactly one error, at this place. */
export const refuses = (table: Table): void => {
  for (const [policy, where, why] of table) {
    test(`${where}: ${why}`, () => assert.deepEqual(placesOf(policy), [where]))
  }
}
