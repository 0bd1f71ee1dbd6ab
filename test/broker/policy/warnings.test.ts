import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyWarnings } from '../../../src/broker/policy/file/warnings.ts'
import { cast, graph, type Json, policyOf } from '../../support/callers.ts'
import { noon } from '../../support/clock.ts'

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
  ['certificates that are not accepted', withCaller({ san: 'spiffe://a/b' }), false, [/"san" match no caller/]],
  ['the same by a pattern', withCaller({ san: '*.example' }), false, [/"san" match no caller/]],
  [
    'the same in a denial',
    withCaller(worker, { deny: [{ callers: [{ san: 'a.example' }] }] }),
    false,
    [/"san" match no caller/],
  ],
  ['certificates that are accepted', withCaller({ san: 'spiffe://a/b' }), true, []],
  [
    'a key that has expired',
    withCaller(worker, { apiKeys: { erp: { sha256: 'ab'.repeat(32), expires: '2020-01-01' } } }),
    true,
    [/apiKeys.erp: no rule refers to it/, /"erp" has expired/],
  ],
]
for (const [why, policy, certificates, expected] of table) {
  test(`warns of: ${why}`, () => {
    const warnings = policyWarnings(policy, { now: noon, certificates })
    assert.equal(warnings.length, expected.length, warnings.join())
    for (const [nth, pattern] of expected.entries()) assert.match(warnings[nth] ?? '', pattern)
  })
}

const tenant = '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c03'
const slashes: readonly [why: string, issuer: string, issuerInTokens: string | undefined][] = [
  ['v2.0', `https://login.microsoftonline.com/${tenant}/v2.0`, undefined],
  [
    'v2.0 with a slash',
    `https://login.microsoftonline.com/${tenant}/v2.0/`,
    `https://login.microsoftonline.com/${tenant}/v2.0`,
  ],
  [
    'v2.0 with a slash, US Government',
    `https://login.microsoftonline.us/${tenant}/v2.0/`,
    `https://login.microsoftonline.us/${tenant}/v2.0`,
  ],
  [
    'v2.0 with a slash, China',
    `https://login.partner.microsoftonline.cn/${tenant}/v2.0/`,
    `https://login.partner.microsoftonline.cn/${tenant}/v2.0`,
  ],
  ['v1.0', `https://sts.windows.net/${tenant}/`, undefined],
  ['v1.0 without its slash', `https://sts.windows.net/${tenant}`, `https://sts.windows.net/${tenant}/`],
  [
    'v1.0 without its slash, China',
    `https://sts.chinacloudapi.cn/${tenant}`,
    `https://sts.chinacloudapi.cn/${tenant}/`,
  ],
  [
    'neither v1.0 nor v2.0',
    `https://login.microsoftonline.com/${tenant}`,
    `https://login.microsoftonline.com/${tenant}/v2.0" or, in v1.0, "https://sts.windows.net/${tenant}/`,
  ],
  [
    'neither v1.0 nor v2.0, with a slash, US Government',
    `https://login.microsoftonline.us/${tenant}/`,
    `https://login.microsoftonline.us/${tenant}/v2.0`,
  ],
  [
    'v2.0 with a slash, France',
    `https://login.sovcloud-identity.fr/${tenant}/v2.0/`,
    `https://login.sovcloud-identity.fr/${tenant}/v2.0`,
  ],
  ['a domain of its customer, where B2C has a slash', `https://login.example.com/${tenant}/v2.0/`, undefined],
  ['no Entra without one', `https://sts.example.com/${tenant}`, undefined],
  ['B2C, whose tokens have a slash', `https://contoso.b2clogin.com/${tenant}/v2.0/`, undefined],
]
for (const [why, issuer, issuerInTokens] of slashes) {
  test(`an issuer of Entra that is wrong at its end is reported with the right one: ${why}`, () => {
    const policy = withCaller(worker, { issuers: { onprem: { ...cast.issuers.onprem, issuer } } })
    const warnings = policyWarnings(policy, { now: noon, certificates: true })
    const expected = `issuers.onprem.issuer: matches no token, because the iss of Entra's tokens is "${issuerInTokens}"`
    assert.deepEqual(warnings, issuerInTokens === undefined ? [] : [expected])
  })
}

const tenants = ['common', 'organizations', 'consumers', '{tenantid}', 'contoso.onmicrosoft.com', '']
for (const wrong of tenants) {
  for (const issuer of [`https://login.microsoftonline.com/${wrong}/v2.0`, `https://sts.windows.net/${wrong}/`]) {
    test(`an issuer of Entra without the id of one tenant is reported: ${issuer}`, () => {
      const policy = withCaller(worker, { issuers: { onprem: { ...cast.issuers.onprem, issuer } } })
      const expected = `issuers.onprem.issuer: matches no token, because the iss of Entra's tokens has the id of one tenant, not "${wrong}"`
      assert.deepEqual(policyWarnings(policy, { now: noon, certificates: true }), [expected])
    })
  }
}

const audiences: readonly [issuer: string, audience: string, reported: boolean][] = [
  [`https://login.microsoftonline.com/${tenant}/v2.0`, 'api://token-broker', true],
  [`https://login.microsoftonline.us/${tenant}/v2.0`, `api://${tenant}`, true],
  [`https://login.microsoftonline.com/${tenant}/v2.0`, tenant, false],
  [`https://sts.windows.net/${tenant}/`, 'api://token-broker', false],
  ['https://issuer.example/v2.0', 'api://token-broker', false],
]
for (const [issuer, audience, reported] of audiences) {
  test(`${audience} as the audience of ${issuer} is ${reported ? 'reported' : 'accepted'}`, () => {
    const policy = withCaller(worker, { issuers: { onprem: { issuer, audiences: [audience] } } })
    const expected = `issuers.onprem.audiences: matches no token, because the aud of Entra's v2.0 tokens is the client id of the API, not "${audience}"`
    assert.deepEqual(policyWarnings(policy, { now: noon, certificates: true }), reported ? [expected] : [])
  })
}
