import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import { fetchedJwks, refreshAfterMs, staleAfterMs } from '../../../src/broker/authentication/jwks.ts'
import { authenticator, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const key = makeKey('ES256', 'one')
const next = makeKey('ES256', 'two')
const token = mint(key, goodClaims())

/** An authentication whose issuer publishes `published.keys`; it is away while that is undefined. */
function setUp() {
  const clock = movableClock()
  const published: { keys: readonly object[] | undefined } = { keys: [key.jwk] }
  const fetchKeys = () =>
    published.keys ? Promise.resolve({ keys: published.keys }) : Promise.reject(new Error('away'))
  const keys = fetchedJwks('onprem', fetchKeys, clock)
  return { clock, published, keys, authenticate: authenticator([issuerWith(keys)], clock) }
}

/** Lets everything that is under way settle. */
const settled = () => new Promise(resolve => setImmediate(resolve))

const isRemembered = (result: Caller | Promise<Caller>): boolean => !(result instanceof Promise)

describe('a verified caller is remembered', () => {
  test('the second time there is nothing to wait for, and it is the same caller', async () => {
    const { authenticate } = setUp()
    const first = authenticate(token)
    assert.ok(!isRemembered(first))
    assert.ok(!isRemembered(authenticate(token)), 'not before it was verified')
    const caller = await first
    await settled()
    const again = authenticate(token)
    assert.ok(isRemembered(again))
    assert.deepEqual(await again, caller)
    assert.equal(authenticate(token), again)
  })

  test('another token of the same caller is another one', async () => {
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

  test('what was refused is refused again', async () => {
    const { authenticate } = setUp()
    const forged = mint(makeKey('ES256', 'one'), goodClaims())
    await assert.rejects(async () => authenticate(forged), { code: 'invalid_token' })
    await assert.rejects(async () => authenticate(forged), { code: 'invalid_token' })
  })
})

describe('it is forgotten', () => {
  test('when the token expires: verified again within the tolerance, refused after it', async () => {
    const { authenticate, clock } = setUp()
    const exp = noon / 1000 + 60
    const short = mint(key, goodClaims({ exp }))
    await authenticate(short)
    clock.advance(59_999)
    assert.ok(isRemembered(authenticate(short)))
    clock.advance(1)
    assert.ok(!isRemembered(authenticate(short)))
    await authenticate(short)
    assert.ok(!isRemembered(authenticate(short)), 'what has expired is not remembered again')
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
    assert.ok(isRemembered(authenticate(token)), 'the refresh is in the background')
    await settled()
    await assert.rejects(async () => authenticate(token), { code: 'invalid_token' })
  })

  test('when its issuer adds a key: verified again, and remembered again', async () => {
    const { authenticate, published } = setUp()
    await authenticate(token)
    published.keys = [key.jwk, next.jwk]
    await authenticate(mint(next, goodClaims()))
    assert.ok(!isRemembered(authenticate(token)))
    await authenticate(token)
    assert.ok(isRemembered(authenticate(token)))
  })

  test('not when a refresh brings the same keys', async () => {
    const { authenticate, clock } = setUp()
    await authenticate(token)
    clock.advance(refreshAfterMs)
    assert.ok(isRemembered(authenticate(token)))
    await settled()
    assert.ok(isRemembered(authenticate(token)))
  })

  test('for ten thousand others: what is remembered is bounded, and the one that was away longest goes', async () => {
    const { authenticate } = setUp()
    const tokens = Array.from({ length: 10_001 }, (_, nth) => mint(key, goodClaims({ jti: String(nth) })))
    const [first = '', second = '', ...others] = tokens
    await authenticate(first)
    await authenticate(second)
    for (let at = 0; at < others.length; at += 100)
      await Promise.all(others.slice(at, at + 100).map(async each => authenticate(each)))
    assert.ok(isRemembered(authenticate(second)))
    assert.ok(!isRemembered(authenticate(first)))
  })

  test('when the keys are too old to be trusted: the issuer was away for an hour', async () => {
    const { authenticate, clock, published } = setUp()
    const long = mint(key, goodClaims({ exp: noon / 1000 + 86_400 }))
    await authenticate(long)
    published.keys = undefined
    clock.advance(refreshAfterMs)
    assert.ok(isRemembered(authenticate(long)))
    await settled()
    clock.advance(staleAfterMs - refreshAfterMs - 1)
    assert.ok(isRemembered(authenticate(long)))
    await settled()
    clock.advance(1)
    await assert.rejects(async () => authenticate(long), { code: 'issuer_unavailable' })
  })
})

test('while the keys were never had, the caller is told to come again', async () => {
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
