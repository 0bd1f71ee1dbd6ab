import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Issuer } from '../../../src/broker/authentication/authenticate.ts'
import { maxLifetimeDays, reasonsToRefuse } from '../../../src/broker/authentication/jwt-refusals.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  authenticator,
  audience,
  encode,
  entraIssuer,
  goodClaims,
  ids,
  issuerWith,
  type Json,
  makeKey,
  mint,
  onprem,
} from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const key = makeKey()
const now = noon / 1000
const issuers = [
  issuerWith([key.jwk], { audiences: [audience, 'second'] }),
  issuerWith([key.jwk], { name: 'entra', issuer: entraIssuer }),
  issuerWith([key.jwk], { name: 'v1', issuer: `https://sts.windows.net/${ids.home}/` }),
]

/** `accepted`, or the reason for which a credential is refused with `invalid_token`. */
async function verdict(credential: string, known: readonly Issuer[] = issuers): Promise<string> {
  try {
    await authenticator(known, movableClock())(credential)
    return 'accepted'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    assert.equal(thrown.code, 'invalid_token')
    assert.equal(thrown.retryAfter, undefined)
    // A refusal of the audience or the issuer repeats these two claims, and no other.
    const hidden = ['audience', 'issuer'].includes(thrown.reason) ? /billing|eyJ/ : /billing|kubernetes|attacker|eyJ/
    assert.ok(!hidden.test(thrown.message), 'the message repeats the token')
    return thrown.reason
  }
}

describe('claims', () => {
  const table: readonly [changes: Json, expected: string, why: string][] = [
    [{}, 'accepted', 'everything as it should be'],
    [{ aud: [audience] }, 'accepted', 'a list of one audience'],
    [{ aud: ['https://other.example', 'second'] }, 'accepted', 'one of several audiences'],
    [{ aud: 'other' }, 'audience', 'another audience'],
    [{ aud: ['other', 'another'] }, 'audience', 'other audiences'],
    [{ aud: [] }, 'audience', 'an empty list of audiences'],
    [{ aud: undefined }, 'audience', 'no audience'],
    [{ aud: 'Token-Broker' }, 'audience', 'case counts'],
    [{ aud: `${audience}/` }, 'audience', 'a slash at the end'],
    [{ aud: `${audience} second` }, 'audience', 'two audiences in one text'],
    [{ aud: [[audience]] }, 'audience', 'a list within a list'],
    [{ aud: { 0: audience } }, 'audience', 'an object'],
    [{ iss: 'https://attacker.example' }, 'issuer', 'an issuer that the policy does not list'],
    [{ iss: `${onprem}/` }, 'issuer', 'a slash at the end'],
    [{ iss: onprem.toUpperCase() }, 'issuer', 'case counts'],
    [{ iss: undefined }, 'issuer', 'no issuer'],
    [{ iss: [onprem] }, 'issuer', 'a list of issuers'],
    [{ iss: { toString: onprem } }, 'issuer', 'an object'],
    [{ iss: 'constructor' }, 'issuer', "an inherited property's name"],
    [{ sub: undefined }, 'subject', 'no subject'],
    [{ sub: '' }, 'claims', 'an empty subject'],
    [{ sub: null }, 'claims', 'null as subject'],
    [{ sub: 7 }, 'claims', 'a number as subject'],
    [{ sub: ['a'] }, 'claims', 'a list of subjects'],
    [{ exp: now + 1 }, 'accepted', 'a second of life'],
    [{ exp: now }, 'accepted', 'expired now: within the tolerance'],
    [{ exp: now - 29 }, 'accepted', 'expired 29 s ago: within the tolerance'],
    [{ exp: now - 30 }, 'expired', 'expired 30 s ago: the tolerance is over'],
    [{ exp: now - 3600 }, 'expired', 'expired an hour ago'],
    [{ exp: 0 }, 'expired', 'expired in 1970'],
    [{ exp: -1 }, 'expired', 'expired before 1970'],
    [{ exp: undefined }, 'expiry', 'no expiry: it would be valid for ever'],
    [{ exp: null }, 'expiry', 'null as expiry'],
    [{ exp: String(now + 600) }, 'expiry', 'an expiry as text'],
    [{ exp: [now + 600] }, 'expiry', 'a list as expiry'],
    [{ exp: true }, 'expiry', 'a boolean as expiry'],
    [{ nbf: now + 30 }, 'accepted', 'valid in 30 s: within the tolerance'],
    [{ nbf: now + 31 }, 'not_yet_valid', 'valid in 31 s: beyond the tolerance'],
    [{ nbf: now + 3600 }, 'not_yet_valid', 'valid in an hour'],
    [{ nbf: undefined }, 'accepted', 'no nbf: it is not required'],
    [{ nbf: String(now) }, 'not_yet_valid', 'nbf as text'],
    [{ iat: undefined }, 'accepted', 'no iat: it is not required'],
    [{ iat: now + 30 }, 'accepted', 'made in 30 s: within the tolerance'],
    [{ iat: now + 31 }, 'not_yet_valid', 'made in 31 s: beyond the tolerance'],
    [{ iat: 9e15 }, 'not_yet_valid', 'made in the far future'],
    [{ iat: String(now) }, 'malformed', 'iat as text'],
    [{ exp: now + maxLifetimeDays * 86_400 }, 'accepted', 'an expiry in 400 days'],
    [{ exp: now + maxLifetimeDays * 86_400 + 1 }, 'expiry', 'an expiry in more than 400 days'],
    [{ exp: noon + 600_000 }, 'expiry', 'an expiry in milliseconds'],
    [{ exp: 9e15 }, 'expiry', 'an expiry in the far future'],
    [{ cnf: { 'x5t#S256': 'x' } }, 'confirmation', 'bound to a certificate (RFC 8705), and none was shown'],
    [{ cnf: { jkt: 'x' } }, 'confirmation', 'bound to a key (RFC 9449)'],
    [{ cnf: {} }, 'confirmation', 'bound to nothing that is known'],
    [{ cnf: null }, 'confirmation', 'null is there all the same'],
    [{ scp: 'a' }, 'accepted', "scp is Entra's; other issuers use it as they like"],
  ]
  for (const [changes, expected, why] of table) {
    test(`${JSON.stringify(changes)} is ${expected}: ${why}`, async () => {
      assert.equal(await verdict(mint(key, goodClaims(changes))), expected)
    })
  }
})

