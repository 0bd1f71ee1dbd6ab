import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns, yieldMs } from '../../../src/broker/lib/turns.ts'

test('one that has had a turn leaves the next one to another that waits', () => {
  const turns = new Turns()
  turns.took('a')
  turns.waits('b', 100)
  assert.ok(!turns.may('a', 100 + yieldMs - 1))
  assert.ok(turns.may('b', 100))
  turns.took('b')
  assert.ok(turns.may('a', 100 + yieldMs), 'then no other caller waits')
})

test('alone it has every turn', () => {
  const turns = new Turns()
  for (const now of [0, 10, 20]) {
    assert.ok(turns.may('a', now))
    turns.took('a')
    turns.waits('a', now)
  }
})

test('one that no longer requests does not block the others for long', () => {
  const turns = new Turns()
  turns.took('a')
  turns.waits('gone', 0)
  assert.ok(turns.may('a', yieldMs))
})

test('two that fail and take turns leave the third one its turn', () => {
  const turns = new Turns()
  const order: string[] = []
  for (let now = 0; order.length < 6; now += 100) {
    for (const who of ['a', 'b', 'c']) turns.waits(who, now)
    const next = ['a', 'b', 'c'].find(who => turns.may(who, now))
    if (next === undefined) continue
    order.push(next)
    turns.took(next)
  }
  assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'c'])
})

test('it remembers a thousand, and then begins another round', () => {
  const turns = new Turns()
  for (let n = 0; n < 1000; n++) turns.took(`t${n}`)
  turns.waits('other', 0)
  assert.ok(!turns.may('t0', 0))
  turns.took('other')
  turns.waits('another', 0)
  assert.ok(turns.may('t0', 0) && !turns.may('other', 0))
})
