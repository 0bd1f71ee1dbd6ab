import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import type { Issuer } from '../../../src/broker/authentication/authenticate.ts'
import { algorithms } from '../../../src/broker/authentication/jwt.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  authenticator,
  cast,
  encode,
  goodClaims,
  issuerWith,
  type Json,
  makeKey,
  mint,
  onprem,
  policyOf,
} from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const ec = makeKey('ES256', 'ec')
const rsa = makeKey('RS256', 'rsa')
const foreign = makeKey('ES256', 'ec')
const foreignRsa = makeKey('RS256', 'rsa')
const issuer = issuerWith([ec.jwk, rsa.jwk])

/** A caller, or the error that the credential is refused with. */
async function authenticate(credential: string, issuers: readonly Issuer[] = [issuer]): Promise<unknown> {
  try {
    return await authenticator(issuers, movableClock())(credential)
  } catch (thrown) {
    return thrown
  }
}

/** Refused with `invalid_token`, for this reason, in words that hold nothing of the token. */
async function refusedFor(reason: string, credential: string, issuers?: readonly Issuer[]): Promise<void> {
  const thrown = await authenticate(credential, issuers)
  assert.ok(thrown instanceof BrokerError, 'it was accepted')
  assert.deepEqual([thrown.code, thrown.reason], ['invalid_token', reason])
  const parts = credential.split('.').filter(part => part.length > 8)
  for (const part of [...parts, 'billing:worker', onprem, 'attacker']) {
    assert.ok(!thrown.message.includes(part), 'the message repeats the token')
  }
}

async function accepted(credential: string, issuers?: readonly Issuer[]): Promise<void> {
  const result = await authenticate(credential, issuers)
  assert.ok(!(result instanceof Error), result instanceof BrokerError ? result.reason : String(result))
}

const good = goodClaims()

describe('every accepted algorithm is accepted', () => {
  for (const alg of algorithms) {
    test(alg, () => {
      const key = makeKey(alg, alg)
      return accepted(mint(key, good), [issuerWith([key.jwk])])
    })
  }

  const edwards: readonly [published: string | undefined, used: string][] = [
    [undefined, 'EdDSA'],
    [undefined, 'Ed25519'],
    ['EdDSA', 'EdDSA'],
    ['EdDSA', 'Ed25519'],
    ['Ed25519', 'EdDSA'],
    ['Ed25519', 'Ed25519'],
  ]
  for (const [published, used] of edwards) {
    test(`Ed25519 has two names (RFC 9864): the key says ${published}, the token says ${used}`, () => {
      const key = makeKey('EdDSA', 'edwards')
      const jwk = { ...key.jwk, ...(published !== undefined && { alg: published }) }
      return accepted(mint(key, good, { alg: used }), [issuerWith([jwk])])
    })
  }

  test('and there are eleven of them, none of them symmetric', () => {
    assert.deepEqual(
      algorithms.toSorted(),
      ['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'].toSorted(),
    )
  })
})

test('a caller is the issuer, the subject and the claims that the policy names, frozen', async () => {
  const policy = policyOf({
    ...cast,
    rules: [{ name: 'a', callers: [{ issuer: 'onprem', claims: { roles: 'a' } }], permissions: ['purge'] }],
  })
  const token = mint(ec, goodClaims({ roles: ['a'], groups: ['b'], azp: 'c', email: 'd' }))
  const caller = await authenticator([issuer], movableClock(), undefined, policy)(token)
  assert.ok(caller.kind === 'jwt')
  assert.deepEqual([caller.issuer, caller.subject], ['onprem', good['sub']])
  assert.deepEqual(caller.claims, { iss: onprem, sub: good['sub'], azp: 'c', roles: ['a'] })
  assert.ok(Object.isFrozen(caller))
})

