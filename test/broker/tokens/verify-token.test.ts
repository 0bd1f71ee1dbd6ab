import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readToken, verifyToken } from '../../../src/broker/tokens/verify-token.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import { BrokerError } from '../../../src/errors.ts'
import { authorize } from '../../../src/broker/authorization/authorize.ts'
import { tokenRequest, callerWith, cast, encode, grantFor, ids, type Json, policyOf } from '../../support/callers.ts'
import { noon } from '../../support/clock.ts'

const api = '0f0e0d0c-0b0a-4908-8706-050403020100'
const expiresIn = 3600
const exp = noon / 1000 + expiresIn

const tokenWith = (claims: Json): string => `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}.c2lnbmF0dXJl`

/** What Entra puts into a v1 token for Microsoft Graph. */
const v1 = (changes: Json = {}): Json => ({
  aud: 'https://graph.microsoft.com',
  ver: '1.0',
  tid: ids.contoso,
  appid: ids.application,
  exp,
  ...changes,
})

const v2 = (changes: Json = {}): Json =>
  v1({ aud: api, ver: '2.0', appid: undefined, azp: ids.application, ...changes })

const caller = await callerWith()

/** A grant for any scope. */
function grantForScope(scope: string): Grant {
  const callers = [{ issuer: 'onprem', subject: caller.subject }]
  const policy = policyOf({ ...cast, rules: [{ name: 'any', callers, tenants: ['contoso'], scopes: [scope] }] })
  return authorize(policy, caller, tokenRequest({ scope }), undefined)
}

const check = (claims: Json, grant = grantFor()) => verifyToken(grant, { token: tokenWith(claims), expiresIn }, noon)

function refusedFor(reason: string, claims: Json, grant = grantFor()): void {
  assert.throws(
    () => check(claims, grant),
    (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual([thrown.code, thrown.reason], ['upstream_invalid', reason])
      return true
    },
  )
}

describe('a token is accepted', () => {
  const table: readonly [scope: string, claims: Json, why: string][] = [
    ['https://graph.microsoft.com/.default', v1(), 'v1: the resource'],
    ['https://graph.microsoft.com/.default', v1({ aud: 'https://graph.microsoft.com/' }), 'v1: with a slash'],
    ['https://management.azure.com//.default', v1({ aud: 'https://management.azure.com' }), 'v1: without the slash'],
    [`api://${api}/.default`, v1({ aud: `api://${api}` }), 'v1: the application ID URI'],
    [`api://${api}/.default`, v1({ aud: api }), 'v1: the GUID in it'],
    [
      'https://api.contoso.com/.default',
      v1({ aud: api }),
      'v1 with use_guid: the client id, though a URI is requested',
    ],
    ['https://api.contoso.com/.default', v1({ aud: api.toUpperCase(), ver: undefined }), 'a GUID, without a version'],
    [`api://${ids.home}/.default`, v1({ aud: api }), 'v1: a GUID that the scope does not contain'],
    [`api://${api}/.default`, v1({ aud: `spn:${api}` }), 'v1: spn: and the client id'],
    ['https://api.contoso.com/.default', v1({ aud: `spn:${api}` }), 'v1: the same, though a URI is requested'],
    ['https://api.contoso.com/.default', v1({ aud: 'spn:https://api.contoso.com/' }), 'v1: spn: and the URI'],
    [`spn:${api}/.default`, v1({ aud: `spn:${api}` }), 'v1: requested with spn:'],
    [`spn:${api}/.default`, v1({ aud: api }), 'v1: the same, and the client id comes'],
    [
      'spn:https://api.contoso.com/.default',
      v1({ aud: 'https://api.contoso.com' }),
      'v1: requested with spn: and a URI',
    ],
    [`api://${api.toUpperCase()}/.default`, v1({ aud: api }), 'v1: the GUID in it, in any case'],
    [`api://${ids.home}/${api}/.default`, v1({ aud: api }), 'v1: any GUID in it'],
    [`${api}/.default`, v1({ aud: api.toUpperCase() }), 'v1: requested by client id'],
    ['https://graph.microsoft.com/.default', v2(), "v2: the API's client id, which the scope does not name"],
    ['https://graph.microsoft.com/.default', v2({ tid: ids.contoso.toUpperCase() }), 'the tenant in any case'],
    ['https://graph.microsoft.com/.default', v2({ azp: ids.application.toUpperCase() }), 'the application in any case'],
  ]
  for (const [scope, claims, why] of table) {
    test(`for ${scope}: ${why}`, () => assert.equal(check(claims, grantForScope(scope)), exp * 1000))
  }
})

