import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keepAssertion } from '../../src/broker/kept-assertion.ts'
import type { Assertion } from '../../src/broker/types.ts'
import { BrokerError } from '../../src/errors.ts'
import { encode, ids } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'

const minutes = 60_000
const hours = 60 * minutes

const settled = () => new Promise(resolve => setImmediate(resolve))
const signal = new AbortController().signal
const away = () => new BrokerError('identity_unavailable', 'away', { reason: 'network' })

/** A kept assertion over a source that hands over numbered tokens of a day, as the platform does; `next` says otherwise. */
function setUp(timeoutMs = 5000) {
  const clock = movableClock()
  const world: { fetches: number; next: Partial<Assertion> | Error; random: number } = {
    fetches: 0,
    next: {},
    random: 0.5,
  }
  let gate: PromiseWithResolvers<void> | undefined
  const fetchAssertion = async (): Promise<Assertion> => {
    const token = `assertion-${++world.fetches}`
    const expiresAt = clock.now() + 24 * hours
    await gate?.promise
    if (world.next instanceof Error) throw world.next
    return { token, expiresAt, ...world.next }
  }
  const kept = keepAssertion(fetchAssertion, { clock, random: () => world.random, timeoutMs, fetched: () => undefined })
  return {
    clock,
    world,
    kept,
    get: async () => (await kept.get(signal)).token,
    hold: () => {
      gate = Promise.withResolvers()
    },
    release: () => {
      gate?.resolve()
      gate = undefined
    },
  }
}

describe("the identity's token is fetched once", () => {
  test('however many wait for it, and kept', async () => {
    const { get, world } = setUp()
    assert.deepEqual(await Promise.all([get(), get(), get()]), ['assertion-1', 'assertion-1', 'assertion-1'])
    assert.equal(await get(), 'assertion-1')
    assert.equal(world.fetches, 1)
  })

  test('a failure is shared by everybody who waits, and remembered for a moment', async () => {
    const { get, world, clock } = setUp()
    world.next = away()
    const all = await Promise.allSettled([get(), get()])
    for (const each of all) assert.equal(each.status === 'rejected' && each.reason, world.next)
    assert.equal(world.fetches, 1)
    world.next = {}
    await assert.rejects(get(), { code: 'identity_unavailable', retryAfter: 1 })
    assert.equal(world.fetches, 1)
    clock.advance(500)
    assert.equal(await get(), 'assertion-2')
  })
})

describe('when it is due', () => {
  test('it serves on while one background fetch replaces it', async () => {
    const { get, world, clock } = setUp()
    await get()
    clock.advance(18 * hours - 1)
    await get()
    assert.equal(world.fetches, 1)
    clock.advance(1)
    assert.deepEqual(await Promise.all([get(), get()]), ['assertion-1', 'assertion-1'])
    await settled()
    assert.equal(await get(), 'assertion-2')
    assert.equal(world.fetches, 2)
  })

  test('a failed refresh costs nothing, and backs off', async () => {
    const { get, world, clock } = setUp()
    world.random = 1
    await get()
    clock.advance(20 * hours)
    world.next = away()
    for (const wait of [15_000, 30_000, 60_000]) {
      const before = world.fetches
      assert.equal(await get(), 'assertion-1')
      await settled()
      assert.equal(world.fetches, before + 1)
      clock.advance(wait - 1)
      assert.equal(await get(), 'assertion-1')
      assert.equal(world.fetches, before + 1)
      clock.advance(1)
    }
    world.next = {}
    await get()
    await settled()
    assert.equal(await get(), 'assertion-5')
  })

  test('a failed refresh counts once, however many came meanwhile', async () => {
    const { get, world, clock, hold, release } = setUp()
    world.random = 1
    await get()
    clock.advance(20 * hours)
    world.next = away()
    hold()
    await Promise.all(Array.from({ length: 20 }, get))
    release()
    await settled()
    assert.equal(world.fetches, 2)
    clock.advance(15_000)
    await get()
    assert.equal(world.fetches, 3, 'the first back-off is 15 s at most')
  })

  test('a platform that repeats the token is not asked again at once', async () => {
    const { get, world, clock } = setUp()
    const expiresAt = clock.now() + 24 * hours
    world.next = { token: 'same', expiresAt }
    await get()
    clock.advance(20 * hours)
    await get()
    await settled()
    assert.equal(world.fetches, 2)
    assert.equal(await get(), 'same')
    await settled()
    assert.equal(world.fetches, 2)
  })
})

