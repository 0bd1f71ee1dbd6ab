import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { arm, cast, ids, onprem } from '../../support/callers.ts'
import { rule, issuer, withRule, withCaller, withScope, withIssuer, placesOf, refuses } from './invalid-world.ts'

describe('errors at the top level', () => {
  refuses([
    [{ ...withRule({}), deny: [] }, 'deny', 'an empty list'],
    [{ ...withRule({}), rule: [] }, 'rule', 'a key that does not exist'],
    [{ ...withRule({}), rules: undefined }, 'rules', 'no rules'],
    [{ ...withRule({}), rules: [] }, 'rules', 'an empty list of rules'],
    [{ ...withRule({}), rules: {} }, 'rules', 'rules that are no list'],
    [{ ...withRule({}), rules: ['a'] }, 'rules[0]', 'a rule that is text'],
    [{ ...withRule({}), tenants: { contoso: 'contoso.onmicrosoft.com' } }, 'tenants.contoso', 'a domain is not an id'],
    [{ ...withRule({}), tenants: { ...cast.tenants, Contoso: ids.home } }, 'tenants.Contoso', 'a name in upper case'],
    [{ ...withRule({}), tenants: { ...cast.tenants, common: ids.home } }, 'tenants.common', 'a reserved word of Entra'],
    [
      { ...withRule({}), tenants: { ...cast.tenants, [ids.home]: ids.home } },
      `tenants.${ids.home}`,
      'a GUID as a name',
    ],
    [{ ...withRule({}), applications: { default: 7 } }, 'applications.default', 'a number as client id'],
    [{ ...withRule({}), applications: { ...cast.applications, a_b: ids.home } }, 'applications.a_b', 'a bad name'],
  ])

  test('no applications at all', () => {
    const { applications: _, ...rest } = withRule({})
    assert.ok(placesOf(rest).includes('applications'))
    assert.ok(placesOf({ ...rest, applications: {} }).includes('applications'))
  })
})

describe('errors of issuers', () => {
  refuses([
    [withIssuer({ issuer: 'http://kubernetes.example.internal' }), 'issuers.onprem.issuer', 'keys over plain http'],
    [withIssuer({ issuer: 'kubernetes' }), 'issuers.onprem.issuer', 'no URL'],
    [withIssuer({ issuer: 'file:///etc/passwd' }), 'issuers.onprem.issuer', 'a file is no issuer'],
    [withIssuer({ issuer: 'https://user:word@issuer.example' }), 'issuers.onprem.issuer', 'a password in a URL'],
    [
      withIssuer({ issuer: 'http://127.0.0.1.example.com' }),
      'issuers.onprem.issuer',
      'a name that begins like loopback',
    ],
    [
      withIssuer({ issuer: 'http://localhost.example.com' }),
      'issuers.onprem.issuer',
      'a name that begins like localhost',
    ],
    [withIssuer({ jwksUri: 'http://keys.example' }), 'issuers.onprem.jwksUri', 'keys over plain http'],
    [withIssuer({ jwksUri: 'keys.json' }), 'issuers.onprem.jwksUri', 'no URL'],
    [withIssuer({ jwksFile: '/keys', jwksUri: 'https://a.example' }), 'issuers.onprem.jwksFile', 'two sources of keys'],
    [withIssuer({ jwksFile: '/keys', caFile: '/ca' }), 'issuers.onprem.jwksFile', 'a CA for a file'],
    [withIssuer({ jwksFile: '/keys', jwksTokenFile: '/t' }), 'issuers.onprem.jwksFile', 'a token for a file'],
    [withIssuer({ jwksTokenFile: '' }), 'issuers.onprem.jwksTokenFile', 'no path'],
    [
      withIssuer({ issuer: 'http://127.0.0.1:8001', jwksTokenFile: '/token' }),
      'issuers.onprem.jwksTokenFile',
      'a token over plain http, even on loopback',
    ],
    [
      withIssuer({ jwksUri: 'http://localhost:8001/keys', jwksTokenFile: '/token' }),
      'issuers.onprem.jwksTokenFile',
      'a token for plain http, although the issuer has https',
    ],
    [
      withIssuer({ audiences: [] }),
      'issuers.onprem.audiences',
      'no audience: every token of the issuer would be accepted',
    ],
    [withIssuer({ audiences: 'token-broker' }), 'issuers.onprem.audiences', 'text in place of a list'],
    [withIssuer({ audiences: [''] }), 'issuers.onprem.audiences[0]', 'an empty audience'],
    [withIssuer({ audiences: ['a', 'api://AzureADTokenExchange'] }), 'issuers.onprem.audiences[1]', 'of assertions'],
    [
      withIssuer({ audiences: ['fb60f99c-7a34-4190-8149-302f77469936'] }),
      'issuers.onprem.audiences[0]',
      'of assertions, by its client id',
    ],
    [
      withIssuer({ audiences: ['API://azureadtokenexchangeUSGov'] }),
      'issuers.onprem.audiences[0]',
      'in any case and cloud',
    ],
    [withIssuer({ jwks: '/keys' }), 'issuers.onprem.jwks', 'a key that does not exist'],
    [
      { ...withRule({}), issuers: { onprem: issuer, twin: issuer } },
      'issuers.twin.issuer',
      'the same issuer twice: a token could belong to either',
    ],
  ])

  for (const address of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080', 'https://a.example/']) {
    test(`${address} is accepted`, () => assert.deepEqual(placesOf(withIssuer({ issuer: address })), []))
  }

  test('a token for keys over https is accepted, also if the issuer, which is not called, has none', () => {
    const jwksUri = 'https://kubernetes.default.svc/openid/v1/jwks'
    const settings = { jwksTokenFile: '/token', caFile: '/ca' }
    assert.deepEqual(placesOf(withIssuer(settings)), [])
    assert.deepEqual(placesOf(withIssuer({ ...settings, issuer: 'http://localhost', jwksUri })), [])
  })

  test('any issuer is accepted if its keys are in a file: it is not called', () => {
    assert.deepEqual(placesOf(withIssuer({ issuer: 'kubernetes/serviceaccount', jwksFile: '/keys' })), [])
  })
})

