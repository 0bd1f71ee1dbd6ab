import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runs } from '../../support/runs.ts'
import { clientsFor, poll, request, type RecoveryWorld, recoveryWorld, tenant } from './world.ts'

/** The promise: after an outage of any kind and length, every key that is requested is served within so many milliseconds. */
const promisedMs = 3000

const outages: readonly [what: string, begin: (world: RecoveryWorld) => void][] = [
  ['Entra responds 5xx', world => (world.entra = ['server_error'])],
  ['Entra responds 5xx with a Retry-After of two minutes', world => (world.entra = ['server_error', 120])],
  ['Entra responds with a code for a temporary condition', world => (world.entra = ['transient', 1])],
  ['Entra refuses connections', world => (world.entra = ['network'])],
  ['Entra hangs', world => (world.entra = 'hangs')],
  ['the identity endpoint refuses connections', world => (world.identity = ['network'])],
  ['the identity endpoint responds 5xx', world => (world.identity = ['status'])],
  ['the identity endpoint hangs', world => (world.identity = 'hangs')],
]
const well = (world: RecoveryWorld) => {
  world.entra = 'well'
  world.identity = 'well'
}

describe('after an outage, every key that is requested is served within 3 s', () => {
  for (const [what, begin] of outages) {
    for (const tenants of [1, 2, 8]) {
      test(`${what}; ${tenants} tenants`, async () => {
        for (const seconds of [0.5, 3, 120])
          for (let seed = 1; seed <= runs(5); seed++) {
            const world = recoveryWorld(seed)
            begin(world)
            const clients = clientsFor(Array.from({ length: tenants }, (_, n) => tenant(n)))
            await poll(world, clients, seconds * 1000)
            assert.ok(clients.every(({ servedAt }) => servedAt === undefined))
            const end = world.clock.monotonic()
            well(world)
            clients.push(...clientsFor([tenant(99)]))
            await poll(world, clients, promisedMs + 12_000)
            for (const { servedAt = Infinity } of clients)
              assert.ok(servedAt - end <= promisedMs, `${servedAt - end} ms after ${seconds} s, seed ${seed}`)
          }
      })
    }
  }
})

describe('a tenant that has a problem of its own', () => {
  for (const [what, health] of [
    ['it responds 503', ['server_error']],
    ['it hangs', 'hangs'],
  ] as const) {
    test(`${what}: does not keep the others from being served after an outage, however often it is requested`, async () => {
      for (let seed = 1; seed <= runs(5); seed++) {
        const world = recoveryWorld(seed)
        world.entra = health
        const [own, ...others] = clientsFor(Array.from({ length: 8 }, (_, n) => tenant(n)))
        assert.ok(own)
        await poll(world, [own, ...others], 60_000)
        const end = world.clock.monotonic()
        world.tenants.set(own.grant.tenant, health)
        world.entra = 'well'
        await poll(world, [own, ...others], promisedMs)
        for (const { servedAt = Infinity } of others) assert.ok(servedAt - end <= promisedMs, `seed ${seed}`)
        assert.equal(own.servedAt, undefined)
      }
    })
  }

  test('is not tried more often because the others succeed: their success says nothing about it', async () => {
    const world = recoveryWorld()
    const own = clientsFor([tenant(0)])
    world.tenants.set(tenant(0).tenant, ['server_error'])
    for (let second = 0; second < 60; second++) {
      await poll(world, [...own, ...clientsFor([tenant(100 + second)])], 1000)
    }
    const tried = world.exchanges.filter(({ tenant: id }) => id === tenant(0).tenant)
    // A probe every two seconds, and the tries of its own back-off; each has three attempts.
    assert.ok(tried.length <= 3 * (60 / 2 + 10), `${tried.length} requests in a minute`)
  })

  test('is served within 3 s once it is well', async () => {
    for (let seed = 1; seed <= runs(5); seed++) {
      const world = recoveryWorld(seed)
      const own = clientsFor([tenant(0)])
      world.tenants.set(tenant(0).tenant, ['server_error', 60])
      for (let second = 0; second < 60; second++)
        await poll(world, [...own, ...clientsFor([tenant(100 + second)])], 1000)
      world.tenants.clear()
      await poll(world, own, promisedMs)
      assert.ok(own[0]?.servedAt)
    }
  })
})

describe('at the moment of return', () => {
  test('every key is exchanged once, and no more at a time than the limit', async () => {
    const world = recoveryWorld()
    world.entra = ['server_error']
    const first = clientsFor(Array.from({ length: 40 }, (_, n) => tenant(n)))
    await poll(world, first, 60_000)
    world.entra = 'well'
    world.exchanges.length = 0
    world.mostRunning = 0
    const clients = [...first, ...clientsFor(Array.from({ length: 960 }, (_, n) => tenant(40 + n)))]
    await poll(world, clients, 6_000)
    assert.ok(clients.every(({ servedAt }) => servedAt !== undefined))
    assert.ok(world.mostRunning <= 64, `${world.mostRunning} at a time`)
    assert.ok(world.exchanges.length <= clients.length + 1, `${world.exchanges.length} exchanges`)
  })

  for (const [what, health, perSecond] of [
    ['503', ['server_error'], 1],
    ['it hangs', 'hangs', 3],
  ] as const)
    test(`until then there are few requests, however many keys are requested: ${what}`, async () => {
      const world = recoveryWorld()
      world.entra = health
      const clients = clientsFor(Array.from({ length: 100 }, (_, n) => tenant(n)))
      await poll(world, clients, 15_000)
      world.exchanges.length = 0
      await poll(world, clients, 30_000)
      assert.ok(world.exchanges.length <= 30 * perSecond, `${world.exchanges.length} in half a minute`)
    })
})

test('a client with six attempts, as the SDKs have, waits for one time-out and not for six', async () => {
  for (let seed = 1; seed <= runs(20); seed++) {
    const world = recoveryWorld(seed)
    world.entra = 'hangs'
    const [client] = clientsFor([tenant(0)])
    assert.ok(client)
    const began = world.clock.monotonic()
    for (const pause of [0, 800, 1600, 3200, 6400, 12_800]) {
      await world.pass(pause)
      const failed = client.waits.length
      void request(world, client)
      while (client.waits.length === failed) await world.pass(50)
    }
    assert.deepEqual(
      client.waits.map(ms => ms >= 1000),
      [true, false, false, false, false, false],
    )
    const all = world.clock.monotonic() - began
    assert.ok(all <= 30_500, `${all} ms, seed ${seed}`)
  }
})
