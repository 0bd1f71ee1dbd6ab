import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import { BrokerError } from '../../../src/errors.ts'
import type { RedisConnection } from '../../../src/outbound/redis/connection/connection.ts'
import { leaseName } from '../../../src/outbound/redis/names.ts'
import { createSealer } from '../../../src/outbound/redis/sealing/sealed-token.ts'
import { until } from '../../support/broker.ts'
import { grantFor } from '../../support/callers.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { commonRing, countedSource, issuedAt, request, startReplica } from './fleet.ts'

/** An exchange with a slow Entra: the test says when it ends. */
function slowExchange() {
  const started = Promise.withResolvers<AbortSignal>()
  const result = Promise.withResolvers<IssuedToken>()
  const source: TokenSource = (_grant, signal) => {
    started.resolve(signal)
    signal.addEventListener('abort', () => result.reject(signal.reason), { once: true })
    return result.promise
  }
  return { source, started: started.promise, end: (token: string) => result.resolve(issuedAt(Date.now(), token)) }
}

describe('Entra is so slow that leases end before the exchange does', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0
  const [name] = createSealer(() => commonRing).names(grantFor())
  /** Ends the lease as if its time were over, so that the test does not wait. */
  const endLease = async () => void (await redis?.command('DEL', leaseName(name)))

  /** Two replicas: one has had the lease, the other has waited and makes the exchange too. */
  async function world(t: { after: (work: () => unknown) => void }) {
    await redis?.command('FLUSHALL')
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    const [first, second] = [slowExchange(), slowExchange()]
    const results = [request(a, first.source)]
    await first.started
    results.push(request(b, second.source))
    await until('b waits', () => b.events.includes('miss'))
    await endLease()
    await second.started
    return { a, b, first, second, results }
  }

  test('a replica that has waited gets the token of the first holder, and its own exchange is aborted', async t => {
    const { b, first, second, results } = await world(t)
    first.end('a-1')
    assert.deepEqual(await Promise.all(results), ['a-1', 'a-1'])
    assert.equal((await second.started).aborted, true)
    // Nothing of the abort reaches the next request.
    assert.equal(await request(b, () => assert.fail('the token is there')), 'a-1')
  })

  test('its own token, if that comes first, which later ones find', async t => {
    const { a, b, first, second, results } = await world(t)
    second.end('b-1')
    assert.equal(await results[1], 'b-1')
    await until('stored', () => b.events.includes('stored'))
    assert.equal(await request(a, () => assert.fail('the token is there')), 'b-1')
    first.end('a-1')
    assert.equal(await results[0], 'a-1')
  })

  test('a replica that has waited for two leases gets the first token, too', async t => {
    const { first, results } = await world(t)
    const c = await startReplica(t, port, 'c', undefined, { deadlines: { leaseMs: 300 } })
    const third = slowExchange()
    results.push(request(c, third.source))
    await until('c waits', () => c.events.includes('miss'))
    await redis?.command('SET', leaseName(name), 'of another replica')
    await until('c has stopped to wait', () => c.events.includes('lease alone'))
    first.end('a-1')
    assert.deepEqual(await Promise.all(results), ['a-1', 'a-1', 'a-1'])
    assert.equal((await third.started).aborted, true)
  })

  test('a replica that ends during its exchange costs the others its lease, not their request', async t => {
    await redis?.command('FLUSHALL')
    const a = await startReplica(t, port, 'a', undefined, { deadlines: { leaseMs: 300 } })
    const b = await startReplica(t, port, 'b')
    void request(a, () => new Promise(() => undefined))
    await until('a has the lease', () => a.events.includes('lease won'))
    const { source } = countedSource(b)
    assert.equal(await request(b, source), 'b-1')
    assert.ok(b.events.includes('lease won'))
  })
})

/** Delivers messages only after the reply to the next commands: the two connections of a replica are not in order. */
function lateMessages(connection: RedisConnection): RedisConnection {
  const held: (() => void)[] = []
  return {
    ...connection,
    send: async (...args) => {
      const replies = await connection.send(...args)
      setImmediate(() => {
        for (const deliver of held.splice(0)) deliver()
      })
      return replies
    },
    subscribe: (channel, listener) => connection.subscribe(channel, message => held.push(() => listener(message))),
  }
}

describe('the end of a lease is seen before the news of its holder', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  test('the failure of the holder is that of those who wait, all the same', async t => {
    const a = await startReplica(t, port, 'a')
    const b = await startReplica(t, port, 'b', undefined, { wrap: lateMessages })
    const [started, ending] = [Promise.withResolvers<void>(), Promise.withResolvers<never>()]
    const first = request(a, () => (started.resolve(), ending.promise))
    await started.promise
    const second = request(b, () => assert.fail('the failure of the holder is its own, too'))
    await until('b waits', () => b.events.includes('miss'))
    ending.reject(new BrokerError('upstream_unavailable', 'Entra responded with 503.', { reason: 'status' }))
    await assert.rejects(first, { code: 'upstream_unavailable' })
    await assert.rejects(second, { code: 'upstream_unavailable' })
  })
})
