import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { decide } from '../../../src/broker/policy/decide.ts'
import type { Policy } from '../../../src/broker/policy/model.ts'
import { cast, graph, ids, type Json, tokenRequest } from '../../support/callers.ts'

const rule = {
  name: 'everyone',
  callers: [{ issuer: 'onprem', subject: 's*' }],
  tenants: ['contoso'],
  scopes: [graph],
  applications: ['default', 'other', 'again'],
}
const applications = { ...cast.applications, again: ids.application.toUpperCase() }

/** A policy that grants everything but what the YAML of a denial matches. */
const policyWith = (denial: string): Policy =>
  parsePolicy(`
applications: ${JSON.stringify(applications)}
tenants: ${JSON.stringify(cast.tenants)}
issuers: ${JSON.stringify(cast.issuers)}
rules: ${JSON.stringify([rule])}
deny: [${denial}]
`)

function isDenied(policy: Policy, claims: Json, application = 'default'): boolean {
  const caller = { kind: 'jwt', issuer: 'onprem', subject: 's1', claims: { sub: 's1', ...claims } } as const
  return decide(policy, caller, tokenRequest({ application }), ids.home).verdict === 'denied'
}

describe('a denial does not fail open because a value has another type than the claim', () => {
  const table: readonly [inFile: string, claim: unknown, denied: boolean, why: string][] = [
    ['12345', 12345, true, 'a number'],
    ['12345', '12345', true, 'an id without quotes is a number in YAML'],
    ['12345', ['a', '12345'], true, 'in a list too'],
    ['12345', '123456', false, 'another text'],
    ['12345', 'a12345', false, 'another text'],
    ['"12345"', 12345, true, 'a text, while the token has a number'],
    ['0012345', '0012345', true, 'YAML drops the zeros'],
    ['0012345', '12345', true, 'in case of doubt'],
    ['0x1f', '0x1f', true, 'YAML reads a hexadecimal number'],
    ['12e3', '12e3', true, 'a part of an id that looks like an exponent'],
    ['1.0', '1.0', true, 'a version'],
    ['0', '', false, 'an empty text is not zero'],
    ['0', false, false, 'nor is false'],
    ['"9007199254740993"', 9007199254740992, true, 'beyond 2^53 the token has its neighbour'],
    ['"123*"', 12345, true, 'a pattern'],
    ['true', 'true', true, 'a boolean'],
    ['True', 'True', true, 'a boolean in another case'],
    ['"true"', true, true, 'a text, while the token has a boolean'],
    ['true', 1, false, 'one is not true'],
    ['true', 'false', false, 'another boolean'],
    [ids.other.toUpperCase(), ids.other, true, 'the case of a GUID'],
    ['Admin', 'admin', false, 'the case of any other text counts'],
    ['null*', null, false, 'null is no value'],
    ['12345', undefined, false, 'no claim'],
    ['"[object*"', {}, false, 'an object is no value'],
  ]
  for (const [inFile, claim, denied, why] of table) {
    test(`${inFile} ${denied ? 'denies' : 'does not deny'} ${JSON.stringify(claim)}: ${why}`, () => {
      const policy = policyWith(`{ callers: [{ issuer: onprem, claims: { id: ${inFile} } }] }`)
      assert.equal(isDenied(policy, claim === undefined ? {} : { id: claim }), denied)
    })
  }

  test('the case of a GUID in a subject', () => {
    const policy = policyWith(`{ callers: [{ issuer: onprem, subject: ${ids.other.toUpperCase()} }] }`)
    const caller = { kind: 'jwt', issuer: 'onprem', subject: ids.other, claims: { sub: ids.other } } as const
    assert.ok(policy.denials[0]?.callers?.[0]?.matches(caller))
  })

  test('a rule still needs the same type: it grants nothing in case of doubt', () => {
    const granting = parsePolicy(
      JSON.stringify({
        ...cast,
        rules: [{ ...rule, applications: ['default'], callers: [{ issuer: 'onprem', claims: { id: 12345 } }] }],
      }),
    )
    const verdicts = [12345, '12345'].map(id => {
      const caller = { kind: 'jwt', issuer: 'onprem', subject: 's1', claims: { id } } as const
      return decide(granting, caller, tokenRequest(), ids.home).verdict
    })
    assert.deepEqual(verdicts, ['granted', 'denied'])
  })
})

describe('a denial of an application is not evaded by another name', () => {
  const policy = policyWith('{ applications: [default] }')
  const table: readonly [application: string, denied: boolean, why: string][] = [
    ['default', true, 'the name that it lists'],
    ['again', true, 'another name of the same client id'],
    [ids.application, true, 'the client id'],
    ['other', false, 'another application'],
    [ids.other, false, 'the client id of another application'],
  ]
  for (const [application, denied, why] of table) {
    test(`${application}: ${why}`, () => assert.equal(isDenied(policy, {}, application), denied))
  }
})
