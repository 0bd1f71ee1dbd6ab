import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { maxEntries, maxLength, RecentBodies } from '../../../../src/http/token-endpoints/requests/recent-bodies.ts'

const body = Buffer.from('{"tenant":"contoso","scope":"graph"}')

test('a body that was read before is found by its bytes, wherever they are', () => {
  const bodies = new RecentBodies<string>()
  assert.equal(bodies.find(body), undefined)
  bodies.add(body, 'contoso')
  assert.equal(bodies.find(Buffer.concat([Buffer.alloc(3), body]).subarray(3)), 'contoso')
})

test('what is kept is a copy: the buffer of a connection is used again', () => {
  const bodies = new RecentBodies<string>()
  const buffer = Buffer.from(body)
  bodies.add(buffer, 'contoso')
  buffer.fill('x')
  assert.equal(bodies.find(buffer), undefined)
  assert.equal(bodies.find(body), 'contoso')
})

describe('no body is taken for another one', () => {
  test('that differs in one bit, whichever', () => {
    const bodies = new RecentBodies<string>()
    bodies.add(body, 'contoso')
    for (let bit = 0; bit < body.length * 8; bit++) {
      const other = Buffer.from(body)
      const at = Math.floor(bit / 8)
      other[at] = (other[at] ?? 0) ^ (1 << (bit % 8))
      assert.equal(bodies.find(other), undefined, `bit ${bit}`)
    }
  })

  test('that is shorter or longer by up to five bytes', () => {
    const bodies = new RecentBodies<string>()
    bodies.add(body, 'contoso')
    for (let by = 1; by <= 5; by++) {
      assert.equal(bodies.find(body.subarray(by)), undefined)
      assert.equal(bodies.find(body.subarray(0, -by)), undefined)
      assert.equal(bodies.find(Buffer.concat([body, Buffer.alloc(by)])), undefined)
    }
  })

  test('with the same hash, which replaces it', () => {
    const bodies = new RecentBodies<string>(() => 1)
    const other = Buffer.from('{"tenant":"fabrikam","scope":"graph"}')
    bodies.add(body, 'contoso')
    assert.equal(bodies.find(other), undefined)
    bodies.add(other, 'fabrikam')
    assert.equal(bodies.find(other), 'fabrikam')
    assert.equal(bodies.find(body), undefined)
  })

  test('whose bytes are other malformed UTF-8, and so the same text', () => {
    const bodies = new RecentBodies<string>()
    bodies.add(Buffer.of(0xff), 'ff')
    assert.equal(bodies.find(Buffer.of(0xfe)), undefined)
  })
})

test('a long body is not kept', () => {
  const bodies = new RecentBodies<number>()
  for (const length of [maxLength, maxLength + 1]) bodies.add(Buffer.alloc(length), length)
  assert.equal(bodies.find(Buffer.alloc(maxLength)), maxLength)
  assert.equal(bodies.find(Buffer.alloc(maxLength + 1)), undefined)
})

test('when it is full, everything is forgotten at once', () => {
  let hash = 0
  const bodies = new RecentBodies<number>(() => hash)
  for (hash = 0; hash < maxEntries; hash++) bodies.add(body, hash)
  hash = 0
  assert.equal(bodies.find(body), 0)
  hash = maxEntries
  bodies.add(body, hash)
  assert.equal(bodies.find(body), maxEntries)
  hash = 0
  assert.equal(bodies.find(body), undefined)
})
