import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAuthorize } from '../../../src/broker/authorization/authorize.ts'
import { arm, tokenRequest, callerWith, cast, entraIssuer, graph, ids, policyOf } from '../../support/callers.ts'

const callers = [{ issuer: 'onprem', subject: 'system:serviceaccount:billing:worker' }]
const policy = policyOf({ ...cast, rules: [{ name: 'first', callers, tenants: '*', scopes: [graph] }] })

const caller = await callerWith({}, policy)
const stranger = await callerWith({ sub: 'system:serviceaccount:web:worker' }, policy)
/** The same subject, of another issuer. */
const namesake = await callerWith({ iss: entraIssuer, azp: ids.other }, policy)

describe('cached grants', () => {
  test('the same request gets the same grant, however often it was parsed', () => {
    const decide = createAuthorize(() => ids.home)
    const request = tokenRequest()
    const grant = decide(caller, request)
    assert.equal(decide(caller, request), grant)
    assert.equal(decide(caller, tokenRequest()), grant)
  })

  test('another caller gets its own decision', () => {
    const decide = createAuthorize(() => ids.home)
    const request = tokenRequest()
    decide(caller, request)
    assert.throws(() => decide(stranger, request), { code: 'not_permitted' })
    assert.throws(() => decide(namesake, request), { code: 'not_permitted' })
  })

  test('another request gets its own decision', () => {
    const decide = createAuthorize(() => ids.home)
    decide(caller, tokenRequest())
    assert.throws(() => decide(caller, tokenRequest({ scope: arm })), { code: 'not_permitted' })
    assert.throws(() => decide(caller, tokenRequest({ tenant: ids.home })), { code: 'not_permitted' })
    assert.equal(decide(caller, tokenRequest({ tenant: ids.fabrikam })).tenant, ids.fabrikam)
  })

  test('a refusal is decided anew each time', () => {
    const decide = createAuthorize(() => ids.home)
    const request = tokenRequest({ scope: arm })
    for (let nth = 0; nth < 3; nth++) assert.throws(() => decide(caller, request), { code: 'not_permitted' })
  })

  test('requests beyond the bound of the cache are still decided', () => {
    const decide = createAuthorize(() => ids.home)
    const first = tokenRequest()
    const grant = decide(caller, first)
    for (let nth = 0; nth < 100_001; nth++) {
      decide(caller, tokenRequest({ tenant: `00000000-0000-4000-8000-${String(nth).padStart(12, '0')}` }))
    }
    assert.notEqual(decide(caller, first), grant, 'removed, so that memory is bounded')
    assert.deepEqual(decide(caller, first), grant)
    assert.throws(() => decide(stranger, first), { code: 'not_permitted' })
  })

  test('what was undecided is decided once the home tenant is known', () => {
    let home: string | undefined
    const decide = createAuthorize(() => home)
    const request = tokenRequest()
    assert.throws(() => decide(caller, request), { code: 'identity_unavailable' })
    home = ids.home
    assert.equal(decide(caller, request).rule, 'first')
  })
})
