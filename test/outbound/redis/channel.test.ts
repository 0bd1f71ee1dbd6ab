import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeMessage, encodeMessage, type Message } from '../../../src/outbound/redis/channel.ts'

const name = 'n'.repeat(43)
const sealed = Buffer.from([0, 1, 2, 255])

describe('messages between replicas', () => {
  const messages: readonly Message[] = [
    { type: 'stored', name },
    { type: 'failed', name, sealed },
    { type: 'purged' },
    { type: 'confirmed', sealed },
    { type: 'heartbeat', sealed },
  ]
  for (const message of messages)
    test(`${message.type} arrives as it was sent`, () => {
      assert.deepEqual(decodeMessage(encodeMessage(message)), message)
    })

  const others: readonly [bytes: Buffer, why: string][] = [
    [Buffer.alloc(0), 'no bytes'],
    [Buffer.from('x'), 'an unknown letter'],
    [Buffer.from('s' + 'n'.repeat(42)), 'a name that is too short'],
    [Buffer.from('s' + '\n'.repeat(43)), 'a name of other characters'],
    [Buffer.alloc(10_000_000, 's'), 'ten megabytes'],
  ]
  for (const [bytes, why] of others)
    test(`${why} is ignored`, () => {
      assert.equal(decodeMessage(bytes), undefined)
    })
})
