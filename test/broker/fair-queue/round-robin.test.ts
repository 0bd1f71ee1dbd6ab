import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RoundRobinQueue } from '../../../src/broker/tokens/round-robin.ts'

const nothing = () => undefined
const anybody = () => true

test('a seat can be taken away wherever it is, and a second time without harm', () => {
  const lane = new RoundRobinQueue()
  const [first, middle, last] = ['a', 'a', 'a'].map(caller => lane.add(caller, nothing))
  assert.ok(first && middle && last)
  for (const seat of [middle, middle, first, first]) lane.remove(seat)
  assert.deepEqual([lane.waiting, lane.waitingOf('a')], [1, 1])
  assert.equal(lane.take(anybody), last)
  for (const seat of [last, last]) lane.remove(seat)
  assert.deepEqual([lane.waiting, lane.take(anybody)], [0, undefined])
})

test('a seat that was taken away does not come back with its caller', () => {
  const lane = new RoundRobinQueue()
  const gone = lane.add('a', nothing)
  lane.remove(gone)
  const seat = lane.add('a', nothing)
  lane.remove(gone)
  assert.equal(lane.take(anybody), seat)
})

test('whoever may not begin now keeps the place, and the others have their turns', () => {
  const lane = new RoundRobinQueue()
  const [a, b, c] = ['a', 'b', 'c'].map(caller => lane.add(caller, nothing))
  assert.equal(
    lane.take(caller => caller !== 'a'),
    b,
  )
  assert.equal(lane.take(anybody), a)
  assert.equal(lane.take(anybody), c)
  assert.equal(lane.take(anybody), b)
  assert.equal(
    lane.take(() => false),
    undefined,
  )
})

test('what is under way is counted per caller, and in all', () => {
  const lane = new RoundRobinQueue()
  for (const caller of ['a', 'a', 'b']) lane.occupy(caller)
  lane.release('a')
  assert.deepEqual([lane.running, lane.runningOf('a'), lane.runningOf('b'), lane.runningOf('c')], [2, 1, 1, 0])
  lane.release('a')
  assert.deepEqual([lane.running, lane.runningOf('a')], [1, 0])
})
