import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor, ids } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { atOnce, unavailable } from './cache-world.ts'
import { fleetWorld, settled } from './fleet-world.ts'

const minute = 60_000
const count = (words: readonly string[], word: string) => words.filter(each => each.startsWith(word)).length

describe('replicas with a second level', () => {
  test('make one exchange for a cold key, however many callers each of them has', async () => {
    const { replica, exchanged, hold, release } = fleetWorld()
    const replicas = [replica(), replica(), replica()]
    hold()
    const served = replicas.flatMap(({ get }) => Array.from({ length: 10 }, () => get()))
    await settled()
    assert.equal(exchanged.length, 1)
    release()
    const outcomes = await Promise.all(served)
    assert.equal(exchanged.length, 1)
    assert.ok(outcomes.every(outcome => outcome.endsWith(' token-1')))
    assert.deepEqual([count(outcomes, 'miss'), count(outcomes, 'shared'), count(outcomes, 'collapsed')], [1, 2, 27])
  })

  test('a replica that starts later has the tokens of the others: shared once, then a hit at once', async () => {
    const { clock, replica, exchanged } = fleetWorld()
    await replica().get()
    clock.advance(10 * minute)
    const later = replica()
    assert.equal(await later.get(), 'shared token-1')
    const served = later.cache.get(grantFor(), 0)
    assert.ok(atOnce(served))
    assert.deepEqual([served.how, served.remaining], ['hit', 50 * minute])
    assert.equal(exchanged.length, 1)
  })

  test('all requests that wait for one look-up get what it found', async () => {
    const { replica } = fleetWorld()
    await replica().get()
    const later = replica()
    assert.deepEqual(await Promise.all([later.get(), later.get()]), ['shared token-1', 'shared token-1'])
  })

  test('a failure that one replica has cached does not hide the token that another one got', async () => {
    const { replica, world } = fleetWorld()
    const [a, b] = [replica(), replica()]
    world.next = unavailable()
    await assert.rejects(a.get(), { code: 'upstream_unavailable' })
    world.next = {}
    assert.equal(await b.get(), 'miss token-2')
    assert.equal(await a.get(), 'shared token-2')
  })

  test('a failed exchange fails for all who wait, and each replica caches the failure', async () => {
    const { replica, world, exchanged, hold, release } = fleetWorld()
    const replicas = [replica(), replica()]
    world.next = unavailable()
    hold()
    const failing = replicas.map(({ get }) => assert.rejects(get(), { code: 'upstream_unavailable' }))
    await settled()
    release()
    await Promise.all(failing)
    for (const { get } of replicas) await assert.rejects(get(), { code: 'upstream_unavailable' })
    assert.equal(exchanged.length, 1)
  })

  test('without the store each of them works alone', async () => {
    const { replica, exchanged } = fleetWorld()
    const replicas = [replica(), replica()]
    for (const { secondLevel } of replicas) secondLevel.cutOff()
    assert.equal(await replicas[0]?.get(), 'miss token-1')
    assert.equal(await replicas[1]?.get(), 'miss token-2')
    assert.equal(exchanged.length, 2)
  })

  test('without the store each of them makes half as many exchanges at once', async () => {
    const { replica, exchanged, hold, release } = fleetWorld()
    const { get, secondLevel } = replica({ concurrency: 5 })
    const keys = (first: number) => Array.from({ length: 8 }, (_, nth) => grantFor({ tenant: tenantId(first + nth) }))
    hold()
    secondLevel.cutOff()
    const alone = keys(0).map(key => get(key))
    await settled()
    assert.equal(exchanged.length, 3, 'half of five, rounded up')
    release()
    await Promise.all(alone)
    hold()
    secondLevel.reconnect()
    const together = keys(100).map(key => get(key))
    await settled()
    assert.equal(exchanged.length, 8 + 4, 'the share of one caller')
    release()
    await Promise.all(together)
  })

  test('a caller waits no longer than without one: the look-up is a part of its time', async () => {
    const { store, clock, replica, hold } = fleetWorld()
    const waits: number[] = []
    const { get } = replica({
      wait: ms => {
        waits.push(ms)
        return new Promise(() => undefined)
      },
    })
    hold()
    let delay = 0
    store.latency = () => {
      clock.advance(delay++ === 0 ? 200 : 0)
      return Promise.resolve()
    }
    void get()
    await settled()
    assert.deepEqual(waits, [5250, 4800], 'the exchange, the caller')
  })
})