describe('a token is discarded', () => {
  const table: readonly [reason: string, claims: Json, why: string][] = [
    ['wrong_tenant', v1({ tid: ids.fabrikam }), "another tenant's token"],
    ['wrong_tenant', v2({ tid: ids.fabrikam }), "another tenant's v2 token"],
    ['wrong_tenant', v1({ tid: undefined }), 'no tenant'],
    ['wrong_tenant', v1({ tid: [ids.contoso] }), 'tenant as a list'],
    ['wrong_tenant', v1({ tid: `${ids.contoso} ` }), 'tenant with a space'],
    ['wrong_application', v1({ appid: ids.other }), "another application's token"],
    ['wrong_application', v2({ azp: ids.other }), "another application's v2 token"],
    ['wrong_application', v1({ appid: undefined }), 'no application'],
    ['wrong_application', v1({ appid: ids.other, azp: ids.application }), 'appid counts if there are both'],
    ['wrong_audience', v1({ aud: 'https://management.azure.com' }), 'another resource'],
    ['wrong_audience', v1({ aud: 'https://graph.microsoft.com.evil' }), 'a resource that begins like it'],
    ['wrong_audience', v1({ aud: 'https://graph.microsoft.com//' }), 'one slash is ignored, not two'],
    ['wrong_audience', v1({ aud: 'spn:https://management.azure.com' }), 'spn: and another resource'],
    ['wrong_audience', v1({ aud: 'fb60f99c-7a34-4190-8149-302f77469936' }), 'the client id of AzureADTokenExchange'],
    ['wrong_audience', v2({ aud: 'FB60F99C-7A34-4190-8149-302F77469936' }), 'the same in a v2 token, in any case'],
    ['wrong_audience', v1({ aud: 'spn:fb60f99c-7a34-4190-8149-302f77469936' }), 'the same with spn:'],
    ['wrong_audience', v1({ aud: `spn:spn:${api}` }), 'spn: twice'],
    ['wrong_audience', v1({ aud: `${api}/` }), 'a GUID with a slash'],
    ['wrong_audience', v1({ aud: `api://${api}` }), 'a URI with a GUID, where another URI is requested'],
    ['wrong_tenant', v1({ aud: api, tid: ids.fabrikam }), "a GUID in another tenant's token"],
    ['wrong_application', v1({ aud: api, appid: ids.other }), "a GUID in another application's token"],
    ['wrong_expiry', v1({ aud: api, exp: exp + 301 }), 'a GUID in a token with another expiry'],
    ['wrong_audience', v2({ aud: 'https://management.azure.com' }), 'v2 with another URI'],
    ['wrong_audience', v1({ aud: undefined }), 'no audience'],
    ['wrong_audience', v1({ aud: ['https://graph.microsoft.com'] }), 'audience as a list, which Entra never issues'],
    ['wrong_expiry', v1({ exp: undefined }), 'no expiry'],
    ['wrong_expiry', v1({ exp: null }), 'expiry null'],
    ['wrong_expiry', v1({ exp: 'soon' }), 'expiry as text'],
    ['wrong_expiry', v1({ exp: exp + 301 }), 'a second more than five minutes later than expires_in says'],
    ['wrong_expiry', v1({ exp: exp - 301 }), 'a second more than five minutes earlier'],
    ['wrong_expiry', v1({ exp: 0 }), 'long ago'],
    ['wrong_kind', v1({ scp: 'User.Read' }), 'a delegated token'],
    ['wrong_kind', v2({ scp: 'User.Read' }), 'a delegated v2 token'],
    ['wrong_kind', v1({ scp: '' }), 'without any scope'],
    ['wrong_kind', v1({ scp: null }), 'scp null'],
    ['wrong_kind', v1({ idtyp: 'user' }), 'said to be of a user'],
    ['wrong_tenant', v1({ tid: ids.fabrikam, scp: 'x' }), 'the worse of two reasons'],
  ]
  for (const [reason, claims, why] of table) test(`${reason}: ${why}`, () => refusedFor(reason, claims))

  test('and the message contains nothing of it', () => {
    assert.throws(
      () => check(v1({ tid: 'secret-of-the-token' })),
      (thrown: unknown) => thrown instanceof BrokerError && !thrown.message.includes('secret-of-the-token'),
    )
  })
})

