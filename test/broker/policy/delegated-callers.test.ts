import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JwtFacts, UserFacts } from '../../../src/broker/policy/caller-facts.ts'
import { compileCaller, compileDeniedCaller } from '../../../src/broker/policy/caller-matcher.ts'
import { explainPermission } from '../../../src/broker/policy/explain.ts'
import { cast, graph, ids, type Json, policyOf } from '../../support/callers.ts'
import { key, placesOf, refuses } from './invalid-world.ts'

const oid = '5d1f0000-0000-4000-8000-0000000000a1'
const cli = '04b07795-0000-4000-8000-0000000000c1'
const person = { issuer: 'entra', delegated: true, claims: { azp: cli, oid } }
const observing = (caller: Json): Json => ({
  ...cast,
  rules: [{ name: 'people', callers: [caller], permissions: ['observe'] }],
})
const withClaims = (claims: Json, more: Json = {}): Json => observing({ ...person, claims, ...more })

describe('a caller with delegated tokens is accepted in a rule', () => {
  const table: readonly [caller: Json, why: string][] = [
    [person, 'one user of one client application'],
    [{ ...person, claims: { appid: cli, oid } }, 'the same by v1.0 tokens'],
    [{ ...person, claims: { azp: cli, roles: 'Broker.Observe' } }, 'the users with a role'],
    [{ ...person, claims: { azp: cli, groups: ids.other } }, 'the users of a group'],
    [{ ...person, claims: { azp: cli, wids: ids.other } }, 'the users with a role of the directory'],
    [{ ...person, claims: { azp: cli }, subject: 'pairwise' }, 'one user by the subject'],
    [{ ...person, claims: { '/azp': cli, '/oid': oid } }, 'the same claims by JSON pointers'],
    [{ ...person, claims: { azp: cli, oid, scp: 'Broker.Access' } }, 'one scope of the API besides'],
  ]
  for (const [caller, why] of table) test(why, () => assert.deepEqual(placesOf(observing(caller)), []))

  test('with purge too', () => {
    assert.deepEqual(
      placesOf({ ...cast, rules: [{ name: 'a', callers: [person], permissions: ['observe', 'purge'] }] }),
      [],
    )
  })
})

describe('a caller with delegated tokens is refused at load', () => {
  const at = 'rules[0].callers[0]'
  const rule = { name: 'a', callers: [person], permissions: ['observe'] }
  const withRule = (changes: Json): Json => ({ ...cast, rules: [{ ...rule, ...changes }] })
  const tokens = { tenants: ['contoso'], scopes: [graph] }
  refuses([
    [withRule(tokens), `${at}.delegated`, 'in a rule that grants tokens and permissions'],
    [withRule({ ...tokens, permissions: undefined }), `${at}.delegated`, 'in a rule that grants tokens'],
    [withRule({ ...tokens, tenants: '*' }), `${at}.delegated`, 'in a rule for every tenant'],
    [observing({ ...person, issuer: 'onprem' }), `${at}.delegated`, 'of an issuer that is not Entra'],
    [{ ...observing({ apiKey: 'erp', delegated: true }), apiKeys: { erp: key } }, `${at}.delegated`, 'an API key'],
    [observing({ san: 'spiffe://a/b', delegated: true }), `${at}.delegated`, 'a client certificate'],
    [observing({ ...person, delegated: false }), `${at}.delegated`, 'false: leave it out instead'],
    [observing({ ...person, delegated: 'true' }), `${at}.delegated`, 'a text'],
    [withClaims({ oid }), at, 'of any client application: it needs no more than the consent of the user'],
    [withClaims({ oid, azp: 'dashboard' }), at, 'of a client application that is no client id'],
    [withClaims({ oid, '/azp/0': cli }), at, 'of a client application in a list'],
    [withClaims({ azp: cli }), at, 'every user of the client application'],
    [withClaims({ azp: cli, scp: 'Broker.Access' }), at, 'a scope is of the client, and says nothing of the user'],
    [withClaims({ azp: cli, tid: ids.home }), at, 'every user of the tenant'],
    [withClaims({ azp: cli, preferred_username: 'eve@contoso.example' }), at, 'a name that can be given to another'],
    [withClaims({ azp: cli, email: 'eve@contoso.example' }), at, 'an address that is not verified'],
    [withClaims({ azp: cli, upn: 'eve@contoso.example' }), at, 'a name that changes'],
    [withClaims({ azp: cli, oid: `${oid.slice(0, -1)}*` }), at, 'a pattern of object ids'],
    [withClaims({ azp: cli, roles: 'Broker.*' }), at, 'a pattern of roles'],
    [withClaims({ azp: cli }, { subject: 'a*' }), at, 'a pattern of subjects'],
  ])
})

