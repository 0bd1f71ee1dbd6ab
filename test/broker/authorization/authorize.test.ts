import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { TokenRequest, Policy } from '../../../src/broker/policy/model.ts'
import { authorize, type Grant } from '../../../src/broker/authorization/authorize.ts'
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

const worker = { issuer: 'onprem', subject: 'system:serviceaccount:billing:worker' }
const rule: Json = { name: 'first', callers: [worker], tenants: ['contoso'], scopes: [graph] }

const policyWith = (rules: readonly Json[], deny?: readonly Json[]): Policy =>
  policyOf({ ...cast, rules, ...(deny && { deny }) })

/** The outcome of a request: the rule that grants it, or the error's code and reason. */
function outcome(policy: Policy, caller: Caller, request: TokenRequest, homeTenant: string | undefined): string {
  try {
    return authorize(policy, caller, request, homeTenant).rule
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    return thrown.code === thrown.reason ? thrown.code : `${thrown.code}: ${thrown.reason}`
  }
}

const caller = await callerWith()
const stranger = await callerWith({ sub: 'system:serviceaccount:web:worker' })
/** The same subject, of another issuer. */
const namesake = await callerWith({ iss: entraIssuer, azp: ids.other })

describe('a rule grants what it names, to whom it names', () => {
  const policy = policyWith([
    rule,
    { ...rule, name: 'second', tenants: [ids.fabrikam], scopes: [arm], applications: ['other'] },
  ])
  const no = 'not_permitted: no_rule'
  const table: readonly [who: Caller, request: Partial<TokenRequest>, expected: string, why: string][] = [
    [caller, {}, 'first', 'the tenant by its id'],
    [caller, { tenant: 'contoso' }, 'first', 'the tenant by its name'],
    [caller, { tenant: ids.fabrikam, scope: arm, application: 'other' }, 'second', 'a tenant that the rule has by id'],
    [caller, { tenant: 'fabrikam', scope: arm, application: 'other' }, 'second', 'and the request by name'],
    [caller, { tenant: ids.fabrikam }, no, 'another tenant'],
    [caller, { scope: arm }, no, 'another scope'],
    [caller, { application: 'other' }, no, 'another application'],
    [caller, { tenant: ids.fabrikam, scope: arm }, no, 'all but the application'],
    [caller, { scope: graph.replace('https', 'HTTPS') }, no, 'scopes are compared byte for byte'],
    [caller, { scope: 'https://graph.microsoft.com//.default' }, no, 'scopes are compared byte for byte'],
    [stranger, {}, no, 'another subject'],
    [namesake, {}, no, "the subject of another issuer's token"],
    [caller, { tenant: 'nowhere' }, 'not_permitted: unknown_target', 'a tenant without an id'],
    [caller, { application: 'nothing' }, 'not_permitted: unknown_target', 'an application that is not listed'],
    [caller, { tenant: 'constructor' }, 'not_permitted: unknown_target', "an inherited property's name as tenant"],
    [caller, { application: '__proto__' }, 'not_permitted: unknown_target', 'or as application'],
    [caller, { tenant: ids.home }, no, 'a tenant that no rule names'],
    [caller, { application: ids.application }, 'first', 'the application by its client id'],
    [caller, { application: ids.other }, no, 'the client id of another application'],
    [caller, { application: ids.home }, 'not_permitted: unknown_client_id', 'a client id of no application'],
    [
      caller,
      { application: ids.home, tenant: 'nowhere' },
      'not_permitted: unknown_client_id',
      'neither client id nor tenant: the client id is the reason in the log',
    ],
    [caller, { application: ids.application, tenant: 'nowhere' }, 'not_permitted: unknown_target', 'only the tenant'],
  ]
  for (const [who, request, expected, why] of table) {
    test(`${expected} for ${JSON.stringify(request)}: ${why}`, () => {
      assert.equal(outcome(policy, who, tokenRequest(request), ids.home), expected)
    })
  }
})