describe('when it has ended', () => {
  const jumps: readonly [wall: number, elapsed: number, why: string][] = [
    [0, 24 * hours - minutes, 'a minute is left: the exchange could arrive too late'],
    [24 * hours, 0, 'by the wall clock alone'],
    [-24 * hours, 24 * hours, 'by the monotonic clock alone'],
  ]
  for (const [wall, elapsed, why] of jumps) {
    test(why, async () => {
      const { get, clock } = setUp()
      await get()
      clock.jumpWall(wall)
      clock.advance(elapsed)
      assert.equal(await get(), 'assertion-2')
    })
  }

  test('and the identity endpoint is away, whoever asks is told', async () => {
    const { get, clock, world } = setUp()
    await get()
    clock.advance(24 * hours)
    world.next = away()
    await assert.rejects(get(), { code: 'identity_unavailable' })
  })

  test('a token that has ended before it came is refused', async () => {
    const { get, clock, world } = setUp()
    world.next = { expiresAt: clock.now() }
    await assert.rejects(get(), (thrown: unknown) => {
      assert.ok(thrown instanceof BrokerError)
      assert.deepEqual([thrown.code, thrown.reason], ['identity_unavailable', 'expired'])
      return true
    })
  })
})

describe('after the token was refused upstream', () => {
  test('a new one is fetched, once for everybody', async () => {
    const { kept, world } = setUp()
    const refused = await kept.get(signal)
    const renewed = await Promise.all([kept.renew(refused, signal), kept.renew(refused, signal)])
    assert.deepEqual(
      renewed.map(({ token }) => token),
      ['assertion-2', 'assertion-2'],
    )
    assert.equal(world.fetches, 2)
    assert.equal((await kept.get(signal)).token, 'assertion-2')
  })

  test('nothing is fetched where another is held by now', async () => {
    const { kept, world } = setUp()
    const refused = await kept.get(signal)
    await kept.renew(refused, signal)
    assert.equal((await kept.renew(refused, signal)).token, 'assertion-2')
    assert.equal(world.fetches, 2)
  })

  test('the same token may come again', async () => {
    const { kept, world } = setUp()
    world.next = { token: 'same' }
    const refused = await kept.get(signal)
    assert.equal((await kept.renew(refused, signal)).token, 'same')
  })

  test('a failed renewal leaves the token in use', async () => {
    const { kept, get, world } = setUp()
    const refused = await kept.get(signal)
    world.next = away()
    await assert.rejects(kept.renew(refused, signal))
    assert.equal(await get(), 'assertion-1')
  })
})

test('a source that ignores its signal and never settles is given up', async () => {
  let given: AbortSignal | undefined
  const never = Promise.withResolvers<never>()
  const kept = keepAssertion(
    aborted => {
      given = aborted
      return never.promise
    },
    { clock: movableClock(), random: () => 0.5, timeoutMs: 5, fetched: () => undefined },
  )
  await assert.rejects(kept.get(signal), { code: 'identity_unavailable' })
  assert.equal(given?.aborted, true)
})

describe('the home tenant', () => {
  const token = (claims: unknown) => `${encode({ alg: 'RS256' })}.${encode(claims)}.x`

  test('is unknown at first; then it is what the token says, in lower case', async () => {
    const { kept, get, world } = setUp()
    assert.equal(kept.homeTenant(), undefined)
    world.next = { token: token({ tid: ids.home.toUpperCase() }) }
    await get()
    assert.equal(kept.homeTenant(), ids.home)
  })

  for (const [what, text] of [
    ['opaque', 'opaque'],
    ['without tid', token({})],
    ['with a tid that is no text', token({ tid: 7 })],
  ] as const) {
    test(`stays unknown where the token is ${what}, and known once it was known`, async () => {
      const { kept, get, world, clock } = setUp()
      world.next = { token: text }
      await get()
      assert.equal(kept.homeTenant(), undefined)
      world.next = { token: token({ tid: ids.home }) }
      clock.advance(24 * hours)
      await get()
      world.next = { token: text }
      clock.advance(24 * hours)
      await get()
      assert.equal(kept.homeTenant(), ids.home)
    })
  }
})
