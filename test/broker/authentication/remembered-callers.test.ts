import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import { fetchedJwks, refreshAfterMs, staleAfterMs } from '../../../src/broker/authentication/jwks.ts'
import { authenticator, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const key = makeKey('ES256', 'one')
const next = makeKey('ES256', 'two')
const token = mint(key, goodClaims())

/** An authentication whose issuer publishes `published.keys`; it is unavailable while that is undefined. */
function setUp() {
  const clock = movableClock()
  const published: { keys: readonly object[] | undefined } = { keys: [key.jwk] }
  const fetchKeys = () =>
    published.keys ? Promise.resolve({ keys: published.keys }) : Promise.reject(new Error('unavailable'))
  const keys = fetchedJwks('onprem', fetchKeys, clock)
  return { clock, published, keys, authenticate: authenticator([issuerWith(keys)], clock) }
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

describe('a caller is removed from the cache', () => {
  test('when the token expires: verified again within the tolerance, refused after it', async () => {
    const { authenticate, clock } = setUp()
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
    const { authenticate, clock } = setUp()
    await authenticate(token)
    clock.jumpWall(631_000)
    await assert.rejects(async () => authenticate(token), { code: 'invalid_token' })
  })

  test("when its issuer withdraws the key: refused from the issuer's next refresh on", async () => {
    const { authenticate, clock, published } = setUp()
    await authenticate(token)
    published.keys = [next.jwk]
    clock.advance(refreshAfterMs)
    assert.ok(isCached(authenticate(token)), 'the refresh is in the background')
    await settled()
    await assert.rejects(async () => authenticate(token), { code: 'invalid_token' })
  })

  test('when its issuer adds a key: verified again, and cached again', async () => {
    const { authenticate, published } = setUp()
    await authenticate(token)
    published.keys = [key.jwk, next.jwk]
    await authenticate(mint(next, goodClaims()))
    assert.ok(!isCached(authenticate(token)))
    await authenticate(token)
    assert.ok(isCached(authenticate(token)))
  })

  test('not when a refresh brings the same keys', async () => {
    const { authenticate, clock } = setUp()
    await authenticate(token)
    clock.advance(refreshAfterMs)
    assert.ok(isCached(authenticate(token)))
    await settled()
    assert.ok(isCached(authenticate(token)))
  })

  test('after ten thousand others: the cache is bounded, and the least recently used is evicted', async () => {
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

  test('when the keys are too old to be trusted: the issuer was unavailable for an hour', async () => {
    const { authenticate, clock, published } = setUp()
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