describe('a client id that several applications of the policy share', () => {
  const policyFor = (deny?: readonly Json[]) =>
    policyOf({
      ...cast,
      applications: { one: ids.other, two: ids.other },
      rules: [{ ...rule, applications: ['two'] }],
      ...(deny && { deny }),
    })
  const request = tokenRequest({ application: ids.other })

  test('is granted if one of them is, as that one', () => {
    const { application, clientId } = authorize(policyFor(), caller, request, ids.home)
    assert.deepEqual([application, clientId], ['two', ids.other])
  })
  test('is refused if that one is denied', () => {
    assert.equal(outcome(policyFor([{ applications: ['two'] }]), caller, request, ids.home), 'not_permitted: denied')
  })
})

test('a grant says what it is for, with ids in place of names', () => {
  const policy = policyWith([rule])
  const grant = authorize(policy, caller, tokenRequest({ tenant: 'contoso' }), undefined)
  const { application, clientId, tenant, scope, policyVersion } = grant
  assert.deepEqual(
    { application, clientId, tenant, scope, policyVersion },
    {
      application: 'default',
      clientId: ids.application,
      tenant: ids.contoso,
      scope: graph,
      policyVersion: policy.version,
    },
  )
  assert.equal(grant.caller, caller)
  assert.ok(Object.isFrozen(grant))
})

describe('the key of a grant', () => {
  const all = { tenants: '*', scopes: [graph, arm, 'a/.default'], applications: ['default', 'other'] }
  const policy = policyWith([{ ...rule, ...all, callers: [worker, { ...worker, subject: stranger.subject }] }])
  const grant = (request: Partial<TokenRequest>, who = caller): Grant =>
    authorize(policy, who, tokenRequest(request), ids.home)

  const table: readonly [request: Partial<TokenRequest>, why: string][] = [
    [{ tenant: ids.fabrikam }, 'tenants'],
    [{ application: 'other' }, 'applications'],
    [{ scope: arm }, 'scopes'],
  ]
  for (const [request, why] of table) {
    test(`separates ${why}`, () => assert.notEqual(grant(request).key, grant({}).key))
  }

  test('is the same for every caller, and for a tenant by id or by name', () => {
    assert.equal(grant({}, stranger).key, grant({}).key)
    assert.equal(grant({ tenant: 'contoso' }).key, grant({}).key)
  })
})

describe('a refusal reveals nothing', () => {
  const policy = policyWith([rule], [{ tenants: ['fabrikam'] }])
  const table: readonly [request: Partial<TokenRequest>, why: string][] = [
    [{ tenant: 'fabrikam' }, 'a tenant that is denied'],
    [{ tenant: 'nowhere' }, 'a tenant that is not listed'],
    [{ tenant: ids.home }, 'an id that nothing names'],
    [{ application: 'nothing' }, 'an application that is not listed'],
    [{ application: 'other' }, 'an application that is listed'],
    [{ scope: arm }, 'a scope that nothing grants'],
    [{ scope: 'arm' }, 'a name of a scope that is not listed'],
  ]
  for (const [request, why] of table) {
    test(`the response is the same for ${why}, with what the caller sent`, () => {
      const { tenant, scope, application } = tokenRequest(request)
      const detail =
        'No rule of the policy grants this caller this tenant, scope and application. The request is for tenant ' +
        `"${tenant}", scope "${scope}", application "${application}". The broker recognised the caller as the subject ` +
        `"${worker.subject}" of the issuer "onprem".`
      assert.throws(
        () => authorize(policy, caller, tokenRequest(request), ids.home),
        (thrown: unknown) => {
          assert.ok(thrown instanceof BrokerError)
          const { reason: _, remedy = '', ...others } = thrown.parts
          assert.match(remedy, /^Check the spelling .+ request a rule from the operator of the broker/)
          assert.deepEqual(
            [thrown.code, thrown.message, thrown.retryAfter, others],
            ['not_permitted', detail, undefined, {}],
          )
          return true
        },
      )
    })
  }
})

