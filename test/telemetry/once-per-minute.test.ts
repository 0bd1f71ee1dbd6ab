import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOncePerMinute } from '../../src/telemetry/once-per-minute.ts'
import { movableClock } from '../support/clock.ts'

function setUp() {
  const clock = movableClock()
  return { clock, ...createOncePerMinute(clock.now) }
}

describe('the same text', () => {
  test('is written the first time, with none suppressed before it', () => {
    assert.equal(setUp().seen('a'), 0)
  })

  test('is suppressed within the minute, and written afterwards with the number of suppressed lines', () => {
    const { clock, seen } = setUp()
    seen('a')
    for (const wait of [0, 0, 59_999]) {
      clock.advance(wait)
      assert.equal(seen('a'), undefined)
    }
    clock.advance(1)
    assert.equal(seen('a'), 3)
  })

  test('starts a new minute with each line: no line is counted twice', () => {
    const { clock, seen } = setUp()
    seen('a')
    seen('a')
    clock.advance(60_000)
    assert.equal(seen('a'), 1)
    clock.advance(59_999)
    assert.equal(seen('a'), undefined)
    clock.advance(1)
    assert.equal(seen('a'), 1)
    clock.advance(60_000)
    assert.equal(seen('a'), 0)
  })
})

test('another text has its own minute', () => {
  const { clock, seen } = setUp()
  seen('a')
  clock.advance(30_000)
  assert.deepEqual([seen('a'), seen('b'), seen('b')], [undefined, 0, undefined])
  clock.advance(30_000)
  assert.deepEqual([seen('a'), seen('b')], [1, undefined])
})

for (const [jump, why] of [
  [-3_600_000, 'back: nothing is silent until it has caught up'],
  [3_600_000, 'forward'],
] as const)
  test(`a wall clock that jumps ${why}`, () => {
    const { clock, seen } = setUp()
    seen('a')
    seen('a')
    clock.jumpWall(jump)
    assert.equal(seen('a'), 1)
    assert.equal(seen('a'), undefined)
  })
