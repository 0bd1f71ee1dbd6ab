import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOverload, lateMs, sampleMs } from '../../src/http/overload.ts'
import { send, startWorld } from '../support/broker.ts'

/** An overload gauge that is looked at so many milliseconds after each look before. */
function after(...delays: readonly number[]): boolean {
  let now = 0
  const { isOverloaded, sample } = createOverload(() => now)
  for (const ms of delays) {
    now += ms
    sample()
  }
  return isOverloaded()
}
const late = sampleMs + lateMs + 1

describe('overloaded is who is late twice in a row', () => {
  const table: readonly [delays: readonly number[], expected: boolean, why: string][] = [
    [[], false, 'at the start'],
    [[sampleMs, sampleMs], false, 'in time'],
    [[late], false, 'late once'],
    [[sampleMs, 5000], false, 'a long pause: garbage, a large policy'],
    [[late, late], true, 'late twice'],
    [[late - 1, late - 1], false, 'late by what is allowed'],
    [[late, sampleMs, late], false, 'late, in time, late'],
    [[late, late, sampleMs], false, 'in time again'],
    [[late, late, late, late], true, 'late all the time'],
  ]
  for (const [delays, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(after(...delays), expected))
})

test('requests for tokens are refused while it lasts, probes and operators are not, and all is well afterwards', async t => {
  const world = await startWorld()
  const broker = await world.broker(t)
  assert.equal((await broker.ask()).status, 200)
  const token = await world.emulator.mintCallerToken()
  const keepBusy = async (times: number) => {
    for (let nth = 0; nth < times; nth++) {
      for (const end = performance.now() + sampleMs + lateMs + 100; performance.now() < end;);
      await new Promise(resolve => setTimeout(resolve))
    }
  }
  await keepBusy(3)
  const [refused, live, ready, health] = await Promise.all([
    broker.ask(undefined, { token }),
    send(`${broker.url}/livez`),
    send(`${broker.url}/readyz`),
    broker.get('/health'),
  ])
  assert.deepEqual([refused.status, refused.json['code'], refused.headers['retry-after']], [503, 'overloaded', '2'])
  assert.equal(live.status, 200)
  assert.notEqual(ready.json['code'], 'overloaded')
  assert.equal(health.status, 200)
  await new Promise(resolve => setTimeout(resolve, sampleMs * 2))
  assert.equal((await broker.ask(undefined, { token })).status, 200)
})