test('an expiry in milliseconds is refused in words of its own, and by policy explain too', async () => {
  const claims = goodClaims({ exp: noon + 600_000 })
  const refused = Promise.resolve(authenticator(issuers, movableClock())(mint(key, claims)))
  await assert.rejects(refused, { message: /more than 400 days ahead.*seconds, not milliseconds/ })
  const issuer = { issuer: onprem, audiences: [audience] }
  assert.match(reasonsToRefuse(claims, issuer, noon).join(), /not milliseconds/)
  assert.deepEqual(reasonsToRefuse(goodClaims(), issuer, noon), [])
})

describe('the type of a token', () => {
  const table: readonly [typ: unknown, expected: string, why: string][] = [
    [undefined, 'accepted', 'absent'],
    ['JWT', 'accepted', 'as most say'],
    ['jwt', 'accepted', 'case does not count (RFC 7515 §4.1.9)'],
    ['at+jwt', 'accepted', 'an access token (RFC 9068)'],
    ['application/at+jwt', 'accepted', 'the media type in full'],
    ['JOSE', 'accepted', 'as SPIFFE says'],
    ['logout+jwt', 'type', 'a logout token (OpenID Connect Back-Channel Logout)'],
    ['dpop+jwt', 'type', 'a proof (RFC 9449)'],
    ['secevent+jwt', 'type', 'a security event (RFC 8417)'],
    ['JWT ', 'type', 'a space'],
    ['', 'type', 'nothing'],
    ['application/', 'type', 'nothing, in full'],
    [['JWT'], 'type', 'a list'],
    [null, 'type', 'null'],
  ]
  for (const [typ, expected, why] of table) {
    test(`${JSON.stringify(typ)} is ${expected}: ${why}`, async () => {
      assert.equal(await verdict(mint(key, goodClaims(), { typ })), expected)
    })
  }
})