describe('errors of callers', () => {
  const at = 'rules[0].callers[0]'
  refuses([
    [withRule({ callers: [] }), 'rules[0].callers', 'no caller'],
    [withCaller({}), at, 'no kind of caller'],
    [withCaller({ issuer: 'onprem', subject: 's', san: 'spiffe://a/b' }), at, 'two kinds of caller'],
    [withCaller({ subject: 's' }), at, 'a subject of no issuer'],
    [withCaller({ san: 'spiffe://a/b', subject: 's' }), at, 'a subject of a certificate'],
    [withCaller({ issuer: 'missing', subject: 's' }), `${at}.issuer`, 'an issuer that the policy does not list'],
    [withCaller({ apiKey: 'missing' }), `${at}.apiKey`, 'a key that the policy does not list'],
    [withCaller({ issuer: 'onprem' }), at, 'every token of the issuer'],
    [withCaller({ issuer: 'onprem', claims: { aud: 'token-broker' } }), at, 'aud does not distinguish callers'],
    [
      withCaller({ issuer: 'onprem', claims: { tid: ids.home, iss: onprem, ver: '2.0' } }),
      at,
      'neither do tid, iss, ver',
    ],
    [
      withCaller({ issuer: 'onprem', claims: { exp: 1, iat: 1, nbf: 1, jti: 'x' } }),
      at,
      'neither do exp, iat, nbf, jti',
    ],
    [
      withCaller({ issuer: 'onprem', claims: { idtyp: 'app', appidacr: '2', azpacr: '2', azp_ver: '1.0' } }),
      at,
      'nor does how a token of Entra was requested',
    ],
    [withCaller({ issuer: 'onprem', claims: { aio: 'A*', uti: 'a*', rh: '1.*' } }), at, 'nor do opaque claims'],
    [
      withCaller({ issuer: 'onprem', claims: { idp: 'https://a', '/amr/0': 'pwd' } }),
      at,
      'nor does the way to sign in',
    ],
    [
      withCaller({ issuer: 'onprem', claims: { '/aud/0': 'token-broker' } }),
      at,
      'neither does a pointer into one of them',
    ],
    [withCaller({ issuer: 'onprem', subject: '*' }), `${at}.subject`, 'every subject'],
    [withCaller({ issuer: 'onprem', subject: 'a*b*' }), `${at}.subject`, 'two wildcards'],
    [withCaller({ issuer: 'onprem', subject: '' }), `${at}.subject`, 'an empty subject'],
    [withCaller({ issuer: 'onprem', subject: 7, claims: { role: 'a' } }), `${at}.subject`, 'a number'],
    [withCaller({ issuer: 'onprem', claims: { roles: '*' } }), `${at}.claims.roles`, 'anything'],
    [withCaller({ issuer: 'onprem', claims: { roles: '' } }), `${at}.claims.roles`, 'an empty claim'],
    [withCaller({ issuer: 'onprem', claims: { roles: ['a'] } }), `${at}.claims.roles`, 'a list'],
    [withCaller({ issuer: 'onprem', claims: { roles: null } }), `${at}.claims.roles`, 'null'],
    [
      withCaller({ issuer: 'onprem', subject: 's', claims: { '/a~2': 'x' } }),
      `${at}.claims."/a~2"`,
      'a malformed JSON pointer',
    ],
    [withCaller({ issuer: 'onprem', subject: 's', claim: {} }), `${at}.claim`, 'a key that does not exist'],
    [withCaller({ san: '*' }), `${at}.san`, 'every certificate'],
  ])

  const inexact = [9_007_199_254_740_992, -9_007_199_254_740_992, 1e300, 1.5]
  refuses(
    inexact.map(value => [
      withCaller({ issuer: 'onprem', claims: { employee: value } }),
      `${at}.claims.employee`,
      `${value}: such a number would match its neighbours`,
    ]),
  )

  for (const value of [9_007_199_254_740_991, -9_007_199_254_740_991, 0, '9007199254740993']) {
    test(`a claim may be ${JSON.stringify(value)}`, () => {
      assert.deepEqual(placesOf(withCaller({ issuer: 'onprem', claims: { employee: value } })), [])
    })
  }

  test('an empty mapping of claims is an error', () => {
    assert.ok(placesOf(withCaller({ issuer: 'onprem', subject: 's', claims: {} })).includes(`${at}.claims`))
  })
})

