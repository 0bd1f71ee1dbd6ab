import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { grantFor, graph, ids } from '../../support/callers.ts'
import { cacheWorld, settled } from '../tokens/cache-world.ts'

/** Whom `recalled` counts: callers who are answered with a failure that is remembered, and nobody else. */
const federation = () => new BrokerError('federation_misconfigured', 'no credential', { reason: 'federation' })
const other = grantFor({ application: 'default', tenant: ids.fabrikam, scope: graph })

function world(concurrency = 64) {
  const told: string[] = []
  const made = cacheWorld({
    concurrency,
    events: {
      refreshed: (_, outcome, error) => void told.push(`refresh ${outcome} ${error?.reason}`),
      negativeCacheHit: (grant, { reason }) => void told.push(`${grant === other ? 'other' : 'one'} ${reason}`),
    },
  })
  return { ...made, told }
}

describe('a failure that is remembered is announced', () => {
  test('for each caller who asks while it stands, and not for the one who met it first', async () => {
    const { get, world: source, told } = world()
    source.next = federation()
    await assert.rejects(get())
    assert.deepEqual(told, [])
    for (let caller = 0; caller < 2; caller++) await assert.rejects(get(other))
    assert.deepEqual(told, ['other federation', 'other federation'])
  })

  test('not for a refresh that it holds back: its caller has a token', async () => {
    const { get, clock, world: source, told, fetched } = world()
    await get()
    clock.advance(2_700_000)
    source.next = federation()
    await assert.rejects(get(other))
    assert.equal(await get(), 'due token-1')
    await settled()
    assert.deepEqual(told, ['refresh failed federation'])
    assert.equal(fetched.length, 2, 'the refresh asked nobody')
  })

  test('for each caller who waited for a turn, when it was made meanwhile', async () => {
    const { get, world: source, told, fetched, hold, release } = world(1)
    source.next = federation()
    hold()
    const waits = [get(), get(other), get(other)]
    release()
    assert.deepEqual(
      (await Promise.allSettled(waits)).map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    )
    assert.deepEqual(told, ['other federation', 'other federation'])
    assert.equal(fetched.length, 1)
  })
})
