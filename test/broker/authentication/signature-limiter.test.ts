import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAdmission, createAuthenticate } from '../../../src/broker/authentication/authenticate.ts'
import { createCertificateVerifier } from '../../../src/broker/authentication/client-certificates.ts'
import type { Jwks } from '../../../src/broker/authentication/jwks.ts'
import {
  addressGroupOf,
  createSignatureLimiter,
  longestWaitSeconds,
  maxConcurrent,
  maxWaiting,
  type SignatureLimiter,
} from '../../../src/broker/authentication/signature-limiter.ts'
import { cast, goodClaims, issuerWith, type Json, makeKey, mint, policyOf } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const address = '192.0.2.7'
/** Lets pending work settle. */
const settled = () => new Promise(resolve => setImmediate(resolve))

/** A limiter, and verifications that end one by one, in the order in which they began. */
function setUp() {
  const clock = movableClock()
  const limiter = createSignatureLimiter(clock)
  const running: { name: string; end: () => void }[] = []
  const verify = (name: string, from = address) =>
    limiter.run(from, () => {
      const { promise, resolve } = Promise.withResolvers<string>()
      running.push({ name, end: () => resolve(name) })
      return promise
    })
  const end = async () => {
    running.shift()?.end()
    await settled()
  }
  return { clock, limiter, verify, end, running: () => running.map(({ name }) => name) }
}

describe('signatures of one address', () => {
  test('are verified two at a time, first in first out', async () => {
    const { verify, end, running } = setUp()
    const all = ['a', 'b', 'c', 'd'].map(async name => verify(name))
    await settled()
    assert.deepEqual(running(), ['a', 'b'])
    await end()
    assert.deepEqual(running(), ['b', 'c'])
    await end()
    await end()
    await end()
    assert.deepEqual(await Promise.all(all), ['a', 'b', 'c', 'd'])
  })

  test('do not delay those of another address', async () => {
    const { verify, running } = setUp()
    for (let nth = 0; nth < 50; nth++) void verify('bad')
    void verify('good', '192.0.2.8')
    await settled()
    assert.deepEqual(running(), ['bad', 'bad', 'good'])
  })

  test('of IPv6 are those of its network, which has any number of addresses', async () => {
    const { verify, running } = setUp()
    for (let nth = 0; nth < 50; nth++) void verify('bad', `2001:db8:0:1::${nth.toString(16)}`)
    void verify('good', '2001:db8:0:2::1')
    await settled()
    assert.deepEqual(running(), ['bad', 'bad', 'good'])
  })

  test('a failed one makes room too', async () => {
    const { limiter } = setUp()
    for (let nth = 0; nth < 10; nth++)
      await assert.rejects(
        limiter.run(address, () => Promise.reject(new Error('bad'))),
        { message: 'bad' },
      )
    assert.equal(await limiter.run(address, () => Promise.resolve('good')), 'good')
  })

  test(`beyond ${maxWaiting} that wait, the next is refused, and has room again after one has ended`, async () => {
    const { verify, end } = setUp()
    const waiting = Array.from({ length: maxConcurrent + maxWaiting }, async () => verify('a'))
    const refused = { code: 'rate_limited', reason: 'bad_credentials', retryAfter: longestWaitSeconds }
    await assert.rejects(verify('b'), refused)
    await end()
    const late = verify('c')
    for (let nth = 0; nth < maxConcurrent + maxWaiting; nth++) await end()
    assert.equal((await Promise.all([...waiting, late])).at(-1), 'c')
  })

  test('wait five seconds at most', async () => {
    const { clock, verify, end, running } = setUp()
    void verify('a')
    void verify('b')
    const early = verify('c')
    await settled()
    const refusal = assert.rejects(early, { code: 'rate_limited', retryAfter: longestWaitSeconds })
    clock.advance(longestWaitSeconds * 1000 + 1)
    const late = verify('d')
    await end()
    await refusal
    assert.deepEqual(running(), ['b', 'd'])
    await end()
    await end()
    assert.equal(await late, 'd')
  })
})