describe("Entra's tokens", () => {
  const v2 = { iss: entraIssuer, azp: ids.other }
  const v1 = { iss: `https://sts.windows.net/${ids.home}/`, appid: ids.other }
  const table: readonly [changes: Json, expected: string, why: string][] = [
    [v2, 'accepted', 'an application token, v2'],
    [v1, 'accepted', 'an application token, v1'],
    [{ ...v2, azp: undefined }, 'claims', 'an ID token: it names no calling application'],
    [{ ...v1, appid: undefined }, 'claims', 'a v1 ID token'],
    [{ ...v2, azp: [ids.other] }, 'claims', 'a list of applications'],
    [{ ...v2, scp: 'User.Read' }, 'delegated', 'a delegated token: it acts for a user'],
    [{ ...v1, scp: 'User.Read' }, 'delegated', 'a delegated v1 token'],
    [{ ...v2, scp: '' }, 'delegated', 'a delegated token without scopes'],
    [{ ...v2, iss: `https://login.microsoftonline.com/${ids.contoso}/v2.0` }, 'issuer', 'of another tenant'],
    [{ ...v1, iss: v1.iss.slice(0, -1) }, 'issuer', "without v1's slash"],
  ]
  for (const [changes, expected, why] of table) {
    test(`${expected}: ${why}`, async () => assert.equal(await verdict(mint(key, goodClaims(changes))), expected))
  }
})

describe('not a JWT', () => {
  const good = mint(key, goodClaims())
  const [head = '', body = '', sign = ''] = good.split('.')
  const table: readonly [credential: string, expected: string, why: string][] = [
    ['', 'malformed', 'nothing'],
    ['.', 'malformed', 'a dot'],
    ['..', 'malformed', 'two dots'],
    ['a.b.c', 'malformed', 'three parts of nothing'],
    ['tb_0123456789', 'malformed', 'an API key'],
    [`${head}.${body}`, 'malformed', 'two parts'],
    [`${good}.x`, 'malformed', 'four parts'],
    [`${head}.x.y.z.${sign}`, 'malformed', 'five parts: an encrypted token'],
    ['x'.repeat(100_000), 'malformed', '100 kB of garbage'],
    [`${head}.${'A'.repeat(100_000)}.${sign}`, 'malformed', '100 kB of garbage as claims'],
    ['.'.repeat(100_000), 'malformed', '100 kB of dots'],
    [`${encode('[]')}.${body}.${sign}`, 'malformed', 'a header that is a list'],
    [`${encode('null')}.${body}.${sign}`, 'malformed', 'a header that is null'],
    [`${head}.${encode('[]')}.${sign}`, 'malformed', 'claims that are a list'],
    [`${head}.${encode('"text"')}.${sign}`, 'malformed', 'claims that are text'],
    [`${head}.${encode('{"iss":')}.${sign}`, 'malformed', 'claims that are cut off'],
    [mint(key, good, { cty: 'JWT' }), 'malformed', 'a token in a token'],
    [`${head} .${body}.${sign}`, 'malformed', 'a space in the header, which decoders skip'],
    [`${head}.${body}.${sign}=`, 'malformed', 'padding behind the signature'],
    [` ${good}`, 'malformed', 'a space first'],
    [`Bearer ${good}`, 'malformed', 'the scheme twice'],
    [JSON.stringify({ protected: head, payload: body, signature: sign }), 'malformed', 'the JSON form of a JWS'],
  ]
  for (const [credential, expected, why] of table) {
    test(`${expected}: ${why}`, async () => assert.equal(await verdict(credential), expected))
  }

  test('the base64 alphabet is not accepted in place of base64url', async () => {
    // Claims whose encoding contains both characters that the alphabets do not share.
    const other = mint(key, goodClaims({ text: '>>>???~~~' }))
    assert.match(other, /[-_]/)
    assert.equal(await verdict(other), 'accepted')
    assert.notEqual(await verdict(other.replaceAll('-', '+').replaceAll('_', '/')), 'accepted')
  })

  test('without an issuer no token is accepted', async () => assert.equal(await verdict(good, []), 'issuer'))
})
