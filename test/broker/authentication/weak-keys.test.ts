import assert from 'node:assert/strict'
import { checkPrimeSync, hash, randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import type { JWK } from 'jose'
import { fixedJwks, parseJwks } from '../../../src/broker/authentication/jwks.ts'
import { isWeakKey } from '../../../src/broker/authentication/weak-keys.ts'
import { authenticator, encode, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const rsa = makeKey('RS256', 'weak')
const good = makeKey('ES256', 'good')

const toBytes = (value: bigint): Buffer => {
  const text = value.toString(16)
  return Buffer.from(text.padStart(text.length + (text.length % 2), '0'), 'hex')
}
const base64url = (value: bigint): string => toBytes(value).toString('base64url')
const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)

/** The message that RS256 signs (RFC 8017 §9.2), which with e = 1 is the signature. */
function padded(input: string, length: number): Buffer {
  const digest = Buffer.concat([
    Buffer.from('3031300d060960864801650304020105000420', 'hex'),
    hash('sha256', input, 'buffer'),
  ])
  const filler = Buffer.alloc(length - digest.length - 3, 0xff)
  return Buffer.concat([Buffer.from([0, 1]), filler, Buffer.from([0]), digest])
}

/** A token that an attacker made without the private key. */
function forged(alg: string, signatureOf: (input: string) => Buffer): string {
  const input = `${encode({ alg, kid: 'weak', typ: 'JWT' })}.${encode(goodClaims({ sub: 'attacker' }))}`
  return `${input}.${signatureOf(input).toString('base64url')}`
}

/** A prime as the library of ROCA made it: a power of 65537, modulo the product of the primes up to 167. */
function rocaPrime(): bigint {
  const small = Array.from({ length: 166 }, (_, at) => BigInt(at + 2)).filter(each => checkPrimeSync(each))
  const product = small.reduce((all, each) => all * each, 1n)
  const exponent = randomBytes(2).readUInt16BE()
  let power = 1n
  for (let nth = 0; nth < exponent; nth++) power = (power * 65_537n) % product
  for (;;) {
    const prime = ((number(randomBytes(128)) | (3n << 1022n)) / product) * product + power
    if (checkPrimeSync(prime)) return prime
  }
}

const roca = base64url(rocaPrime() * rocaPrime())
const modulus = number(Buffer.from(rsa.jwk.n ?? '', 'base64url'))
const edwards = (hex: string): JWK => ({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(hex, 'hex').toString('base64url') })

const weak: readonly [key: JWK, why: string][] = [
  [{ ...rsa.jwk, e: base64url(0n) }, 'RSA with e = 0'],
  [{ ...rsa.jwk, e: '' }, 'RSA with an empty e'],
  [{ ...rsa.jwk, e: base64url(1n) }, 'RSA with e = 1'],
  [{ ...rsa.jwk, e: 'AAAB' }, 'RSA with e = 1 and zeros before it'],
  [{ ...rsa.jwk, e: base64url(2n) }, 'RSA with e = 2'],
  [{ ...rsa.jwk, e: base64url(65_536n) }, 'RSA with an even e'],
  [{ ...rsa.jwk, e: base64url(2n ** 64n + 1n) }, 'RSA with an e of more than 64 bits'],
  [{ ...rsa.jwk, n: base64url(modulus + 1n) }, 'RSA with an even modulus'],
  [{ ...rsa.jwk, n: roca }, 'RSA with the fingerprint of ROCA'],
  [edwards(`01${'00'.repeat(31)}`), 'Ed25519, the neutral element'],
  [edwards(`01${'00'.repeat(30)}80`), 'Ed25519, the neutral element with the other sign'],
  [edwards('00'.repeat(32)), 'Ed25519, order 4'],
  [edwards(`ec${'ff'.repeat(30)}7f`), 'Ed25519, order 2'],
  [edwards(`ed${'ff'.repeat(30)}7f`), 'Ed25519, order 4, not reduced'],
  [edwards(`ee${'ff'.repeat(30)}7f`), 'Ed25519, the neutral element, not reduced'],
  [edwards('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'), 'Ed25519, order 8'],
  [edwards('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'), 'Ed25519, order 8, the other'],
]

describe('a key with which everybody can sign verifies nothing', () => {
  for (const [key, why] of weak) {
    test(`${why}: it is ignored, and the keys beside it are used`, () => {
      assert.ok(isWeakKey(key))
      assert.throws(() => parseJwks({ keys: [key] }), /no key/)
      assert.deepEqual(JSON.parse(parseJwks({ keys: [key, good.jwk] }).text), { keys: [good.jwk] })
    })
  }

  test('a token that an attacker forged under RSA with e = 1 is refused', async () => {
    const keys = fixedJwks(parseJwks({ keys: [{ ...rsa.jwk, e: 'AQ' }, good.jwk] }))
    const token = forged('RS256', input => padded(input, 256))
    const authenticate = authenticator([issuerWith(keys)], movableClock())
    await assert.rejects(async () => authenticate(token), { code: 'invalid_token', reason: 'key' })
  })
})

describe('a key that only its holder can sign with is used', () => {
  const table: readonly [key: JWK, why: string][] = [
    [rsa.jwk, 'RSA with e = 65537'],
    [{ ...rsa.jwk, e: 'Aw' }, 'RSA with e = 3'],
    [{ ...rsa.jwk, e: base64url(2n ** 64n - 1n) }, 'RSA with the longest e'],
    [makeKey('RS256', undefined, 3072).jwk, 'RSA of 3072 bits'],
    [makeKey('RS256', undefined, 4096).jwk, 'RSA of 4096 bits'],
    [makeKey('EdDSA').jwk, 'Ed25519'],
    [makeKey('ES256').jwk, 'P-256'],
    [makeKey('ES512').jwk, 'P-521'],
  ]
  for (const [key, why] of table) test(why, () => assert.ok(!isWeakKey(key)))

  test('and verifies a token', async () => {
    const authenticate = authenticator([issuerWith([rsa.jwk])], movableClock())
    assert.equal((await authenticate(mint(rsa, goodClaims()))).kind, 'jwt')
  })
})
