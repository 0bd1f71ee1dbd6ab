import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { coolDownMs, fetchedJwks, refreshAfterMs, staleAfterMs } from '../../../src/broker/authentication/jwks.ts'
import { authenticator, goodClaims, issuerWith, makeKey, mint } from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const one = makeKey('ES256', 'one')
const two = makeKey('ES256', 'two')
const three = makeKey('ES256', 'three')
const attacker = makeKey('ES256', 'attacker')

const claims = goodClaims({ exp: noon / 1000 + 86_400 })
const forged = (nth: number) => mint(attacker, claims, { kid: `forged-${nth}` })

const settled = () => new Promise(resolve => setImmediate(resolve))

/** An authentication whose issuer publishes `world.keys`, or is unavailable while that is undefined. */
function setUp() {
  const clock = movableClock()
  const world: { keys: readonly object[] | undefined; fetches: number } = { keys: [one.jwk], fetches: 0 }
  const fetchKeys = async (): Promise<unknown> => {
    world.fetches++
    await settled()
    if (!world.keys) throw new Error('unavailable')
    return { keys: world.keys }
  }
  const keys = fetchedJwks('onprem', fetchKeys, clock)
  const authenticate = authenticator([issuerWith(keys)], clock)
  /** `accepted`, or the code of the refusal. */
  const verdict = async (token: string): Promise<string> => {
    try {
      await authenticate(token)
      return 'accepted'
    } catch (thrown) {
      return (thrown as { code: string }).code
    }
  }
  return { clock, world, keys, verdict }
}

describe('a rotation works at once', () => {
  test('the first token under a new key fetches it', async () => {
    const { verdict, world } = setUp()
    assert.equal(await verdict(mint(one, claims)), 'accepted')
    world.keys = [one.jwk, two.jwk]
    assert.equal(await verdict(mint(two, claims)), 'accepted')
    assert.equal(world.fetches, 2)
  })

  test('many such tokens at once fetch it once', async () => {
    const { verdict, world } = setUp()
    await verdict(mint(one, claims))
    world.keys = [two.jwk]
    const tokens = Array.from({ length: 50 }, (_, nth) => mint(two, goodClaims({ sub: `caller-${nth}` })))
    const verdicts = await Promise.all(tokens.map(verdict))
    assert.deepEqual(new Set(verdicts), new Set(['accepted']))
    assert.equal(world.fetches, 2)
  })

  test('a second rotation is noticed after the cool-down', async () => {
    const { verdict, world, clock } = setUp()
    await verdict(mint(one, claims))
    world.keys = [two.jwk]
    await verdict(mint(two, claims))
    world.keys = [three.jwk]
    assert.equal(await verdict(mint(three, claims)), 'invalid_token')
    clock.advance(coolDownMs)
    assert.equal(await verdict(mint(three, claims)), 'accepted')
  })

  test('the old key is refused once it is withdrawn', async () => {
    const { verdict, world } = setUp()
    await verdict(mint(one, claims))
    world.keys = [two.jwk]
    await verdict(mint(two, claims))
    assert.equal(await verdict(mint(one, claims)), 'invalid_token')
  })
})

describe('forged key ids cost the issuer', () => {
  test('one fetch per ten seconds, however many come', async () => {
    const { verdict, world, clock } = setUp()
    await verdict(mint(one, claims))
    await Promise.all(Array.from({ length: 50 }, (_, nth) => verdict(forged(nth))))
    assert.equal(world.fetches, 2)
    clock.advance(coolDownMs - 1)
    await verdict(forged(100))
    assert.equal(world.fetches, 2)
    clock.advance(1)
    await verdict(forged(101))
    assert.equal(world.fetches, 3)
  })

  test('no more while it is unavailable', async () => {
    const { verdict, world, clock } = setUp()
    await verdict(mint(one, claims))
    world.keys = undefined
    for (let second = 0; second < 10; second++) {
      await Promise.all([verdict(forged(second)), verdict(forged(second + 100))])
      clock.advance(999)
    }
    assert.equal(world.fetches, 2)
  })

  test('nothing if no keys were ever fetched', async () => {
    const { verdict, world } = setUp()
    world.keys = undefined
    assert.equal(await verdict(forged(1)), 'issuer_unavailable')
    assert.equal(await verdict(forged(2)), 'issuer_unavailable')
    assert.equal(world.fetches, 1)
  })

  test('nothing if the key id is known: a wrong signature fetches no keys', async () => {
    const { verdict, world, clock } = setUp()
    await verdict(mint(one, claims))
    clock.advance(coolDownMs)
    assert.equal(await verdict(mint(attacker, claims, { kid: 'one' })), 'invalid_token')
    assert.equal(world.fetches, 1)
  })

  test('a caller whose key is known does not wait for that fetch', async () => {
    const { verdict, world } = setUp()
    await verdict(mint(one, claims))
    const waiting = verdict(forged(1))
    assert.equal(await verdict(mint(one, goodClaims())), 'accepted')
    await waiting
    assert.equal(world.fetches, 2)
  })
})

describe('a steady stream of forged key ids, one every five seconds', () => {
  /** Lets this much time pass, with a forged token every five seconds. */
  async function endure(until: number, { verdict, clock }: ReturnType<typeof setUp>): Promise<void> {
    for (let passed = 0; passed < until; passed += 5000) {
      clock.advance(5000)
      await verdict(forged(passed))
    }
  }

  test('does not keep a rotation from being noticed', async () => {
    const world = setUp()
    await world.verdict(mint(one, claims))
    await endure(10_000, world)
    world.world.keys = [two.jwk]
    await endure(2 * coolDownMs, world)
    assert.equal(await world.verdict(mint(two, claims)), 'accepted')
  })

  test('does not keep a withdrawn key alive beyond the refresh', async () => {
    const world = setUp()
    await world.verdict(mint(one, claims))
    await endure(5000, world)
    world.world.keys = [two.jwk]
    await endure(refreshAfterMs + 2 * coolDownMs, world)
    await world.verdict(mint(one, claims))
    await settled()
    await settled()
    assert.equal(await world.verdict(mint(one, claims)), 'invalid_token')
  })

  test('does not make the keys too old to be trusted while the issuer is available', async () => {
    const world = setUp()
    await world.verdict(mint(one, claims))
    await endure(staleAfterMs - coolDownMs, world)
    for (let step = 0; step < 6; step++) {
      await endure(5000, world)
      assert.equal(await world.verdict(mint(one, claims)), 'accepted')
    }
  })
})
