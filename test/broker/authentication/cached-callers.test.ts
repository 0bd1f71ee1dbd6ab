import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { VerifiedJwt } from '../../../src/broker/authentication/jwt.ts'
import { VerifiedJwtCache } from '../../../src/broker/authentication/verified-jwt-cache.ts'
import type { Clock } from '../../../src/broker/lib/clock.ts'
import { fetchedJwks, refreshAfterMs, staleAfterMs } from '../../../src/broker/authentication/jwks.ts'
import { authenticator, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const key = makeKey('ES256', 'one')
const next = makeKey('ES256', 'two')
const token = mint(key, goodClaims())

/**
 * An authentication whose issuer publishes `published.keys`; it is unavailable while that is undefined.
 *
 * @param connection on which all credentials are sent
 */
function setUp(connection?: object) {
  const clock = movableClock()
  const published: { keys: readonly object[] | undefined } = { keys: [key.jwk] }
  const fetchKeys = () =>
    published.keys ? Promise.resolve({ keys: published.keys }) : Promise.reject(new Error('unavailable'))
  const keys = fetchedJwks('onprem', fetchKeys, clock)
  const authenticate = authenticator([issuerWith(keys)], clock)
  return { clock, published, keys, authenticate: (text: string) => authenticate(text, undefined, '', connection) }
}

async function verifiedJwt(clock: Clock): Promise<VerifiedJwt> {
  const issuer = issuerWith([key.jwk])
  const caller = await authenticator([issuer], clock)(token)
  const keys = issuer.keys.current()
  if (caller.kind !== 'jwt' || keys === undefined) throw new Error('the keys were not there at once')
  return { caller, issuer, keys, expiresAt: noon + 60_000, boundTo: undefined }
}

/** Lets pending work settle. */
const settled = () => new Promise(resolve => setImmediate(resolve))

const isCached = (result: Caller | Promise<Caller>): boolean => !(result instanceof Promise)

describe('a verified caller is cached', () => {
  test('the second time it is returned at once, and is the same caller', async () => {
    const { authenticate } = setUp()
    const first = authenticate(token)
    assert.ok(!isCached(first))
    assert.ok(!isCached(authenticate(token)), 'not before it was verified')
    const caller = await first
    await settled()
    const again = authenticate(token)
    assert.ok(isCached(again))
    assert.deepEqual(await again, caller)
    assert.equal(authenticate(token), again)
  })

  test('another token of the same caller is another object', async () => {
    const { authenticate } = setUp()
    const caller = await authenticate(token)
    const other = await authenticate(mint(key, goodClaims()))
    assert.notEqual(other, caller)
  })

  test('a token that differs in a character is not the one that was verified', async () => {
    const { authenticate } = setUp()
    await authenticate(token)
    await assert.rejects(async () => authenticate(`${token}A`), { code: 'invalid_token' })
    await assert.rejects(async () => authenticate(token.slice(0, -2)), { code: 'invalid_token' })
  })

  test('a refusal is not cached', async () => {
    const { authenticate } = setUp()
    const forged = mint(makeKey('ES256', 'one'), goodClaims())
    await assert.rejects(async () => authenticate(forged), { code: 'invalid_token' })
    await assert.rejects(async () => authenticate(forged), { code: 'invalid_token' })
  })
})

for (const [how, connection] of [
  ['by its hash', undefined],
  ['as the last of its connection', {}],
] as const)
  describe(`a caller that is found ${how} is removed from the cache`, () => {
    test('when the token expires: verified again within the tolerance, refused after it', async () => {
      const { authenticate, clock } = setUp(connection)
      const exp = noon / 1000 + 60
      const short = mint(key, goodClaims({ exp }))
      await authenticate(short)
      clock.advance(59_999)
      assert.ok(isCached(authenticate(short)))
      clock.advance(1)
      assert.ok(!isCached(authenticate(short)))
      await authenticate(short)
      assert.ok(!isCached(authenticate(short)), 'an expired token is not cached again')
      await settled()
      clock.advance(30_000)
      await assert.rejects(async () => authenticate(short), { code: 'invalid_token' })
    })

    test('when the wall clock jumps beyond its expiry', async () => {
      const { authenticate, clock } = setUp(connection)
      await authenticate(token)
      clock.jumpWall(631_000)
      await assert.rejects(async () => authenticate(token), { code: 'invalid_token' })
    })

    test("when its issuer withdraws the key: refused from the issuer's next refresh on", async () => {
      const { authenticate, clock, published } = setUp(connection)
      await authenticate(token)
      published.keys = [next.jwk]
      clock.advance(refreshAfterMs)
      assert.ok(isCached(authenticate(token)), 'the refresh is in the background')
      await settled()
      await assert.rejects(async () => authenticate(token), { code: 'invalid_token' })
    })

    test('when its issuer adds a key: verified again, and cached again', async () => {
      const { authenticate, published } = setUp(connection)
      await authenticate(token)
      published.keys = [key.jwk, next.jwk]
      await authenticate(mint(next, goodClaims()))
      assert.ok(!isCached(authenticate(token)))
      await authenticate(token)
      assert.ok(isCached(authenticate(token)))
    })

    test('not when a refresh brings the same keys', async () => {
      const { authenticate, clock } = setUp(connection)
      await authenticate(token)
      clock.advance(refreshAfterMs)
      assert.ok(isCached(authenticate(token)))
      await settled()
      assert.ok(isCached(authenticate(token)))
    })

    test('when the keys are too old to be trusted: the issuer was unavailable for an hour', async () => {
      const { authenticate, clock, published } = setUp(connection)
      const long = mint(key, goodClaims({ exp: noon / 1000 + 86_400 }))
      await authenticate(long)
      published.keys = undefined
      clock.advance(refreshAfterMs)
      assert.ok(isCached(authenticate(long)))
      await settled()
      clock.advance(staleAfterMs - refreshAfterMs - 1)
      assert.ok(isCached(authenticate(long)))
      await settled()
      clock.advance(1)
      await assert.rejects(async () => authenticate(long), { code: 'issuer_unavailable' })
    })
  })

test('after ten thousand others, a caller is not cached any more: the least recently used is evicted', async () => {
  const { authenticate } = setUp()
  const tokens = Array.from({ length: 10_001 }, (_, nth) => mint(key, goodClaims({ jti: String(nth) })))
  const [first = '', second = '', ...others] = tokens
  await authenticate(first)
  await authenticate(second)
  for (let at = 0; at < others.length; at += 100)
    await Promise.all(others.slice(at, at + 100).map(async each => authenticate(each)))
  assert.ok(isCached(authenticate(second)))
  assert.ok(!isCached(authenticate(first)))
})

describe('on a connection that sends one token again and again', () => {
  const connection = {}
  const hashOnly = 4097

  test('another token is another caller, also one that differs in a character, and an API key is none of them', async () => {
    const { authenticate } = setUp(connection)
    const [one, two] = [token, mint(key, goodClaims({ sub: 'system:serviceaccount:billing:other' }))]
    for (let n = 0; n < 3; n++) {
      for (const each of [one, one, two, two]) {
        const caller = await authenticate(each)
        assert.equal(caller.kind === 'jwt' && caller.subject === goodClaims()['sub'], each === one)
      }
      await assert.rejects(async () => authenticate(`${one.slice(0, -1)}${one.endsWith('A') ? 'Q' : 'A'}`))
      await assert.rejects(async () => authenticate('tb_not-a-key'), { code: 'invalid_token' })
    }
  })

  test('it is found without its hash, and is not read as another version of the policy would', async () => {
    const clock = movableClock()
    const cache = new VerifiedJwtCache(clock)
    const verified = await verifiedJwt(clock)
    const [policy, newer] = [{}, {}]
    assert.equal(cache.find('hash', policy, connection), undefined)
    cache.store('hash', token, verified, policy)
    assert.equal(cache.findLast(connection, token, policy), undefined, 'not before it is found on the connection')
    assert.equal(cache.find('hash', policy, connection), verified)
    assert.equal(cache.findLast(connection, token, policy), verified)
    assert.equal(cache.findLast({}, token, policy), undefined)
    assert.equal(cache.findLast(connection, token, newer), undefined)
    assert.equal(cache.find('hash', newer, connection), undefined)
    assert.equal(cache.findLast(connection, token, policy), undefined)
  })

  for (const [length, isKept] of [
    [hashOnly - 1, true],
    [hashOnly, false],
  ] as const)
    test(`a token of ${length} characters is ${isKept ? '' : 'not '}kept as a text: connections must not fill the memory`, async () => {
      const clock = movableClock()
      const cache = new VerifiedJwtCache(clock)
      const verified = await verifiedJwt(clock)
      const [policy, text] = [{}, 'x'.repeat(length)]
      cache.find('hash', policy, connection)
      cache.store('hash', text, verified, policy)
      assert.equal(cache.find('hash', policy, connection), verified)
      assert.equal(cache.findLast(connection, text, policy) === verified, isKept)
    })
})

test('before any keys were fetched, the error says when to retry', async () => {
  const { authenticate, published } = setUp()
  published.keys = undefined
  await assert.rejects(async () => authenticate(token), { code: 'issuer_unavailable', retryAfter: 10 })
})

test('a token of an unknown issuer costs the known issuer no fetch', async () => {
  const clock = movableClock()
  let fetches = 0
  const keys = fetchedJwks('onprem', () => Promise.resolve({ keys: [{ ...key.jwk, nth: ++fetches }] }), clock)
  const authenticate = authenticator([issuerWith(keys)], clock)
  await assert.rejects(async () => authenticate(mint(key, goodClaims({ iss: 'https://attacker.example' }))))
  assert.equal(fetches, 0)
})