describe('replicas whose clocks or limits differ', () => {
  const table: readonly [ahead: number, why: string][] = [
    [-10, 'ten minutes slow'],
    [0, 'the same clock'],
    [10, 'ten minutes fast'],
    [59, 'so fast that the token has expired there'],
    [300, 'hours fast'],
  ]
  for (const [ahead, why] of table)
    test(`serve no token below its minimum life: ${why}`, async () => {
      const { clock, replica, world } = fleetWorld()
      world.next = { expiresAt: clock.now() + 60 * minute }
      await replica().get()
      const other = replica({}, movableClock(clock.now() + ahead * minute))
      world.next = {}
      const outcome = await other.get()
      assert.equal(outcome, ahead < 59 ? 'shared token-1' : 'miss token-2')
      const served = other.cache.get(grantFor(), 0)
      assert.ok(atOnce(served))
      assert.ok(served.remaining > minute && served.remaining <= 60 * minute)
    })

  test('one that needs a longer remaining life fetches a token of its own, which the others get', async () => {
    const { clock, replica, exchanged } = fleetWorld()
    const [a, patient] = [replica({ minRemainingSeconds: 10 }), replica({ minRemainingSeconds: 300 })]
    await a.get()
    clock.advance(56 * minute)
    assert.equal(await patient.get(), 'miss token-2')
    assert.equal(await a.getAndSettle(), 'due token-1')
    assert.equal(await a.get(), 'hit token-2')
    assert.equal(exchanged.length, 2)
  })
})

test('a replica whose clock is too fast for a token that it waited for makes an exchange of its own', async () => {
  const { clock, replica, hold, release, store } = fleetWorld()
  const [a, fast] = [replica(), replica({}, movableClock(clock.now() + 120 * minute))]
  hold()
  const first = a.get()
  await settled()
  const second = fast.get()
  await settled()
  release()
  assert.equal(await first, 'miss token-1')
  assert.equal(await second, 'miss token-2')
  assert.equal(store.values.get(grantFor().key)?.token.token, 'token-2', 'made with the lease, for all')
})

test('a second level that returns nothing but expired tokens keeps no caller from getting one', async () => {
  const { clock, replica, store } = fleetWorld()
  const expired = { token: 'expired', expiresIn: 3600, issuedAt: clock.now() - 60 * minute, refreshAt: clock.now() }
  const { purge, untilCurrent, isAvailable, status, start, close } = store.replica()
  const secondLevel = {
    purge,
    untilCurrent,
    isAvailable,
    status,
    start,
    close,
    observePurges: () => undefined,
    lookUp: () => Promise.resolve({ token: expired, isFetching: false }),
    fetch: () => Promise.resolve(expired),
  }
  assert.equal(await replica({ secondLevel }).get(), 'miss token-1')
})

describe('a purge', () => {
  test('of another replica drops tokens, failures and what is being looked up', async () => {
    const { replica, exchanged, world } = fleetWorld()
    const [a, b] = [replica(), replica()]
    await a.get()
    await b.get()
    const fabrikam = grantFor({ tenant: ids.fabrikam })
    world.next = new BrokerError('consent_required', 'consent', { reason: 'consent' })
    await assert.rejects(b.get(fabrikam), { code: 'consent_required' })
    world.next = {}
    await a.secondLevel.purge({})
    assert.equal(await b.get(fabrikam), 'miss token-3')
    assert.equal(await b.get(), 'miss token-4')
    assert.equal(exchanged.length, 4)
  })

  test('during a look-up: what it finds is neither stored nor served', async () => {
    const { replica, store } = fleetWorld()
    const [a, b] = [replica(), replica()]
    await a.get()
    const gate = Promise.withResolvers<void>()
    let calls = 0
    // The response is delayed.
    store.latency = () => (++calls === 2 ? gate.promise : Promise.resolve())
    const early = b.get()
    await settled()
    await a.secondLevel.purge({})
    gate.resolve()
    assert.equal(await early, 'miss token-2')
    assert.equal(await b.get(), 'hit token-2')
  })

  test('during a look-up: if a newer fetch has stored a token since, that one is served', async () => {
    const { replica, store, exchanged } = fleetWorld()
    const { cache, secondLevel, get } = replica()
    secondLevel.cutOff()
    const gate = Promise.withResolvers<void>()
    store.latency = () => gate.promise
    const early = get()
    cache.purge({})
    store.latency = () => Promise.resolve()
    assert.equal(await get(), 'miss token-1')
    gate.resolve()
    assert.equal(await early, 'collapsed token-1')
    assert.equal(exchanged.length, 1)
  })
})

const tenantId = (n: number): string => `50000000-0000-4000-8000-${String(n).padStart(12, '0')}`
