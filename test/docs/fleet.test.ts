import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { silentMs } from '../../src/outbound/redis/availability.ts'
import { awaitedDeadlineMs, longestLeaseMs } from '../../src/outbound/redis/leases.ts'

const text = (await readFile('docs/fleet.md', 'utf8')).replaceAll(/\s+/g, ' ')

test('docs/fleet.md has the times of the code', () => {
  for (const sentence of [
    `once nothing has arrived for ${silentMs} ms although a reply is due`,
    `waits for a look-up for up to ${awaitedDeadlineMs} ms, then the replica makes its own exchange`,
    `a key in Redis that lasts ${longestLeaseMs / 1000} s`,
  ])
    assert.ok(text.includes(sentence), sentence)
})
