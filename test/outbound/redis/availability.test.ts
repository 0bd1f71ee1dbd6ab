import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAvailability, downAfterMs, probeEveryMs } from '../../../src/outbound/redis/availability.ts'
import { movableClock } from '../../support/clock.ts'

function world() {
  const clock = movableClock()
  const changes: boolean[] = []
  const availability = createAvailability(clock, isUp => changes.push(isUp))
  /** A request without response. */
  const fail = (ms: number) => {
    const sentAt = clock.monotonic()
    clock.advance(ms)
    availability.failed(sentAt)
  }
  return { clock, changes, availability, fail }
}

describe('the circuit breaker of the store opens by time', () => {
  test('not at many failures of one burst', () => {
    const { clock, availability } = world()
    const sentAt = clock.monotonic()
    clock.advance(downAfterMs - 1)
    for (let nth = 0; nth < 500; nth++) availability.failed(sentAt)
    assert.equal(availability.isUp(), true)
  })

  test(`once nothing has succeeded for ${downAfterMs} ms`, () => {
    const { availability, changes, fail } = world()
    fail(downAfterMs / 2)
    assert.equal(availability.isUp(), true)
    fail(downAfterMs / 2)
    assert.equal(availability.isUp(), false)
    assert.deepEqual(changes, [false])
  })

  test('not at the first failure after a long pause', () => {
    const { clock, availability, fail } = world()
    availability.succeeded()
    clock.advance(3_600_000)
    fail(downAfterMs - 1)
    assert.equal(availability.isUp(), true)
  })

  test('not if something that was sent later got a response', () => {
    const { clock, availability } = world()
    const sentAt = clock.monotonic()
    clock.advance(downAfterMs)
    availability.succeeded()
    availability.failed(sentAt)
    assert.equal(availability.isUp(), true)
  })
})

describe('a store that is down', () => {
  test('gets one probe at a time, and is up again after the first response', () => {
    const { clock, availability, changes, fail } = world()
    fail(downAfterMs)
    assert.equal(availability.mayTry(), false)
    clock.advance(probeEveryMs)
    assert.deepEqual([availability.mayTry(), availability.mayTry()], [true, false])
    availability.succeeded()
    assert.equal(availability.mayTry(), true)
    assert.deepEqual(changes, [false, true])
  })
})