describe('errors of rules', () => {
  refuses([
    [withRule({ name: undefined }), 'rules[0].name', 'no name'],
    [withRule({ name: '' }), 'rules[0].name', 'an empty name'],
    [{ ...cast, rules: [rule, rule] }, 'rules[1].name', 'the name of another rule'],
    [withRule({ tenants: undefined }), 'rules[0].tenants', 'scopes without tenants'],
    [withRule({ scopes: undefined }), 'rules[0].scopes', 'tenants without scopes'],
    [withRule({ tenants: undefined, scopes: undefined }), 'rules[0]', 'neither tokens nor permissions'],
    [withRule({ tenants: [] }), 'rules[0].tenants', 'an empty list of tenants'],
    [withRule({ tenants: 'contoso' }), 'rules[0].tenants', 'a plain word other than *'],
    [withRule({ tenants: ['contoso', '*'] }), 'rules[0].tenants[1]', '* in a list'],
    [withRule({ tenants: ['nowhere'] }), 'rules[0].tenants[0]', 'a name without an id'],
    [withRule({ tenants: ['cont*'] }), 'rules[0].tenants[0]', 'a pattern'],
    [withRule({ scopes: [] }), 'rules[0].scopes', 'an empty list of scopes'],
    [withRule({ scopes: ['https://graph.microsoft.com/User.Read'] }), 'rules[0].scopes[0]', 'not .default'],
    [withScope('https://*.example/.default'), 'rules[0].scopes[0]', 'a wildcard'],
    [withRule({ applications: [] }), 'rules[0].applications', 'an empty list of applications'],
    [
      withRule({ applications: ['nothing'] }),
      'rules[0].applications[0]',
      'an application that the policy does not list',
    ],
    [
      { ...withRule({}), applications: { other: ids.other } },
      'rules[0].applications[0]',
      'no application named where there is no default',
    ],
    [withRule({ exchangeLimit: '0/m' }), 'rules[0].exchangeLimit', 'a limit of nothing'],
    [withRule({ requestLimit: '60' }), 'rules[0].requestLimit', 'a limit without its unit'],
    [withRule({ permissions: ['everything'] }), 'rules[0].permissions[0]', 'a permission that does not exist'],
    [withRule({ permissions: [] }), 'rules[0].permissions', 'an empty list of permissions'],
    [withRule({ scope: [arm] }), 'rules[0].scope', 'a key that does not exist'],
  ])
})

describe("errors of scopes: what would make a caller the broker's equal", () => {
  const where = 'rules[0].scopes[0]'
  refuses([
    [withScope('api://AzureADTokenExchange/.default'), where, 'a client assertion'],
    [withScope('API://azureadtokenexchangechina/.default'), where, 'a client assertion, in any case and cloud'],
    [withScope('api://AzureADTokenExchange//.default'), where, 'a client assertion, with a slash'],
    [withScope('spn:api://AzureADTokenExchange/.default'), where, 'a client assertion, with spn:'],
    [withScope('SPN:spn:api://AzureADTokenExchange/.default'), where, 'a client assertion, with spn: twice'],
    [withScope('spn:token-broker/.default'), where, 'the audience of the callers, with spn:'],
    [withScope('token-broker/.default'), where, "an audience of the broker's callers"],
    [withScope('https://broker.example/.default', ['https://broker.example/']), where, 'with or without its slash'],
    [withScope('API://Broker/.default', ['api://broker']), where, 'in any case'],
    [withScope(`api://${ids.home}/.default`, [ids.home]), where, 'the audience is the client id in the scope'],
    [withScope(`${ids.home.toUpperCase()}/.default`, [`api://${ids.home}`]), where, 'and the other way round'],
  ])
})
