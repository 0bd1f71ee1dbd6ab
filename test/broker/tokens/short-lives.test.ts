import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor } from '../../support/callers.ts'
import { assertionWorld, signal } from './assertion-world.ts'
import { atOnce, cacheWorld, settled } from './cache-world.ts'

/** Failed refreshes of tokens that live for seconds and are requested all the time, with the longest waits of the jitter. */
const lives = [2, 5, 10, 30, 60, 120, 299]
const random = 1 - Number.EPSILON
const unavailable = () => new BrokerError('upstream_unavailable', 'unavailable', { reason: 'server_error' })
const stepMs = 20

function world(expiresIn: number) {
  const made = cacheWorld()
  const { world: source, clock, cache, fetched } = made
  source.random = random
  source.next = { expiresIn }
  /** Sends requests for so many milliseconds, and counts those that had to wait. */
  const requestFor = async (ms: number): Promise<number> => {
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
  return { source, fetched, requestFor }
}

describe('a token with a short life', () => {
  for (const seconds of lives)
    test(`of ${seconds} s is not lost to one refresh that fails`, async () => {
      const { source, fetched, requestFor } = world(seconds)
      assert.equal(await requestFor(seconds * 550 - stepMs), 1, 'only the first caller waits')
      assert.equal(fetched.length, 1)
      source.next = unavailable()
      while (fetched.length === 1) assert.equal(await requestFor(stepMs), 0)
      source.next = { expiresIn: seconds }
      assert.equal(await requestFor(seconds * 1000), 0, 'no caller waits')
    })

  for (const seconds of lives)
    test(`of ${seconds} s is refreshed three times or more before it is lost`, async () => {
      const { source, fetched, requestFor } = world(seconds)
      await requestFor(stepMs)
      source.next = unavailable()
      assert.equal(await requestFor(seconds * 900 - 2 * stepMs), 0)
      const tries = fetched.length - 1
      assert.ok(tries >= 3 && tries < 30, `${tries} tries`)
    })
})

test("an identity's token that lives for a minute is not lost to one refresh that fails", async () => {
  const { world: source, clock, assertions } = assertionWorld()
  source.random = random
  const oneMinute = () => ({ expiresAt: clock.now() + 60_000 })
  source.next = oneMinute()
  await assertions.get(signal)
  clock.advance(33_000)
  source.next = new BrokerError('identity_unavailable', 'unavailable', { reason: 'network' })
  await assertions.get(signal)
  await settled()
  source.next = oneMinute()
  clock.advance(6_000)
  await assertions.get(signal)
  await settled()
  assert.equal((await assertions.get(signal)).token, 'assertion-3')
})
