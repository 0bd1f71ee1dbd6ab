import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLru } from '../../../src/broker/lib/lru.ts'

test('at its limit, the least recently used entry leaves, and is disposed of as evicted', () => {
  const left: unknown[] = []
  const lru = createLru<string, number>(2, (value, key, reason) => left.push([key, value, reason]))
  lru.set('a', 1)
  lru.set('b', 2)
  assert.equal(lru.get('a'), 1)
  lru.set('c', 3)
  assert.deepEqual([...lru.keys()].toSorted(), ['a', 'c'])
  assert.deepEqual(left, [['b', 2, 'evict']])
})

test('entries that were deleted make room', () => {
  const lru = createLru<number, number>(2)
  for (let n = 0; n < 100; n++) {
    lru.set(n, n)
    if (n % 3 === 0) lru.delete(n)
  }
  // 99 made 97 leave, and was deleted.
  assert.deepEqual([...lru.values()], [98])
})

test('an empty one takes little memory, whatever its limit', () => {
  const before = process.memoryUsage()
  const all = Array.from({ length: 20 }, () => createLru<string, number>(100_000))
  const after = process.memoryUsage()
  assert.ok(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers < 2 ** 20)
  assert.equal(all.length, 20)
})
