import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { assertionWorld } from './assertion-world.ts'
import { runs } from '../../support/runs.ts'

/** Numbers in [0, 1) that are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 31
  }
}

const failed = (reason: 'network' | 'status') => new BrokerError('identity_unavailable', 'unavailable', { reason })
const stepMs = 100

for (const seconds of [1, 10, 60, 120, 3600])
  test(`after ${seconds} s without the identity endpoint, callers are served within 3 s, and it was not hammered`, async () => {
    for (let seed = 1; seed <= runs(20); seed++) {
      const { get, world, clock } = assertionWorld()
      const random = numbers(seed)
      const request = async () => {
        world.random = random()
        return get().catch(() => undefined)
      }
      world.next = failed(seed % 2 === 0 ? 'network' : 'status')
      for (let ms = 0; ms < seconds * 1000; ms += stepMs) {
        assert.equal(await request(), undefined)
        clock.advance(stepMs)
      }
      // One call per second on average, and two at the start.
      assert.ok(world.fetches <= 2 * seconds + 3, `${world.fetches} calls, seed ${seed}`)
      world.next = {}
      let waited = 0
      while ((await request()) === undefined) {
        clock.advance(stepMs)
        waited += stepMs
      }
      assert.ok(waited <= 3000, `${waited} ms, seed ${seed}`)
    }
  })

test('a Retry-After of the endpoint is still respected', async () => {
  const { get, world, clock } = assertionWorld()
  world.next = new BrokerError('identity_unavailable', 'unavailable', { reason: 'status', retryAfter: 20 })
  await assert.rejects(get())
  world.next = {}
  clock.advance(19_999)
  await assert.rejects(get())
  clock.advance(2001)
  await get()
  assert.equal(world.fetches, 2)
})
