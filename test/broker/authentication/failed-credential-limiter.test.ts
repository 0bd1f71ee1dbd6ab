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

/** Suspects whose pauses end when time moves on. */
function setUp() {
  const clock = movableClock()
  let pauses: { at: number; end: () => void }[] = []
  const suspects = createFailedCredentialLimiter(clock, ms => {
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
  const caught = (times: number, from = address) => {
    for (let nth = 0; nth < times; nth++) suspects.failed(from)
  }
  return { clock, suspects, advance, caught, waits: () => pauses.length }
}

describe('an address from which bad credentials come', () => {
  test('passes at once while they are few', () => {
    const { suspects, caught } = setUp()
    assert.equal(suspects.acquire(address), undefined)
    caught(burst - 1)
    assert.equal(suspects.acquire(address), undefined)
  })

  test('waits once they are many, longer the more wait, and is refused in the end', async () => {
    const { suspects, caught, advance, waits } = setUp()
    caught(burst)
    const passed: number[] = []
    const most = longestWaitSeconds * perSecond
    for (let nth = 0; nth < most; nth++) void suspects.acquire(address)?.then(() => passed.push(nth))
    assert.equal(waits(), most)
    assert.throws(() => suspects.acquire(address), { code: 'rate_limited', reason: 'bad_credentials', retryAfter: 2 })
    await advance(1000 / perSecond)
    assert.deepEqual(passed, [0])
    await advance(1000 / perSecond)
    assert.deepEqual(passed, [0, 1])
    assert.notEqual(suspects.acquire(address), undefined, 'there is room for another')
  })

  test('has as many before the first verdict as it would have after it: a burst does not slip through', async () => {
    const { suspects, caught, advance, waits } = setUp()
    caught(burst - 3)
    for (let nth = 0; nth < 3; nth++) assert.equal(suspects.acquire(address), undefined)
    void suspects.acquire(address)
    assert.equal(waits(), 1, 'three are being verified, and three are left')
    await advance(1000 / perSecond)
    assert.equal(waits(), 0)
    assert.notEqual(suspects.acquire(address), undefined, 'nor one more once that has passed too')
  })

  test('has those back that turn out not to be bad', () => {
    const { suspects, caught } = setUp()
    caught(burst - 1)
    for (let nth = 0; nth < 50; nth++) {
      assert.equal(suspects.acquire(address), undefined)
      suspects.released(address)
    }
    assert.equal(suspects.acquire(address), undefined)
    assert.notEqual(suspects.acquire(address), undefined)
  })

  test('that is not suspected may have any number verified at once: callers share addresses', () => {
    const { suspects } = setUp()
    for (let nth = 0; nth < burst * 10; nth++) assert.equal(suspects.acquire(address), undefined)
  })

  test('is forgiven in time, however many there were', async () => {
    const { suspects, caught, advance } = setUp()
    caught(burst * 100)
    await advance(1000 / perSecond)
    assert.equal(suspects.acquire(address), undefined)
    caught(1)
    assert.notEqual(suspects.acquire(address), undefined)
    await advance((1000 * burst) / perSecond)
    caught(burst - 1)
    assert.equal(suspects.acquire(address), undefined)
  })

  test('is another than its neighbour', () => {
    const { suspects, caught } = setUp()
    caught(burst)
    assert.equal(suspects.acquire('192.0.2.8'), undefined)
  })

  test('of IPv6 is known by its network: there is no end of addresses in it', () => {
    const { suspects, caught } = setUp()
    for (let nth = 0; nth < burst; nth++) suspects.failed(`2001:db8:0:1::${nth.toString(16)}`)
    caught(0)
    assert.notEqual(suspects.acquire('2001:db8:0:1:ffff:ffff:ffff:ffff'), undefined)
    assert.equal(suspects.acquire('2001:db8:0:2::1'), undefined)
  })

  test('is forgotten for ten thousand others', () => {
    const { suspects, caught } = setUp()
    caught(burst)
    for (let nth = 0; nth < 10_000; nth++) suspects.failed(`10.${nth >> 16}.${(nth >> 8) & 255}.${nth & 255}`)
    assert.equal(suspects.acquire(address), undefined)
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

describe('in front of authentication', () => {
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
    const { clock, suspects } = world
    const admission = createAdmission(policy, [issuerWith([key.jwk])])
    const certificates = createCertificateVerifier(() => undefined, clock)
    const authenticate = createAuthenticate({
      admission: () => admission,
      certificates,
      failedCredentials: suspects,
      clock,
    })
    const from = (token: string, where = address) => Promise.resolve(authenticate(token, undefined, where))
    const attack = async (times: number) => {
      for (let nth = 0; nth < times; nth++)
        await assert.rejects(async () => authenticate(`bad-${nth}`, undefined, address))
    }
    return { ...world, authenticate, from, attack }
  }

  test('a caller who is remembered is never kept waiting, nor one with an API key', async () => {
    const { authenticate, from, attack, suspects } = broker()
    const token = mint(key, goodClaims())
    await from(token)
    await attack(burst)
    assert.notEqual(suspects.acquire(address), undefined)
    assert.ok(!(authenticate(token, undefined, address) instanceof Promise))
    assert.ok(!(authenticate('abc', undefined, address) instanceof Promise))
  })

  test('a good token that is new waits with the bad ones, and passes', async () => {
    const { from, attack, advance, waits } = broker()
    await attack(burst)
    const caller = from(mint(key, goodClaims()))
    assert.equal(waits(), 1)
    await advance(1000)
    assert.equal((await caller).kind, 'jwt')
  })

  test('many bad ones at the same moment are no way around it', async () => {
    const { from, attack, waits } = broker()
    await attack(burst - 1)
    const many = Array.from({ length: 50 }, async (_, nth) => from(`worse-${nth}`))
    const codes = many.map(each => each.then(String, (thrown: { code: string }) => thrown.code))
    assert.equal(waits(), longestWaitSeconds * perSecond)
    assert.equal(await codes[0], 'invalid_token')
    assert.equal(await codes.at(-1), 'rate_limited')
  })

  test('good tokens that are new give back what they take, also where bad ones came from', async () => {
    const { from, attack, waits } = broker()
    await attack(burst - 1)
    for (let nth = 0; nth < 20; nth++) await from(mint(key, goodClaims({ jti: String(nth) })))
    assert.equal(waits(), 0)
  })

  test('elsewhere, a good token that is new does not wait', async () => {
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

  test('an issuer that is away does not count: its callers are not to blame', async () => {
    const { suspects, clock } = broker()
    const away = issuerWith({
      current: () => undefined,
      ready: () => Promise.reject(new Error('away')),
      newerThan: seen => Promise.resolve(seen),
    })
    const admission = createAdmission(policy, [away])
    const certificates = createCertificateVerifier(() => undefined, clock)
    const authenticate = createAuthenticate({
      admission: () => admission,
      certificates,
      failedCredentials: suspects,
      clock,
    })
    for (let nth = 0; nth < burst; nth++) {
      await assert.rejects(async () => authenticate(mint(key, goodClaims({ jti: String(nth) })), undefined, address))
    }
    assert.equal(suspects.acquire(address), undefined)
    suspects.failed(address)
    for (let nth = 0; nth < burst; nth++) {
      await assert.rejects(async () => authenticate(mint(key, goodClaims({ jti: String(nth) })), undefined, address))
    }
    assert.equal(suspects.acquire(address), undefined, 'nor where bad ones came before')
  })
})