describe('a denial wins over every rule', () => {
  const allow: Json = { ...rule, tenants: '*', scopes: [graph, arm], applications: ['default', 'other'] }
  const denied = 'not_permitted: denied'
  const table: readonly [deny: Json, expected: string, why: string][] = [
    [{ tenants: ['contoso'] }, denied, 'the tenant, by name'],
    [{ tenants: [ids.contoso.toUpperCase()] }, denied, 'the tenant, by id in any case'],
    [{ scopes: [graph] }, denied, 'the scope'],
    [{ applications: ['default'] }, denied, 'the application'],
    [{ callers: [worker] }, denied, 'the caller'],
    [{ callers: [{ issuer: 'onprem' }] }, denied, 'every caller of the issuer'],
    [{ callers: [{ issuer: 'onprem', claims: { aud: 'token-broker' } }] }, denied, 'by a claim that all of them have'],
    [{ callers: [{ issuer: 'entra' }, worker] }, denied, 'one caller of several'],
    [{ callers: [worker], tenants: ['contoso'], scopes: [graph], applications: ['default'] }, denied, 'every part'],
    [{ tenants: ['fabrikam'] }, 'first', 'another tenant'],
    [{ scopes: [arm] }, 'first', 'another scope'],
    [{ applications: ['other'] }, 'first', 'another application'],
    [{ callers: [{ issuer: 'entra' }] }, 'first', 'callers of another issuer'],
    [{ callers: [worker], tenants: ['fabrikam'] }, 'first', 'the caller, but another tenant: every part must match'],
    [{ callers: [{ san: 'spiffe://a/b' }] }, 'first', 'a kind of caller that this one is not'],
  ]
  for (const [deny, expected, why] of table) {
    test(`${expected}: ${why}`, () => {
      assert.equal(
        outcome(policyWith([allow, { ...rule, name: 'later' }], [deny]), caller, tokenRequest(), ids.home),
        expected,
      )
    })
  }

  test('also while the home tenant is unknown', () => {
    const policy = policyWith([allow], [{ tenants: ['contoso'] }])
    assert.throws(() => authorize(policy, caller, tokenRequest(), undefined), { code: 'not_permitted' })
  })
})

describe('the wildcard for tenants', () => {
  const wild: Json = { ...rule, name: 'wild', tenants: '*' }
  const named: Json = { ...rule, name: 'named', tenants: [ids.home] }
  const unknown = 'identity_unavailable'
  const table: readonly [rules: Json[], tenant: string, home: string | undefined, expected: string, why: string][] = [
    [[wild], ids.contoso, ids.home, 'wild', 'a tenant of the policy'],
    [[wild], ids.other, ids.home, 'wild', 'a tenant that the policy does not name'],
    [[wild], ids.home, ids.home, 'not_permitted: no_rule', 'not the home tenant'],
    [[wild, named], ids.home, ids.home, 'named', 'the home tenant, where another rule names it'],
    [[wild], ids.contoso, undefined, unknown, 'is undecided while the home tenant is unknown'],
    [[wild], ids.home, undefined, unknown, 'for the home tenant too'],
    [[named], ids.home, undefined, 'named', 'a rule that names its tenants needs no home tenant'],
    [[wild, { ...named, tenants: ['contoso'] }], ids.contoso, undefined, 'named', 'a later rule decides'],
    [
      [{ ...wild, scopes: [arm] }],
      ids.contoso,
      undefined,
      'not_permitted: no_rule',
      'of another scope decides nothing',
    ],
    [
      [{ ...wild, callers: [{ issuer: 'entra', subject: 'x' }] }],
      ids.contoso,
      undefined,
      'not_permitted: no_rule',
      'of another caller decides nothing',
    ],
  ]
  for (const [rules, tenant, home, expected, why] of table) {
    test(`${expected}: ${why}`, () => {
      const policy = policyWith(rules)
      assert.equal(outcome(policy, caller, tokenRequest({ tenant }), home), expected)
    })
  }
})
