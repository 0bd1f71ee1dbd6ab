import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { authenticator, goodClaims, ids, issuerWith, type Json, makeKey, mint } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const key = makeKey()

/** `accepted`, or why a token of an issuer with these claims is refused. */
async function verdict(iss: string, claims: Json): Promise<string> {
  try {
    await authenticator(
      [issuerWith([key.jwk], { issuer: iss })],
      movableClock(),
    )(mint(key, goodClaims({ iss, ...claims })))
    return 'accepted'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    return thrown.reason
  }
}

describe("the forms of Entra's issuers", () => {
  const home = ids.home
  const entra = [
    `https://login.microsoftonline.com/${home}/v2.0`,
    `https://login.microsoftonline.us/${home}/v2.0`,
    `https://login.partner.microsoftonline.cn/${home}/v2.0`,
    `https://login.chinacloudapi.cn/${home}/`,
    `https://sts.windows.net/${home}/`,
    `https://sts.chinacloudapi.cn/${home}/`,
    `https://login.windows.net/${home}/`,
    `https://login.usgovcloudapi.net/${home}/`,
    `https://login.sovcloud-identity.fr/${home}/v2.0`,
    `https://login.sovcloud-identity.de/${home}/v2.0`,
    `https://login.sovcloud-identity.sg/${home}/v2.0`,
    `https://sts.sovcloud-identity.fr/${home}/`,
    `https://${home}.ciamlogin.com/${home}/v2.0`,
    'https://contoso.ciamlogin.com/any',
    `https://contoso.b2clogin.com/${home}/v2.0/`,
    `https://contoso.b2clogin.com/tfp/${home}/b2c_1_sign_in/v2.0/`,
    `https://login.contoso.com/${home}/v2.0`,
    `https://login.contoso.com/${home}/v2.0/`,
    `https://login.contoso.com/tfp/${home}/b2c_1_sign_in/v2.0/`,
  ]
  for (const iss of entra) {
    test(`${iss} is Entra: an ID token and a delegated token are refused, an application token is accepted`, async () => {
      assert.equal(await verdict(iss, {}), 'claims')
      assert.equal(await verdict(iss, { azp: ids.other, scp: 'User.Read' }), 'delegated')
      assert.equal(await verdict(iss, { azp: ids.other }), 'accepted')
    })
  }

  const others = [
    'https://b2clogin.com.example/any',
    'https://notb2clogin.com/any',
    'https://login.sovcloud-identity.fr.example/any',
    'https://sovcloud-identity.com/any',
    `https://westeurope.oic.prod-aks.azure.com/${home}/${ids.other}/`,
    'https://issuer.example/v2.0',
    'https://token.actions.githubusercontent.com',
  ]
  for (const iss of others) {
    test(`${iss} is not Entra: its rules do not apply`, async () => {
      assert.equal(await verdict(iss, { scp: 'a' }), 'accepted')
    })
  }
})