describe('attacks on the signature', () => {
  const hmac = (secret: string | Buffer, header: Json, alg = 'HS256'): string => {
    const input = `${encode({ alg, typ: 'JWT', ...header })}.${encode(good)}`
    return `${input}.${createHmac(alg.replace('HS', 'sha'), secret).update(input).digest('base64url')}`
  }
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const der = rsa.publicKey.export({ type: 'spki', format: 'der' })
  const unsigned = (alg: string): string => `${encode({ alg, typ: 'JWT', kid: 'ec' })}.${encode(good)}.`
  const valid = mint(ec, good)
  const [head = '', body = '', sign = ''] = valid.split('.')
  const changed = encode(goodClaims({ sub: 'attacker' }))
  const derSignature = (): string => {
    // The ASN.1 form of an ECDSA signature, which JWS does not use (RFC 7518 §3.4).
    const raw = Buffer.from(sign, 'base64url')
    const integer = (half: Buffer) => Buffer.concat([Buffer.from([2, half.length + 1, 0]), half])
    const both = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
    return Buffer.concat([Buffer.from([0x30, both.length]), both]).toString('base64url')
  }
  const table: readonly [reason: string, token: string, why: string][] = [
    ['algorithm', unsigned('none'), 'alg none'],
    ['algorithm', unsigned('None'), 'alg None'],
    ['algorithm', unsigned('nOnE'), 'alg nOnE'],
    ['algorithm', hmac(pem, { kid: 'rsa' }), 'HS256 under the public key as PEM'],
    ['algorithm', hmac(pem.trim(), { kid: 'rsa' }), 'HS256 under the public key as PEM, trimmed'],
    ['algorithm', hmac(der, { kid: 'rsa' }), 'HS256 under the public key as DER'],
    ['algorithm', hmac(JSON.stringify(rsa.jwk), { kid: 'rsa' }), 'HS256 under the public key as JWK'],
    ['algorithm', hmac('', { kid: 'rsa' }), 'HS256 under the empty key'],
    ['algorithm', hmac(pem, { kid: 'rsa' }, 'HS512'), 'HS512 under the public key'],
    ['algorithm', mint(ec, good, { alg: 'ES256K' }), 'an algorithm that is not on the list'],
    ['algorithm', mint(ec, good, { alg: 'Ed448' }), 'an Edwards curve that is not on the list'],
    ['algorithm', mint(ec, good, { alg: 'es256' }), 'an algorithm in lower case'],
    ['algorithm', mint(ec, good, { alg: 'RSA-OAEP' }), 'an algorithm of encryption'],
    ['malformed', mint(ec, good, { alg: undefined }), 'no algorithm'],
    ['malformed', mint(ec, good, { alg: ['ES256'] }), 'a list of algorithms'],
    ['signature', mint(foreign, good), 'a foreign key under a known key id'],
    ['signature', mint(foreignRsa, good), 'a foreign RSA key under a known key id'],
    ['signature', mint(foreign, good, { jwk: foreign.jwk }), 'its own key in the header (jwk)'],
    ['signature', mint(foreign, good, { jku: 'https://attacker.example/jwks' }), "the attacker's keys (jku)"],
    ['signature', mint(foreign, good, { x5u: 'https://attacker.example/pem' }), "the attacker's certificate (x5u)"],
    ['signature', mint(foreign, good, { x5c: ['MIIB'] }), 'its own certificate (x5c)'],
    ['key', mint(foreign, good, { kid: 'attacker' }), 'a key id that the issuer does not publish'],
    ['key', mint(foreign, good, { kid: 'attacker', jwk: foreign.jwk }), 'and its own key in the header'],
    ['key', mint(ec, good, { kid: '../../dev/null' }), 'a path as key id'],
    ['key', mint(ec, good, { kid: '' }), 'an empty key id'],
    ['key', mint(ec, good, { kid: 7 }), 'a number as key id'],
    ['key', mint(ec, good, { alg: 'RS256' }), 'an algorithm that does not fit the key'],
    ['signature', mint(rsa, good, { alg: 'PS256' }), 'another algorithm of the same key'],
    ['signature', mint(foreign, good, { kid: undefined }), 'no key id, and a foreign key'],
    ['unsupported', mint(ec, good, { crit: ['attack'], attack: true }), 'a critical extension (RFC 7515 §4.1.11)'],
    ['malformed', mint(ec, good, { crit: [] }), 'an empty list of critical extensions'],
    ['malformed', mint(ec, good, { crit: ['b64'], b64: false }), 'an unencoded payload (RFC 7797)'],
    ['signature', `${head}.${changed}.${sign}`, 'changed claims under the old signature'],
    ['signature', `${head}.${body}.`, 'no signature'],
    ['signature', `${head}.${body}.${sign.slice(0, -10)}`, 'a signature that is too short'],
    ['signature', `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`, 'a signature of zeros (CVE-2022-21449)'],
    ['signature', `${head}.${body}.${derSignature()}`, 'a signature in ASN.1'],
    ['signature', `${head}.${body}.${sign}${sign}`, 'the signature twice'],
  ]
  for (const [reason, token, why] of table) test(`${why}: ${reason}`, () => refusedFor(reason, token))

  test('a token without a key id is accepted where one key fits', () => accepted(mint(ec, good, { kid: undefined })))

  test('RSA of 1024 bits is too weak, although its issuer publishes the key', () => {
    const weak = makeKey('RS256', 'weak', 1024)
    return refusedFor('malformed', mint(weak, good), [issuerWith([weak.jwk])])
  })

  test("another issuer's key does not sign for this issuer", () => {
    const other = issuerWith([foreign.jwk], { name: 'other', issuer: 'https://other.example' })
    return refusedFor('signature', mint(foreign, good), [issuer, other])
  })

  test('a key of the issuer that is for another algorithm is not used', () => {
    const bound = issuerWith([{ ...rsa.jwk, alg: 'RS512' }])
    return refusedFor('key', mint(rsa, good), [bound])
  })
})

describe('several keys under one key id', () => {
  const keys = Array.from({ length: 6 }, () => makeKey('ES256', 'same'))
  const [first, second, , , fifth] = keys
  assert.ok(first && second && fifth)
  const many = [issuerWith(keys.map(({ jwk }) => jwk))]

  test('each is tried', async () => {
    await accepted(mint(first, good), many)
    await accepted(mint(second, good), many)
  })

  test('but four at most: each costs a verification', () => refusedFor('signature', mint(fifth, good), many))

  test('and none of them signs for a foreign one', () =>
    refusedFor('signature', mint(makeKey('ES256', 'same'), good), many))

  test('a token without a key id is tried with those that fit it, and refused where none of them signed it', async () => {
    const [one, two] = [makeKey(), makeKey()]
    const issuers = [issuerWith([rsa.jwk, one.jwk, two.jwk])]
    await accepted(mint(two, good), issuers)
    await refusedFor('signature', mint(makeKey(), good), issuers)
    await refusedFor('signature', mint(foreignRsa, good, { kid: undefined }), issuers)
  })

  test('claims are judged as with one key', () => refusedFor('expired', mint(second, goodClaims({ exp: 1 })), many))
})
