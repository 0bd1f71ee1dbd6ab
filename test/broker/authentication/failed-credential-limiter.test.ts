import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAdmission, createAuthenticate } from '../../../src/broker/authentication/authenticate.ts'
import { createCertificateVerifier } from '../../../src/broker/authentication/client-certificates.ts'
import {
  burst,
  createFailedCredentialLimiter,
  longestWaitSeconds,
  addressGroupOf,
  perSecond,
} from '../../../src/broker/authentication/failed-credential-limiter.ts'
import { cast, goodClaims, graph, issuerWith, makeKey, mint, policyOf } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const address = '192.0.2.7'

/** A limiter whose pauses end when the clock advances. */
function setUp() {
  const clock = movableClock()
  let pauses: { at: number; end: () => void }[] = []
  const failedCredentials = createFailedCredentialLimiter(clock, ms => {
    const { promise, resolve } = Promise.withResolvers<void>()
    pauses.push({ at: clock.monotonic() + ms, end: resolve })
    return promise
  })
  const advance = async (ms: number) => {
    clock.advance(ms)
    const due = pauses.filter(({ at }) => at <= clock.monotonic())
    pauses = pauses.filter(pause => !due.includes(pause))
    for (const { end } of due) end()
    await new Promise(resolve => setImmediate(resolve))
  }
  const failed = (times: number, from = address) => {
    for (let nth = 0; nth < times; nth++) failedCredentials.failed(from)
  }
  return { clock, failedCredentials, advance, failed, waits: () => pauses.length }
}