describe('the network of an address', () => {
  const table: readonly [address: string, expected: string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['', ''],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000:0000:0001::', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['1:2:3::4', '1:2:3:0::/64'],
  ]
  for (const [text, expected] of table)
    test(`${text} → ${expected}`, () => assert.equal(addressGroupOf(text), expected))
})

describe('authentication', () => {
  const key = makeKey('ES256', 'one')
  const foreign = makeKey('ES256', 'one')
  const policy = policyOf({
    ...cast,
    apiKeys: {
      erp: { sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', expires: '2999-01-01' },
    },
    rules: [{ name: 'a', callers: [{ apiKey: 'erp' }, { issuer: 'onprem', subject: 'x' }], permissions: ['purge'] }],
  })

  function broker(signatures: SignatureLimiter, keys?: Jwks) {
    const clock = movableClock()
    const admission = createAdmission(policy, [issuerWith(keys ?? [key.jwk])])
    const certificates = createCertificateVerifier(() => undefined, clock)
    const authenticate = createAuthenticate({ admission: () => admission, certificates, signatures, clock })
    return (token: string) => Promise.resolve().then(() => authenticate(token, undefined, address))
  }
  const good = (changes: Json = {}) => mint(key, goodClaims({ jti: crypto.randomUUID(), ...changes }))
  /** A limiter under which nothing gets a turn. */
  const stuck: SignatureLimiter = { run: () => Promise.reject(new Error('it waited for a turn')) }

  test('60 connections with bad signatures and 40 good new tokens at one address: every good one is accepted', async () => {
    const authenticate = broker(createSignatureLimiter(movableClock()))
    const flood = { isOver: false }
    const attack = async () => {
      const forged = mint(foreign, goodClaims())
      let refused = 0
      for (; !flood.isOver; refused++)
        await assert.rejects(authenticate(forged), { code: 'invalid_token', reason: 'signature' })
      return refused
    }
    const attackers = Array.from({ length: 60 }, attack)
    try {
      for (let round = 0; round < 5; round++) {
        const callers = await Promise.all(Array.from({ length: 40 }, async () => authenticate(good())))
        assert.ok(callers.every(({ kind }) => kind === 'jwt'))
      }
    } finally {
      flood.isOver = true
    }
    const refused = (await Promise.all(attackers)).reduce((sum, each) => sum + each, 0)
    assert.ok(refused > 200, String(refused))
  })

  const free: readonly [token: string, reason: string][] = [
    ['bad', 'malformed'],
    [`${good()}=`, 'malformed'],
    [good({ iss: 'https://attacker.example' }), 'issuer'],
    [good({ aud: 'other' }), 'audience'],
    [good({ aud: undefined }), 'audience'],
    [good({ exp: 1 }), 'expired'],
    [good({ nbf: 9e9 }), 'not_yet_valid'],
    [mint(key, goodClaims(), { typ: 'logout+jwt' }), 'type'],
    [mint(key, goodClaims(), { alg: 'HS256' }), 'algorithm'],
    [mint(key, goodClaims(), { alg: undefined }), 'malformed'],
  ]
  for (const [nth, [token, reason]] of free.entries()) {
    test(`waits for nothing that costs no verification: ${reason} (${nth})`, () =>
      assert.rejects(broker(stuck)(token), { code: 'invalid_token', reason }))
  }

  test('a cached caller never waits, nor does one with an API key', async () => {
    let isStuck = false
    const authenticate = broker({ run: (_, verify) => (isStuck ? stuck.run(_, verify) : verify()) })
    const token = good()
    await authenticate(token)
    isStuck = true
    assert.equal((await authenticate(token)).kind, 'jwt')
    assert.equal((await authenticate('abc')).kind, 'apiKey')
    await assert.rejects(authenticate(good()), { code: 'internal_error' })
  })

  test('takes no place while the keys of an issuer are fetched', async () => {
    const never: Jwks = {
      current: () => undefined,
      ready: () => new Promise(() => undefined),
      newerThan: seen => Promise.resolve(seen),
    }
    const authenticate = broker(stuck, never)
    const pending = Symbol('pending')
    assert.equal(await Promise.race([authenticate(good()), settled().then(() => pending)]), pending)
  })
})