describe('the token of a response', () => {
  const token = 'EwBwA8l6BAAU…'.replace('…', '')
  const accepted: readonly (readonly [body: Json, why: string])[] = [
    [{ access_token: token, token_type: 'Bearer' }, 'as Entra writes it'],
    [{ access_token: token, token_type: 'bearer' }, 'the type in any case (RFC 6749 §5.1)'],
    [{ access_token: '!~', token_type: 'BEARER' }, 'the first and the last visible character'],
  ]
  for (const [body, why] of accepted)
    test(`is read: ${why}`, () => assert.equal(readToken(body, 'Entra'), body['access_token']))
  const refused: readonly (readonly [reason: string, body: Json, why: string])[] = [
    ['malformed_token', { token_type: 'Bearer' }, 'none'],
    ['malformed_token', { access_token: '' }, 'empty'],
    ['malformed_token', { access_token: 12345 }, 'a number'],
    ['malformed_token', { access_token: null }, 'null'],
    ['malformed_token', { access_token: [token] }, 'a list'],
    ['malformed_token', { access_token: { token } }, 'an object'],
    ['malformed_token', { access_token: `${token}\r\nx-evil: 1` }, 'a second line'],
    ['malformed_token', { access_token: `${token}\n` }, 'a line break at the end'],
    ['malformed_token', { access_token: `${token} x` }, 'a space'],
    ['malformed_token', { access_token: `${token}\u0000` }, 'NUL'],
    ['malformed_token', { access_token: `${token}\u007f` }, 'DEL'],
    ['malformed_token', { access_token: `${token}é` }, 'beyond ASCII'],
    ['malformed_token', { access_token: `${token}\u2028` }, 'a line separator'],
    ['not_bearer', { access_token: token }, 'no type'],
    ['not_bearer', { access_token: token, token_type: 'MAC' }, 'another type'],
    ['not_bearer', { access_token: token, token_type: 'pop' }, 'bound to a key that the caller does not have'],
    ['not_bearer', { access_token: token, token_type: 'Bearer ' }, 'with a space'],
    ['not_bearer', { access_token: token, token_type: ['Bearer'] }, 'a list'],
  ]
  for (const [reason, body, why] of refused)
    test(`is ${reason}: ${why}`, () => {
      assert.throws(
        () => readToken(body, 'Entra'),
        (thrown: unknown) =>
          thrown instanceof BrokerError && thrown.reason === reason && !thrown.message.includes(token),
      )
    })
})

describe('an expiry that differs from expires_in is accepted within five minutes', () => {
  for (const seconds of [300, -300]) {
    test(`${seconds} s`, () => assert.equal(check(v1({ exp: exp + seconds })), (exp + seconds) * 1000))
  }
})

describe('a token that is not a readable JWT is accepted as it is', () => {
  const table: readonly [token: string, why: string][] = [
    ['EwBwA8l6BAAU…opaque', 'opaque, as personal accounts get'],
    ['a.b.c.d.e', 'encrypted: five parts'],
    ['a.b.c', 'three parts that are not base64url JSON'],
    [`${encode({})}.${encode([])}.x`, 'claims that are not an object'],
    ['', 'nothing'],
  ]
  for (const [token, why] of table) {
    test(why, () => assert.equal(verifyToken(grantFor(), { token, expiresIn }, noon), undefined))
  }
})
