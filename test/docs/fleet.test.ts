import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { redisDeadlines } from '../../src/outbound/redis/deadlines.ts'

const text = (await readFile('docs/fleet.md', 'utf8')).replaceAll(/\s+/g, ' ')

const { awaitedMs, silentMs, leaseMs, confirmMs } = redisDeadlines

test('docs/fleet.md has the times of the code', () => {
  for (const sentence of [
    `once nothing has arrived for ${silentMs} ms although a reply is due`,
    `waits for a look-up for up to ${awaitedMs} ms, then the replica makes its own exchange`,
    `a key in Redis that lasts ${leaseMs / 1000} s`,
    `waits up to ${confirmMs} ms for the others`,
  ])
    assert.ok(text.includes(sentence), sentence)
})
