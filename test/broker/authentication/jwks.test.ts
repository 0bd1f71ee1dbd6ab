import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  coolDownMs,
  fetchedJwks,
  fixedJwks,
  type PublishedKeys,
  parseJwks,
  refreshAfterMs,
  staleAfterMs,
} from '../../../src/broker/authentication/jwks.ts'
import { BrokerError } from '../../../src/errors.ts'
import { authenticator, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

const one = makeKey('ES256', 'one')
const two = makeKey('ES256', 'two')

/** Lets pending work settle. */
const settled = () => new Promise(resolve => setImmediate(resolve))

/** A JWKS whose issuer publishes `world.keys`, or is unavailable while that is undefined. */
function setUp(keys: readonly object[] | undefined = [one.jwk]) {
  const clock = movableClock()
  const world: { keys: readonly object[] | undefined; fetches: number } = { keys, fetches: 0 }
  const fetchKeys = async (): Promise<unknown> => {
    world.fetches++
    await settled()
    if (!world.keys) throw new Error('unavailable')
    return { keys: world.keys }
  }
  return { clock, world, set: fetchedJwks('onprem', fetchKeys, clock) }
}

describe('a JWK Set', () => {
  const priv = { ...one.privateKey.export({ format: 'jwk' }), kid: 'one' }
  const refused: readonly [document: unknown, message: RegExp, why: string][] = [
    [undefined, /no "keys"/, 'nothing'],
    [null, /no "keys"/, 'null'],
    ['{"keys":[]}', /no "keys"/, 'text'],
    [[one.jwk], /no "keys"/, 'a list'],
    [{ keys: one.jwk }, /no "keys"/, 'a key in place of the list'],
    [{ keys: [] }, /no key/, 'an empty list'],
    [{ keys: [null] }, /no key/, 'null as a key'],
    [{ keys: ['text'] }, /no key/, 'text as a key'],
    [{ keys: [{ ...one.jwk, use: 'enc' }] }, /no key/, 'keys for encryption only'],
    [{ keys: [priv] }, /no key/, 'a private key: anyone who reads it can sign as the issuer'],
    [{ keys: [{ ...priv, use: 'enc' }] }, /no key/, 'a private key for encryption'],
    [{ keys: [{ kty: 'oct', k: 'c2VjcmV0' }] }, /no key/, 'a symmetric key'],
    [{ keys: Array.from({ length: 101 }, () => one.jwk) }, /more than 100/, 'too many keys'],
  ]
  for (const [document, message, why] of refused) {
    test(`is refused: ${why}`, () => assert.throws(() => parseJwks(document), message))
  }

  test('is refused with a message that contains nothing of the private key', () => {
    assert.throws(
      () => parseJwks({ keys: [priv] }),
      (thrown: Error) => !thrown.message.includes(String(priv.d)),
    )
  })

  const accepted: readonly [keys: object[], why: string][] = [
    [[one.jwk], 'a key that does not say what it is for'],
    [[{ ...one.jwk, use: 'sig' }], 'a key for signatures'],
    [[{ ...one.jwk, use: 'jwt-svid' }], 'a key for JWT-SVIDs (SPIFFE)'],
    [
      [
        { ...two.jwk, use: 'x509-svid' },
        { ...one.jwk, use: 'jwt-svid' },
      ],
      'a SPIFFE bundle',
    ],
    [[{ ...two.jwk, kid: 'one', use: 'enc' }, one.jwk], 'a key for encryption beside it, under the same id'],
    [[{ kty: 'oct', k: 'c2VjcmV0' }, priv, one.jwk], 'keys beside it that must not be published: they are ignored'],
    [[...Array.from({ length: 99 }, () => two.jwk), one.jwk], 'a hundred keys'],
  ]
  for (const [keys, why] of accepted) {
    test(`is accepted: ${why}`, async () => {
      const authenticate = authenticator([issuerWith(fixedJwks(parseJwks({ keys })))], movableClock())
      assert.equal((await authenticate(mint(one, goodClaims()))).kind, 'jwt')
    })
  }

  test('a key for encryption verifies nothing', async () => {
    const keys = [{ ...one.jwk, use: 'enc' }, two.jwk]
    const authenticate = authenticator([issuerWith(fixedJwks(parseJwks({ keys })))], movableClock())
    await assert.rejects(async () => authenticate(mint(one, goodClaims())), { code: 'invalid_token' })
  })
})

describe('keys are fetched on use', () => {
  test('not before the first use, and then once, however many requests wait', async () => {
    const { set, world } = setUp()
    assert.equal(world.fetches, 0)
    const [first, ...others] = await Promise.all([set.ready(), set.ready(), set.ready()])
    assert.ok(others.every(each => each === first))
    assert.equal(world.fetches, 1)
  })

  test('not again for five minutes', async () => {
    const { set, world, clock } = setUp()
    const keys = await set.ready()
    clock.advance(refreshAfterMs - 1)
    assert.equal(await set.ready(), keys)
    await settled()
    assert.equal(world.fetches, 1)
  })

  test('after five minutes in the background, once; the old keys are used meanwhile', async () => {
    const { set, world, clock } = setUp()
    const keys = await set.ready()
    clock.advance(refreshAfterMs)
    assert.equal(set.current(), keys)
    assert.equal(set.current(), keys)
    await settled()
    await settled()
    assert.equal(world.fetches, 2)
    assert.equal(set.current(), keys, 'the same keys stay the same object')
    assert.equal(world.fetches, 2)
  })

  test('new keys are used once they are fetched', async () => {
    const { set, world, clock } = setUp()
    const keys = await set.ready()
    world.keys = [two.jwk]
    clock.advance(refreshAfterMs)
    assert.equal(set.current(), keys)
    await settled()
    await settled()
    assert.notEqual(set.current(), keys)
  })
})

describe('while the issuer is unavailable', () => {
  test('the first use fails, and says when to retry', async () => {
    const { set, clock } = setUp([])
    await assert.rejects(set.ready(), (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual([thrown.code, thrown.retryAfter], ['issuer_unavailable', 10])
      return true
    })
    clock.advance(9_500)
    await assert.rejects(set.ready(), { code: 'issuer_unavailable', retryAfter: 1 })
  })

  test('it is called once in ten seconds, however many requests come', async () => {
    const { set, clock, world } = setUp()
    world.keys = undefined
    await Promise.allSettled([set.ready(), set.ready()])
    clock.advance(coolDownMs - 1)
    await Promise.allSettled([set.ready(), set.ready()])
    assert.equal(world.fetches, 1)
    clock.advance(1)
    world.keys = [one.jwk]
    await set.ready()
    assert.equal(world.fetches, 2)
  })

  test('a key that was withdrawn while no request came is not used for the next request', async () => {
    const { set, clock, world } = setUp()
    await set.ready()
    world.keys = [two.jwk]
    clock.advance(staleAfterMs - 1)
    assert.equal(set.current(), undefined, 'the issuer is available: no reason to trust old keys')
    assert.deepEqual((await set.ready()).text, parseJwks({ keys: [two.jwk] }).text)
  })

  test('old keys are used for an hour, and not a millisecond longer', async () => {
    const { set, clock, world } = setUp()
    const keys = await set.ready()
    world.keys = undefined
    clock.advance(refreshAfterMs)
    assert.equal(set.current(), keys)
    await settled()
    clock.advance(staleAfterMs - refreshAfterMs - 1)
    assert.equal(set.current(), keys)
    await settled()
    await settled()
    clock.advance(1)
    assert.equal(set.current(), undefined)
    await assert.rejects(set.ready(), { code: 'issuer_unavailable' })
  })

  test('and keys are available again once the issuer is', async () => {
    const { set, clock, world } = setUp()
    await set.ready()
    world.keys = undefined
    clock.advance(staleAfterMs)
    await assert.rejects(set.ready())
    world.keys = [one.jwk]
    clock.advance(coolDownMs)
    assert.ok(await set.ready())
  })

  test('a response that is not a JWK Set counts as a failure', async () => {
    const { set, clock, world } = setUp()
    const keys = await set.ready()
    world.keys = []
    clock.advance(refreshAfterMs)
    set.current()
    await settled()
    await settled()
    assert.equal(set.current(), keys)
  })
})

describe('the wall clock', () => {
  test('does not change the age of keys', async () => {
    const { set, clock, world } = setUp()
    const keys = await set.ready()
    clock.jumpWall(10 * staleAfterMs)
    assert.equal(set.current(), keys)
    clock.jumpWall(-20 * staleAfterMs)
    assert.equal(set.current(), keys)
    assert.equal(world.fetches, 1)
  })
})

test('fixed keys never change', async () => {
  const keys: PublishedKeys = parseJwks({ keys: [one.jwk] })
  const set = fixedJwks(keys)
  assert.deepEqual([set.current(), await set.ready(), await set.newerThan(keys)], [keys, keys, keys])
})
