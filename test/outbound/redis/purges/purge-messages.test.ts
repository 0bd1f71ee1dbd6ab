import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { kinds, seal } from '../../../../src/outbound/redis/sealing/envelope.ts'
import {
  openConfirmation,
  openHeartbeat,
  openPurge,
  sealConfirmation,
  sealHeartbeat,
  sealPurge,
} from '../../../../src/outbound/redis/purges/purge-messages.ts'
import { cacheKeyLine, ringOf } from '../../../support/cache-keys.ts'

const ring = ringOf(cacheKeyLine('a'))
const purge = { id: 'p-1', at: 1000, filter: { tenant: 'contoso' } }
const confirmation = { purge: 'p-1', replica: 'b' }
const heartbeat = { replica: 'b', entries: 3, fetching: 1, atRisk: 0 }

describe('messages about purges', () => {
  test('arrive as they were sent', () => {
    assert.deepEqual(openPurge(ring, sealPurge(ring, purge)), purge)
    assert.deepEqual(openConfirmation(ring, sealConfirmation(ring, confirmation)), confirmation)
    assert.deepEqual(openHeartbeat(ring, sealHeartbeat(ring, heartbeat)), heartbeat)
  })

  test('one kind does not stand for another', () => {
    assert.equal(openConfirmation(ring, sealPurge(ring, purge)), undefined)
    assert.equal(openHeartbeat(ring, sealConfirmation(ring, confirmation)), undefined)
    assert.equal(openPurge(ring, sealHeartbeat(ring, heartbeat)), undefined)
  })

  test('those under another key are not read', () => {
    const other = ringOf(cacheKeyLine('a'))
    assert.equal(openPurge(other, sealPurge(ring, purge)), undefined)
    assert.equal(openConfirmation(other, sealConfirmation(ring, confirmation)), undefined)
    assert.equal(openHeartbeat(other, sealHeartbeat(ring, heartbeat)), undefined)
  })

  const malformed: readonly [content: unknown, why: string][] = [
    [{ ...purge, id: '' }, 'no id'],
    [{ ...purge, id: 'x'.repeat(65) }, 'an id that is too long'],
    [{ ...purge, at: '1000' }, 'a time that is no number'],
    [{ ...purge, filter: { tenant: 7 } }, 'a tenant that is no text'],
    [{ ...purge, filter: { scope: 'x'.repeat(600) } }, 'a scope that is too long'],
    ['text', 'no object'],
  ]
  for (const [content, why] of malformed)
    test(`a purge of another version is not read: ${why}`, () => {
      const sealed = seal(ring, kinds.purge, '', JSON.stringify(content))
      assert.ok(sealed)
      assert.equal(openPurge(ring, sealed), undefined)
    })
})
