import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RoundRobinQueue } from '../../../src/broker/tokens/fair-queue/round-robin.ts'

const nothing = () => undefined
const any = () => true

test('an entry can be removed at any position; removing it twice does no harm', () => {
  const queue = new RoundRobinQueue()
  const [first, middle, last] = ['a', 'a', 'a'].map(caller => queue.add(caller, nothing))
  assert.ok(first && middle && last)
  for (const entry of [middle, middle, first, first]) queue.remove(entry)
  assert.deepEqual([queue.waiting, queue.waitingOf('a')], [1, 1])
  assert.equal(queue.take(any), last)
  for (const entry of [last, last]) queue.remove(entry)
  assert.deepEqual([queue.waiting, queue.take(any)], [0, undefined])
})

test('a removed entry does not return when its caller adds another one', () => {
  const queue = new RoundRobinQueue()
  const gone = queue.add('a', nothing)
  queue.remove(gone)
  const entry = queue.add('a', nothing)
  queue.remove(gone)
  assert.equal(queue.take(any), entry)
})

test('a caller that may not start now keeps its turn, and the others take theirs', () => {
  const queue = new RoundRobinQueue()
  const [a, b, c] = ['a', 'b', 'c'].map(caller => queue.add(caller, nothing))
  assert.equal(
    queue.take(caller => caller !== 'a'),
    b,
  )
  assert.equal(queue.take(any), a)
  assert.equal(queue.take(any), c)
  assert.equal(queue.take(any), b)
  assert.equal(
    queue.take(() => false),
    undefined,
  )
})

test('running tasks are counted per caller and in total', () => {
  const queue = new RoundRobinQueue()
  for (const caller of ['a', 'a', 'b']) queue.occupy(caller)
  queue.release('a')
  assert.deepEqual([queue.running, queue.runningOf('a'), queue.runningOf('b'), queue.runningOf('c')], [2, 1, 1, 0])
  queue.release('a')
  assert.deepEqual([queue.running, queue.runningOf('a')], [1, 0])
})