describe('a caller of a rule is an application or a user, never both', () => {
  const user: UserFacts = { oid, clientId: cli, isGuest: false }
  const facts = (changes: Partial<JwtFacts> = {}): JwtFacts => ({
    kind: 'jwt',
    issuer: 'entra',
    subject: 'pairwise',
    claims: { azp: cli, oid, roles: ['Broker.Observe'] },
    user,
    ...changes,
  })
  const application = { issuer: 'entra', claims: { azp: cli, oid } }
  const role = { ...person, claims: { azp: cli, roles: 'Broker.Observe' } } as const
  const guest = { user: { ...user, isGuest: true } }
  const table: readonly [
    caller: Parameters<typeof compileCaller>[0],
    token: JwtFacts,
    matches: boolean,
    why: string,
  ][] = [
    [{ ...person, delegated: true }, facts(), true, 'a user'],
    [{ ...person, delegated: true }, facts({ user: undefined }), false, 'an application with all claims of the user'],
    [application, facts(), false, 'a user with all claims of the application'],
    [application, facts({ user: undefined }), true, 'an application'],
    [{ ...person, delegated: true }, facts({ issuer: 'other' }), false, 'a user of another issuer'],
    [{ ...role, delegated: true }, facts(), true, 'a user with the role'],
    [{ ...role, delegated: true }, facts(guest), false, 'a guest with the role'],
    [{ ...person, delegated: true }, facts(guest), true, 'a guest who is named by its object id'],
    [
      { ...person, delegated: true },
      facts({ claims: { azp: ids.other, oid } }),
      false,
      'a token of the same user for another client application',
    ],
  ]
  for (const [caller, token, matches, why] of table)
    test(`${why}: ${matches}`, () => {
      const matcher = compileCaller(caller)
      assert.equal(matcher.matches(token), matches)
      assert.equal(matcher.mismatch(token) === undefined, matches, 'policy explain says the same')
    })

  test('a caller of a denial without "delegated" is both, so that a denied person cannot continue as a user', () => {
    const denied = compileDeniedCaller({ issuer: 'entra', claims: { oid } })
    assert.deepEqual([denied.matches(facts()), denied.matches(facts({ user: undefined }))], [true, true])
  })

  test('a caller of a denial with "delegated" is every user, guests included, and no application', () => {
    const denied = compileDeniedCaller({ issuer: 'entra', delegated: true })
    const all = [facts(), facts(guest), facts({ user: undefined })].map(denied.matches)
    assert.deepEqual(all, [true, true, false])
  })

  test('policy explain says why a user, an application and a guest do not match', () => {
    const policy = policyOf({
      ...cast,
      rules: [
        { name: 'people', callers: [role], permissions: ['observe'] },
        { name: 'dashboards', callers: [application], permissions: ['observe'] },
      ],
    })
    const why = (token: JwtFacts) => explainPermission(policy, token, 'observe').rules.map(rule => rule.why)
    assert.match(why(facts({ user: undefined }))[0] ?? '', /an application's own, not a delegated one/)
    assert.match(why(facts())[1] ?? '', /the token is a delegated one/)
    assert.match(why(facts(guest))[0] ?? '', /a guest, whom only a rule with the claim "oid" matches/)
  })
})