describe('an address from which bad credentials come', () => {
  test('does not wait while they are few', () => {
    const { failedCredentials, failed } = setUp()
    assert.equal(failedCredentials.acquire(address), undefined)
    failed(burst - 1)
    assert.equal(failedCredentials.acquire(address), undefined)
  })

  test('waits once they are many, longer with each that waits, and is refused in the end', async () => {
    const { failedCredentials, failed, advance, waits } = setUp()
    failed(burst)
    const passed: number[] = []
    const most = longestWaitSeconds * perSecond
    for (let nth = 0; nth < most; nth++) void failedCredentials.acquire(address)?.then(() => passed.push(nth))
    assert.equal(waits(), most)
    assert.throws(() => failedCredentials.acquire(address), {
      code: 'rate_limited',
      reason: 'bad_credentials',
      retryAfter: 2,
    })
    await advance(1000 / perSecond)
    assert.deepEqual(passed, [0])
    await advance(1000 / perSecond)
    assert.deepEqual(passed, [0, 1])
    assert.notEqual(failedCredentials.acquire(address), undefined, 'there is room for another')
  })

  test('credentials that are being verified count: a burst does not pass', async () => {
    const { failedCredentials, failed, advance, waits } = setUp()
    failed(burst - 3)
    for (let nth = 0; nth < 3; nth++) assert.equal(failedCredentials.acquire(address), undefined)
    void failedCredentials.acquire(address)
    assert.equal(waits(), 1, 'three are being verified, and three are left')
    await advance(1000 / perSecond)
    assert.equal(waits(), 0)
    assert.notEqual(failedCredentials.acquire(address), undefined, 'and one more waits after it')
  })

  test('credentials that turn out not to be bad do not count', () => {
    const { failedCredentials, failed } = setUp()
    failed(burst - 1)
    for (let nth = 0; nth < 50; nth++) {
      assert.equal(failedCredentials.acquire(address), undefined)
      failedCredentials.released(address)
    }
    assert.equal(failedCredentials.acquire(address), undefined)
    assert.notEqual(failedCredentials.acquire(address), undefined)
  })

  test('without bad credentials, any number may be verified at once: callers share addresses', () => {
    const { failedCredentials } = setUp()
    for (let nth = 0; nth < burst * 10; nth++) assert.equal(failedCredentials.acquire(address), undefined)
  })

  test('recovers in time, however many there were', async () => {
    const { failedCredentials, failed, advance } = setUp()
    failed(burst * 100)
    await advance(1000 / perSecond)
    assert.equal(failedCredentials.acquire(address), undefined)
    failed(1)
    assert.notEqual(failedCredentials.acquire(address), undefined)
    await advance((1000 * burst) / perSecond)
    failed(burst - 1)
    assert.equal(failedCredentials.acquire(address), undefined)
  })

  test('does not affect its neighbour', () => {
    const { failedCredentials, failed } = setUp()
    failed(burst)
    assert.equal(failedCredentials.acquire('192.0.2.8'), undefined)
  })

  test('of IPv6 counts by its network, which has any number of addresses', () => {
    const { failedCredentials, failed } = setUp()
    for (let nth = 0; nth < burst; nth++) failedCredentials.failed(`2001:db8:0:1::${nth.toString(16)}`)
    failed(0)
    assert.notEqual(failedCredentials.acquire('2001:db8:0:1:ffff:ffff:ffff:ffff'), undefined)
    assert.equal(failedCredentials.acquire('2001:db8:0:2::1'), undefined)
  })

  test('is evicted after ten thousand others', () => {
    const { failedCredentials, failed } = setUp()
    failed(burst)
    for (let nth = 0; nth < 10_000; nth++) failedCredentials.failed(`10.${nth >> 16}.${(nth >> 8) & 255}.${nth & 255}`)
    assert.equal(failedCredentials.acquire(address), undefined)
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

describe('before authentication', () => {
  const key = makeKey('ES256', 'one')
  const policy = policyOf({
    ...cast,
    apiKeys: {
      erp: { sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', expires: '2999-01-01' },
    },
    rules: [
      {
        name: 'a',
        callers: [{ apiKey: 'erp' }, { issuer: 'onprem', subject: 'x' }],
        tenants: ['contoso'],
        scopes: [graph],
      },
    ],
  })

  function broker() {
    const world = setUp()
    const { clock, failedCredentials } = world
    const admission = createAdmission(policy, [issuerWith([key.jwk])])
    const certificates = createCertificateVerifier(() => undefined, clock)
    const authenticate = createAuthenticate({ admission: () => admission, certificates, failedCredentials, clock })
    const from = (token: string, where = address) => Promise.resolve(authenticate(token, undefined, where))
    const attack = async (times: number) => {
      for (let nth = 0; nth < times; nth++)
        await assert.rejects(async () => authenticate(`bad-${nth}`, undefined, address))
    }
    return { ...world, authenticate, from, attack }
  }

  test('a cached caller never waits, nor does one with an API key', async () => {
    const { authenticate, from, attack, failedCredentials } = broker()
    const token = mint(key, goodClaims())
    await from(token)
    await attack(burst)
    assert.notEqual(failedCredentials.acquire(address), undefined)
    assert.ok(!(authenticate(token, undefined, address) instanceof Promise))
    assert.ok(!(authenticate('abc', undefined, address) instanceof Promise))
  })

  test('a good new token waits with the bad ones, and is accepted', async () => {
    const { from, attack, advance, waits } = broker()
    await attack(burst)
    const caller = from(mint(key, goodClaims()))
    assert.equal(waits(), 1)
    await advance(1000)
    assert.equal((await caller).kind, 'jwt')
  })

  test('many bad ones at the same moment do not get around it', async () => {
    const { from, attack, waits } = broker()
    await attack(burst - 1)
    const many = Array.from({ length: 50 }, async (_, nth) => from(`worse-${nth}`))
    const codes = many.map(each => each.then(String, (thrown: { code: string }) => thrown.code))
    assert.equal(waits(), longestWaitSeconds * perSecond)
    assert.equal(await codes[0], 'invalid_token')
    assert.equal(await codes.at(-1), 'rate_limited')
  })

  test('good new tokens do not count, even from an address of bad ones', async () => {
    const { from, attack, waits } = broker()
    await attack(burst - 1)
    for (let nth = 0; nth < 20; nth++) await from(mint(key, goodClaims({ jti: String(nth) })))
    assert.equal(waits(), 0)
  })

  test('a good new token from another address does not wait', async () => {
    const { from, attack, waits } = broker()
    await attack(burst)
    await from(mint(key, goodClaims()), '198.51.100.1')
    assert.equal(waits(), 0)
  })

  test('good tokens do not count, however many: callers share addresses', async () => {
    const { from, waits } = broker()
    for (let nth = 0; nth < burst * 2; nth++) await from(mint(key, goodClaims({ jti: String(nth) })))
    assert.equal(waits(), 0)
  })

  test('an unavailable issuer does not count', async () => {
    const { failedCredentials, clock } = broker()
    const unavailable = issuerWith({
      current: () => undefined,
      ready: () => Promise.reject(new Error('unavailable')),
      newerThan: seen => Promise.resolve(seen),
    })
    const admission = createAdmission(policy, [unavailable])
    const certificates = createCertificateVerifier(() => undefined, clock)
    const authenticate = createAuthenticate({ admission: () => admission, certificates, failedCredentials, clock })
    for (let nth = 0; nth < burst; nth++) {
      await assert.rejects(async () => authenticate(mint(key, goodClaims({ jti: String(nth) })), undefined, address))
    }
    assert.equal(failedCredentials.acquire(address), undefined)
    failedCredentials.failed(address)
    for (let nth = 0; nth < burst; nth++) {
      await assert.rejects(async () => authenticate(mint(key, goodClaims({ jti: String(nth) })), undefined, address))
    }
    assert.equal(failedCredentials.acquire(address), undefined, 'nor where bad ones came before')
  })
})
