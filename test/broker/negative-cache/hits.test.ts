import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor, graph, ids } from '../../support/callers.ts'
import { cacheWorld, settled } from '../tokens/cache-world.ts'

/** `negativeCacheHit` is reported for each caller that gets a cached failure, and for no other. */
const federation = () => new BrokerError('federation_misconfigured', 'no credential', { reason: 'federation' })
const other = grantFor({ application: 'default', tenant: ids.fabrikam, scope: graph })

function world(concurrency = 64) {
  const reported: string[] = []
  const made = cacheWorld({
    concurrency,
    events: {
      refreshed: (_, outcome, error) => void reported.push(`refresh ${outcome} ${error?.reason}`),
      negativeCacheHit: (grant, { reason }) => void reported.push(`${grant === other ? 'other' : 'one'} ${reason}`),
    },
  })
  return { ...made, reported }
}

describe('a hit of the negative cache is reported', () => {
  test('for each caller that gets the cached failure, and not for the first one, whose fetch failed', async () => {
    const { get, world: source, reported } = world()
    source.next = federation()
    await assert.rejects(get())
    assert.deepEqual(reported, [])
    for (let caller = 0; caller < 2; caller++) await assert.rejects(get(other))
    assert.deepEqual(reported, ['other federation', 'other federation'])
  })

  test('not for a refresh that it prevents: its caller gets a token', async () => {
    const { get, clock, world: source, reported, fetched } = world()
    await get()
    clock.advance(2_700_000)
    source.next = federation()
    await assert.rejects(get(other))
    assert.equal(await get(), 'due token-1')
    await settled()
    assert.deepEqual(reported, ['refresh failed federation'])
    assert.equal(fetched.length, 2, 'the refresh sent no request')
  })

  test('for each caller that waited in the queue while the fetch failed', async () => {
    const { get, world: source, reported, fetched, hold, release } = world(1)
    source.next = federation()
    hold()
    const waits = [get(), get(other), get(other)]
    release()
    assert.deepEqual(
      (await Promise.allSettled(waits)).map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    )
    assert.deepEqual(reported, ['other federation', 'other federation'])
    assert.equal(fetched.length, 1)
  })
})
