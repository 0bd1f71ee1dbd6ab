import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { describeClaims } from '../../../src/broker/authentication/describe-caller.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  audience,
  authenticator,
  cast,
  entraIssuer,
  goodClaims,
  ids,
  issuerWith,
  type Json,
  makeKey,
  mint,
  policyOf,
} from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const key = makeKey()
const oid = '5d1f0000-0000-4000-8000-0000000000a1'
const v1Issuer = `https://sts.windows.net/${ids.home}/`
const person = (issuer: string, client: string) => ({ issuer, delegated: true, claims: { [client]: ids.other, oid } })
const policy = policyOf({
  ...cast,
  issuers: { ...cast.issuers, 'entra-v1': { issuer: v1Issuer, audiences: [audience] } },
  rules: [
    { name: 'a', callers: [person('entra', 'azp'), person('entra-v1', 'appid')], permissions: ['observe'] },
    { name: 'b', callers: [{ issuer: 'onprem', subject: 'a' }], permissions: ['observe'] },
  ],
})
const issuers = [
  issuerWith([key.jwk], { name: 'entra', issuer: entraIssuer }),
  issuerWith([key.jwk], { name: 'entra-v1', issuer: v1Issuer }),
  issuerWith([key.jwk]),
]

/** `application`, `user`, `guest`, or why the token is refused. */
async function verdict(claims: Json, admitting = policy): Promise<string> {
  try {
    const authenticate = authenticator(issuers, movableClock(), undefined, admitting)
    const caller = await authenticate(mint(key, goodClaims(claims)))
    assert.ok(caller.kind === 'jwt')
    if (caller.user === undefined) return 'application'
    assert.deepEqual([caller.user.oid, caller.user.clientId], [oid, ids.other])
    return caller.user.isGuest ? 'guest' : 'user'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    return thrown.reason
  }
}

const application = { iss: entraIssuer, azp: ids.other, sub: oid, oid }
const user = { ...application, sub: 'pairwise', scp: 'Broker.Access' }

describe('a token of Entra, while a rule lists delegated tokens of its issuer', () => {
  const guestOf = (tenant: string) => `https://sts.windows.net/${tenant}/`
  const table: readonly [claims: Json, expected: string, why: string][] = [
    [application, 'application', 'as ever'],
    [{ ...application, idtyp: 'app' }, 'application', 'with the optional claim'],
    [{ ...application, idtyp: 'app', scp: '/' }, 'application', 'of an agent identity: scp is a slash'],
    [{ ...application, idtyp: 'app', scp: '' }, 'application', 'of an agent identity: scp is empty'],
    [{ ...application, idtyp: 'app', scp: null }, 'delegated', 'null is no text'],
    [{ ...application, idtyp: 'app', scp: '/ User.Read' }, 'claims', 'a permission besides the slash'],
    [{ ...user, scp: '/' }, 'delegated', 'a slash is no scope, and no idtyp says that it is an application token'],
    [{ ...user, idtyp: 'user', scp: '/' }, 'delegated', 'a slash is no scope'],
    [user, 'user', 'it has scp'],
    [{ ...user, idtyp: 'user' }, 'user', 'with the optional claim'],
    [{ ...user, oid: oid.toUpperCase() }, 'user', 'the case of a GUID does not count'],
    [{ ...user, iss: v1Issuer, azp: undefined, appid: ids.other }, 'user', 'a v1.0 token'],
    [{ ...user, idtyp: 'app' }, 'claims', 'an application token with a forged scp, or a user that claims to be one'],
    [{ ...user, idtyp: 'device' }, 'claims', 'neither'],
    [{ ...user, idtyp: null }, 'claims', 'null is there all the same'],
    [{ ...user, sub: oid }, 'claims', 'an application token with a forged scp: sub and oid are its service principal'],
    [{ ...application, idtyp: 'user' }, 'delegated', 'a user without scp'],
    [{ ...application, idtyp: 'APP' }, 'delegated', 'not the value of application tokens'],
    [{ ...application, idtyp: ['app'] }, 'delegated', 'a list'],
    [{ ...user, scp: '' }, 'delegated', 'no scope at all'],
    [{ ...user, scp: ' ' }, 'delegated', 'the same with a space'],
    [{ ...user, scp: ['Broker.Access'] }, 'delegated', 'a list'],
    [{ ...user, scp: null }, 'delegated', 'null is there all the same'],
    [{ ...user, oid: undefined }, 'claims', 'a user without an object id'],
    [{ ...user, oid: 'eve@contoso.example' }, 'claims', 'an object id that is none'],
    [{ ...user, azp: undefined }, 'claims', 'an ID token: it names no client application'],
    [{ ...user, acct: 0 }, 'user', 'a member'],
    [{ ...user, acct: 1 }, 'guest', 'a guest'],
    [{ ...user, acct: '0' }, 'guest', 'in case of doubt'],
    [{ ...user, idp: entraIssuer }, 'user', 'the identity provider is the issuer'],
    [{ ...user, idp: guestOf(ids.home) }, 'user', 'the same tenant in the form of v1.0'],
    [{ ...user, idp: guestOf(ids.contoso) }, 'guest', 'the user of another tenant'],
    [{ ...user, idp: 'live.com' }, 'guest', 'a personal account'],
    [{ ...user, idp: 1 }, 'guest', 'in case of doubt'],
    [{ iss: undefined, scp: 'a' }, 'issuer', 'no issuer'],
  ]
  for (const [claims, expected, why] of table)
    test(`${expected}: ${why}`, async () => {
      assert.equal(await verdict(claims), expected)
    })

  test('policy explain takes the same tokens for users, and gives the same refusals', () => {
    const described = describeClaims(policy, goodClaims(user), noon)
    assert.deepEqual(described.refusals, [])
    assert.equal(described.facts.kind === 'jwt' && described.facts.user?.oid, oid)
    assert.match(describeClaims(policy, goodClaims({ ...user, idtyp: 'app' }), noon).refusals.join(), /oid/)
  })
})

describe('a delegated token is refused as ever', () => {
  const without = (callers: readonly Json[], more: Json = {}) =>
    policyOf({ ...cast, ...more, rules: [{ name: 'a', callers, permissions: ['observe'] }] })

  test('if no rule lists delegated tokens', async () => {
    assert.equal(await verdict(user, without([{ issuer: 'entra', claims: { oid } }])), 'delegated')
  })

  test('if only a denial lists them', async () => {
    const deny = [{ callers: [{ issuer: 'entra', delegated: true }] }]
    assert.equal(await verdict(user, without([{ issuer: 'onprem', subject: 'a' }], { deny })), 'delegated')
  })

  test('if a rule lists those of another issuer', async () => {
    const v1 = { ...user, iss: v1Issuer, azp: undefined, appid: ids.other }
    const issuersOf = { ...cast.issuers, 'entra-v1': { issuer: v1Issuer, audiences: [audience] } }
    const admitting = without([person('entra', 'azp')], { issuers: issuersOf })
    assert.deepEqual([await verdict(user, admitting), await verdict(v1, admitting)], ['user', 'delegated'])
  })

  test('and scp of an issuer that is not Entra says nothing about a user', async () => {
    assert.equal(await verdict({ scp: 'a', oid }), 'application')
  })
})
