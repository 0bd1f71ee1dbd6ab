import assert from 'node:assert/strict'
import { setImmediate as loopTurn } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { createAvailability } from '../../../src/outbound/redis/availability.ts'
import { redisDeadlines } from '../../../src/outbound/redis/deadlines.ts'
import { systemWait } from '../../../src/broker/lib/async/deadline.ts'
import { createStore } from '../../../src/outbound/redis/store.ts'
import { systemClock } from '../../../src/broker/lib/clock.ts'
import { until } from '../../support/broker.ts'
import { movableClock } from '../../support/clock.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { connected, connection } from './connection/world.ts'

/** A deadline that no test reaches. */
const ample = 60_000
const lookEveryMs = 25
const { silentMs } = redisDeadlines

function world() {
  const clock = movableClock()
  const changes: boolean[] = []
  let look: (() => void) | undefined
  const wait = (ms: number) => {
    assert.equal(ms, lookEveryMs)
    const { promise, resolve } = Promise.withResolvers<void>()
    look = resolve
    return promise
  }
  const availability = createAvailability({ clock, wait, silentMs, changed: isUp => changes.push(isUp) })
  /** A request whose reply the test gives. */
  const send = () => {
    const reply = Promise.withResolvers<unknown>()
    const result = availability.replied(reply.promise, ample)
    result.catch(() => undefined)
    return { ...reply, result }
  }
  /** Lets time pass. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += lookEveryMs) {
      clock.advance(lookEveryMs)
      look?.()
      look = undefined
      await loopTurn()
      await loopTurn()
    }
  }
  return { availability, changes, send, pass, isWatching: () => look !== undefined }
}

const silence = { message: `there was no response for ${silentMs} ms` }

describe('the circuit breaker of the store opens', () => {
  test(`after ${silentMs} ms without any reply, for all that wait at once`, async () => {
    const { availability, changes, send, pass } = world()
    const first = send()
    await pass(silentMs - lookEveryMs)
    const last = send()
    assert.equal(availability.isUp(), true)
    await pass(lookEveryMs)
    assert.equal(availability.isUp(), false)
    await assert.rejects(first.result, silence)
    await assert.rejects(last.result, silence)
    assert.deepEqual(changes, [false])
  })

  test('not in a burst: replies are late, but they arrive', async () => {
    const { changes, send, pass } = world()
    const burst = Array.from({ length: 20 }, send)
    for (const each of burst) {
      await pass(silentMs - lookEveryMs)
      each.resolve('late')
      assert.equal(await each.result, 'late')
    }
    assert.deepEqual(changes, [])
  })

  test('not for a request that is sent after a pause', async () => {
    const { changes, send, pass, isWatching } = world()
    send().resolve(1)
    await pass(lookEveryMs)
    assert.equal(isWatching(), false, 'nothing is watched while no reply is owed')
    await pass(3_600_000 / 100)
    const later = send()
    await pass(silentMs - lookEveryMs)
    later.resolve(1)
    await pass(silentMs)
    assert.deepEqual(changes, [])
  })

  test('not by a refusal, which is a reply', async () => {
    const { changes, send, pass } = world()
    const waits = send()
    for (let nth = 0; nth < 3; nth++) {
      await pass(silentMs - lookEveryMs)
      send().reject(new Error('OOM command not allowed when used memory > maxmemory'))
    }
    await pass(0)
    assert.deepEqual(changes, [])
    waits.resolve(1)
  })

  test('not because a connection is lost: the next one starts anew', async () => {
    const { changes, send, pass } = world()
    const lost = send()
    await pass(silentMs - lookEveryMs)
    lost.reject(new Error('read ECONNRESET'))
    await assert.rejects(lost.result, { message: 'read ECONNRESET' })
    const next = send()
    await pass(silentMs - lookEveryMs)
    assert.deepEqual(changes, [])
    next.resolve(1)
  })

  test('although commands are rejected meanwhile, because too many wait for a reply', async () => {
    const { changes, send, pass } = world()
    const waits = send()
    for (let passed = 0; passed < silentMs; passed += lookEveryMs) {
      send().reject(new Error('too many commands wait for a reply'))
      await pass(lookEveryMs)
    }
    assert.deepEqual(changes, [false])
    await assert.rejects(waits.result, silence)
  })
})

describe('a store that is down', () => {
  test('is up again with the first reply, however late it is', async () => {
    const { availability, changes, send, pass } = world()
    const [first, second] = [send(), send()]
    await pass(silentMs)
    await pass(10_000)
    first.resolve('late')
    await pass(lookEveryMs)
    assert.equal(availability.isUp(), true)
    // It still owes a reply.
    await pass(silentMs)
    assert.deepEqual(changes, [false, true, false])
    second.resolve('later')
    await pass(lookEveryMs)
    assert.deepEqual(changes, [false, true, false, true])
  })

  test('stays down when its connection is lost, and is up with a new one', async () => {
    const { availability, changes, send, pass } = world()
    const lost = send()
    await pass(silentMs)
    lost.reject(new Error('it does not respond'))
    await pass(lookEveryMs)
    assert.equal(availability.isUp(), false)
    availability.connected()
    availability.connected()
    assert.deepEqual(changes, [false, true])
  })
})

describe('the store', { skip: withoutRedis }, () => {
  test('a reply that came in time counts, although the process was too busy to read it', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    await connected(redis)
    const changes: boolean[] = []
    const changed = (isUp: boolean) => changes.push(isUp)
    const store = createStore(redis, createAvailability({ clock: systemClock, wait: systemWait, silentMs, changed }))
    const reply = store.send([['PING']], 50)
    // By now the command is written. The thread stops without using the CPU, so that the server can respond.
    await loopTurn()
    await loopTurn()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * silentMs)
    assert.deepEqual(await reply, ['PONG'])
    assert.deepEqual(changes, [])
  })

  test('a server that is stopped: requests are rejected; what was sent is carried out later, and then it is up', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    await connected(redis)
    const changed = () => undefined
    const availability = createAvailability({ clock: systemClock, wait: systemWait, silentMs, changed })
    const store = createStore(redis, availability)
    server.pause()
    await assert.rejects(store.send([['INCR', 'n']], 10), { name: 'StoreUnavailable' })
    await until('it is down', () => !availability.isUp())
    await assert.rejects(store.send([['INCR', 'n']], ample), { name: 'StoreUnavailable' }, 'this is not sent')
    server.resume()
    await until('it is up', availability.isUp)
    assert.equal(await redis.one('INCR', 'n'), 2)
  })
})
