import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ExchangeTarget } from '../../../src/broker/events.ts'
import { refuseDelegated, verifyBlueprintToken, verifyToken } from '../../../src/broker/tokens/verify-token.ts'
import { encode, ids, type Json } from '../../support/callers.ts'
import { noon } from '../../support/clock.ts'

const expiresIn = 3600
const exp = noon / 1000 + expiresIn

const tokenWith = (claims: Json): string => `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}.c2lnbmF0dXJl`

/** What Entra puts into a token for Microsoft Graph, besides its client. */
const graphToken = (changes: Json): Json => ({
  aud: 'https://graph.microsoft.com',
  ver: '1.0',
  tid: ids.contoso,
  exp,
  ...changes,
})

describe('a token of an agent identity', () => {
  const agentId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1aa1'
  const target = {
    clientId: ids.application,
    agentId,
    tenant: ids.contoso,
    scope: 'https://graph.microsoft.com/.default',
  }
  const verify = (claims: Json, wanted: ExchangeTarget = target) =>
    verifyToken(wanted, { token: tokenWith(claims), expiresIn }, noon)
  const ofAgent = (changes: Json = {}): Json =>
    graphToken({ appid: agentId, idtyp: 'app', xms_par_app_azp: ids.application, ...changes })

  const accepted: readonly (readonly [claims: Json, why: string])[] = [
    [ofAgent(), 'v1'],
    [graphToken({ aud: ids.other, ver: '2.0', azp: agentId.toUpperCase(), idtyp: 'app' }), 'v2, in any case'],
    [ofAgent({ xms_par_app_azp: undefined }), 'without its blueprint, since that claim is optional'],
    [ofAgent({ xms_par_app_azp: ids.application.toUpperCase() }), 'its blueprint in any case'],
    [ofAgent({ scp: '' }), 'Microsoft: scp of an application token may be empty'],
    [ofAgent({ scp: '/' }), 'Microsoft: or a slash'],
  ]
  for (const [claims, why] of accepted) test(`is accepted: ${why}`, () => assert.equal(verify(claims), exp * 1000))

  const refused: readonly (readonly [reason: string, claims: Json, why: string])[] = [
    ['wrong_application', ofAgent({ appid: ids.application }), 'of the blueprint itself'],
    ['wrong_application', ofAgent({ appid: ids.other }), 'of another agent identity'],
    ['wrong_application', ofAgent({ appid: undefined }), 'of no client'],
    ['wrong_application', ofAgent({ xms_par_app_azp: ids.other }), 'of another blueprint'],
    ['wrong_application', ofAgent({ xms_par_app_azp: 7 }), 'with a blueprint that is no text'],
    ['wrong_tenant', ofAgent({ tid: ids.fabrikam }), 'of another tenant'],
    ['wrong_kind', ofAgent({ scp: 'User.Read' }), 'with a permission of a user'],
    ['wrong_kind', ofAgent({ scp: '/', idtyp: 'user' }), 'of the user of an agent'],
    ['wrong_kind', ofAgent({ scp: '/', idtyp: undefined }), 'unscoped, without saying that it is an application token'],
    ['wrong_kind', ofAgent({ scp: ' ' }), 'with a blank scp'],
    ['wrong_audience', ofAgent({ aud: 'api://AzureADTokenExchange' }), "the blueprint's token in its place"],
  ]
  for (const [reason, claims, why] of refused)
    test(`is refused: ${why}`, () => assert.throws(() => verify(claims), { code: 'upstream_invalid', reason }))

  test('is not one of the application, nor the other way round', () => {
    assert.throws(() => verify(ofAgent(), { ...target, agentId: undefined }), { reason: 'wrong_application' })
    assert.throws(() => verify(graphToken({ appid: ids.application })), { reason: 'wrong_application' })
  })

  test('passes from broker to caller', () => {
    assert.doesNotThrow(() => refuseDelegated(tokenWith(ofAgent({ scp: '/' })), 'The broker'))
  })

  const blueprint: readonly (readonly [reason: string | undefined, claims: Json, why: string])[] = [
    [undefined, { tid: ids.contoso }, 'of the tenant'],
    [undefined, { tid: ids.contoso.toUpperCase(), aud: ids.other, sub: '/eid1/x' }, 'whatever else it says'],
    [undefined, {}, 'without a tenant'],
    ['wrong_tenant', { tid: ids.home }, 'of another tenant'],
    ['wrong_tenant', { tid: 7 }, 'of a tenant that is no text'],
    ['wrong_kind', { tid: ids.contoso, idtyp: 'user' }, 'of a user'],
  ]
  for (const [reason, claims, why] of blueprint)
    test(`the blueprint's token before it: ${reason ?? 'accepted'}, ${why}`, () => {
      const verifyIt = () => verifyBlueprintToken(target, tokenWith(claims))
      if (reason === undefined) assert.doesNotThrow(verifyIt)
      else assert.throws(verifyIt, { code: 'upstream_invalid', reason })
    })
})
