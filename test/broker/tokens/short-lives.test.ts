import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor } from '../../support/callers.ts'
import { assertionWorld, signal } from './assertion-world.ts'
import { atOnce, cacheWorld, settled } from './cache-world.ts'

/** Failed refreshes of tokens that live for seconds, asked for all the time, with the longest waits that jitter allows. */
const lives = [2, 5, 10, 30, 60, 120, 299]
const random = 1 - Number.EPSILON
const away = () => new BrokerError('upstream_unavailable', 'away', { reason: 'server_error' })
const stepMs = 20

function world(expiresIn: number) {
  const made = cacheWorld()
  const { world: source, clock, cache, fetched } = made
  source.random = random
  source.next = { expiresIn }
  /** Asks until so many milliseconds have passed, and counts who had to wait. */
  const askFor = async (ms: number): Promise<number> => {
    let waited = 0
    for (let passed = 0; passed < ms; passed += stepMs) {
      const served = cache.get(grantFor(), 0)
      if (!atOnce(served)) {
        waited++
        served.catch(() => undefined)
      }
      await settled()
      clock.advance(stepMs)
    }
    return waited
  }
  return { source, fetched, askFor }
}

describe('a token that lives for a short time', () => {
  for (const seconds of lives)
    test(`of ${seconds} s is not lost to one refresh that fails`, async () => {
      const { source, fetched, askFor } = world(seconds)
      assert.equal(await askFor(seconds * 550 - stepMs), 1, 'the first caller, and nobody else')
      assert.equal(fetched.length, 1)
      source.next = away()
      while (fetched.length === 1) assert.equal(await askFor(stepMs), 0)
      source.next = { expiresIn: seconds }
      assert.equal(await askFor(seconds * 1000), 0, 'nobody waits')
    })

  for (const seconds of lives)
    test(`of ${seconds} s is tried for three times and more before it is lost`, async () => {
      const { source, fetched, askFor } = world(seconds)
      await askFor(stepMs)
      source.next = away()
      assert.equal(await askFor(seconds * 900 - 2 * stepMs), 0)
      const tries = fetched.length - 1
      assert.ok(tries >= 3 && tries < 30, `${tries} tries`)
    })
})

test("an identity's token that lives for a minute is not lost to one refresh that fails", async () => {
  const { world: source, clock, kept } = assertionWorld()
  source.random = random
  const oneMinute = () => ({ expiresAt: clock.now() + 60_000 })
  source.next = oneMinute()
  await kept.get(signal)
  clock.advance(33_000)
  source.next = new BrokerError('identity_unavailable', 'away', { reason: 'network' })
  await kept.get(signal)
  await settled()
  source.next = oneMinute()
  clock.advance(6_000)
  await kept.get(signal)
  await settled()
  assert.equal((await kept.get(signal)).token, 'assertion-3')
})
