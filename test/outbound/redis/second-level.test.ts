import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { redisDeadlines } from '../../../src/outbound/redis/deadlines.ts'
import { until } from '../../support/broker.ts'
import { cacheKeyLine, ringOf } from '../../support/cache-keys.ts'
import { grantFor, ids } from '../../support/callers.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { countedSource, request, startReplica, startReplicas } from './fleet.ts'

const unavailable = new BrokerError('upstream_unavailable', 'Entra responded with 503.', { reason: 'status' })
const fabrikam = grantFor({ tenant: ids.fabrikam })

describe('replicas on one Redis', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0
  const fresh = async () => void (await redis?.command('FLUSHALL'))

  test('a token that one replica has fetched is found by another', async t => {
    await fresh()
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    const [first, second] = [countedSource(a), countedSource(b)]
    assert.equal(await request(a, first.source), 'a-1')
    await until('stored', () => a.events.includes('stored'))
    assert.equal(await request(b, second.source), 'a-1')
    assert.deepEqual([first.count(), second.count()], [1, 0])
    assert.deepEqual(b.events.slice(-1), ['hit'])
  })

  test('replicas that need a key at the same time make one exchange', async t => {
    await fresh()
    const replicas = await Promise.all(['a', 'b', 'c', 'd'].map(name => startReplica(t, port, name)))
    const sources = replicas.map(replica => countedSource(replica, 150))
    const tokens = await Promise.all(replicas.map((replica, nth) => request(replica, sources[nth]?.source ?? fail)))
    assert.equal(new Set(tokens).size, 1)
    assert.equal(
      sources
        .map(({ count }) => count())
        .join('')
        .replaceAll('0', ''),
      '1',
    )
  })

  test('replicas that wait get the failure of the exchange, and the next request makes another', async t => {
    await fresh()
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    const started = Promise.withResolvers<void>()
    const ending = Promise.withResolvers<never>()
    const first = request(a, () => (started.resolve(), ending.promise))
    await started.promise
    const other = countedSource(b)
    const second = request(b, other.source)
    await until('b waits', () => b.events.includes('miss'))
    ending.reject(unavailable)
    await assert.rejects(first, { code: 'upstream_unavailable' })
    await assert.rejects(second, { code: 'upstream_unavailable', message: unavailable.message })
    assert.equal(other.count(), 0)
    assert.equal(await request(b, other.source), 'b-1')
  })

  test('a failure of the holder alone does not fail for those who wait: they make the exchange', async t => {
    await fresh()
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    for (const [code, parts] of [
      ['identity_unavailable', { reason: 'network' }],
      ['upstream_unavailable', { reason: 'circuit_open' }],
      ['internal_error', {}],
    ] as const) {
      await fresh()
      const started = Promise.withResolvers<void>()
      const ending = Promise.withResolvers<never>()
      const first = request(a, () => (started.resolve(), ending.promise))
      await started.promise
      const other = countedSource({ ...b, name: code })
      const seen = b.events.length
      const second = request(b, other.source)
      await until('b waits', () => b.events.length > seen)
      ending.reject(new BrokerError(code, 'only here', parts))
      await assert.rejects(first, { code })
      assert.equal(await second, `${code}-1`)
    }
  })

  test('a refresh makes an exchange although a token is there, and others then find the newer one', async t => {
    await fresh()
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    const before = a.clock.now()
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    a.clock.advance(1000)
    assert.equal(await request(a, countedSource({ ...a, name: 'newer' }).source, grantFor(), before), 'newer-1')
    await until('stored again', () => a.events.filter(event => event === 'stored').length === 2)
    assert.equal(await request(b, fail, grantFor(), before), 'newer-1')
  })

  test('keys of the ring: a replica that knows the key as its second one reads what another writes', async t => {
    await fresh()
    const [older, newer] = [cacheKeyLine('a'), cacheKeyLine('b')]
    const a = await startReplica(t, port, 'a', ringOf(newer, older))
    const b = await startReplica(t, port, 'b', ringOf(older, newer))
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    assert.equal(await request(b, fail), 'a-1')
    a.useRing(ringOf(cacheKeyLine('c')))
    assert.equal(await request(a, countedSource({ ...a, name: 'again' }).source), 'again-1', 'its key is gone')
  })

  test('keys of the ring: of the tokens that were written under different keys, the newest counts', async t => {
    await fresh()
    const [older, newer] = [cacheKeyLine('a'), cacheKeyLine('b')]
    const a = await startReplica(t, port, 'a', ringOf(newer, older))
    const b = await startReplica(t, port, 'b', ringOf(older, newer))
    const before = a.clock.now()
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    b.clock.advance(1000)
    await request(b, countedSource(b).source, grantFor(), before)
    await until('stored', () => b.events.includes('stored'))
    for (const replica of [a, b]) {
      assert.equal(await request(replica, fail), 'b-1')
      assert.equal(await request(replica, fail, grantFor(), before), 'b-1')
    }
  })

  test('a token that ends soon is neither stored nor found', async t => {
    await fresh()
    const [a, b] = [await startReplica(t, port, 'a'), await startReplica(t, port, 'b')]
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    b.clock.advance(3_541_000)
    assert.equal(await request(b, countedSource(b).source), 'b-1')
  })
})

describe('purges over replicas', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  test('reach every live replica, who confirm them, and no shared token survives', async t => {
    const [a, b, c] = await startReplicas(t, port, 'a', 'b', 'c')
    assert.ok(a && b && c)
    await request(a, countedSource(a).source)
    await request(a, countedSource({ ...a, name: 'other' }).source, fabrikam)
    await until('both are stored', () => a.events.filter(event => event === 'stored').length === 2)
    assert.deepEqual(await a.level.purge({ tenant: ids.contoso }), { live: 3, confirmed: 3 })
    for (const { purges } of [b, c]) assert.deepEqual(purges, [{ tenant: ids.contoso }])
    assert.deepEqual(a.purges, [], 'its own purge is the caller‘s')
    for (const replica of [a, b, c])
      assert.deepEqual(await replica.level.lookUp(grantFor(), { isAwaited: true }), {
        token: undefined,
        isFetching: false,
      })
    assert.equal(await request(b, fail, fabrikam), 'other-1')
  })

  test('an exchange that began before a purge of another replica leaves no shared token', async t => {
    const [a, b] = await startReplicas(t, port, 'a', 'b')
    assert.ok(a && b)
    const started = Promise.withResolvers<void>()
    const ending = Promise.withResolvers<void>()
    const slow = countedSource(a)
    const running = request(a, async (...args) => {
      started.resolve()
      await ending.promise
      return slow.source(...args)
    })
    await started.promise
    await b.level.purge({})
    ending.resolve()
    await running
    await until('stored', () => a.events.includes('stored'))
    assert.equal(await request(b, countedSource(b).source), 'b-1')
  })

  test('a replica with other keys drops everything, and the reach is not said to be all', async t => {
    const a = await startReplica(t, port, 'a')
    const stranger = await startReplica(t, port, 'x', ringOf(cacheKeyLine('x')))
    await until('a has heard a heartbeat that it cannot read', () => stranger.level.status().isUp)
    assert.equal((await a.level.purge({ tenant: ids.contoso })).live, undefined)
    await until('it drops everything', () => stranger.purges.length > 0)
    assert.deepEqual(stranger.purges.at(-1), {})
  })

  test('a store that was emptied gets the purges back, and a replica that missed one applies it', async t => {
    const [a, b] = await startReplicas(t, port, 'a', 'b')
    assert.ok(a && b)
    await a.level.purge({ tenant: ids.contoso })
    await redis?.command('FLUSHALL')
    const late = await startReplica(t, port, 'late')
    await until('it has applied the purge', () => late.purges.some(({ tenant }) => tenant === ids.contoso))
  })
})

describe('Redis has trouble', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  test('stopped: a request makes its own exchange, later ones do not wait, and it heals', async t => {
    const a = await startReplica(t, port, 'a', undefined, { deadlines: redisDeadlines })
    const { source, count } = countedSource(a)
    redis?.pause()
    assert.equal(await request(a, source), 'a-1')
    await until('it is down', async () => {
      await request(a, source)
      return a.events.includes('down')
    })
    assert.equal(a.level.status().failure, 'timeout')
    const asked = count()
    assert.equal(await request(a, source), `a-${asked + 1}`)
    redis?.resume()
    await until('it is up', () => a.events.includes('up'))
    assert.equal(a.level.status().failure, undefined)
  })

  test('full: what is there is read, and each request makes its own exchange', async t => {
    await redis?.command('FLUSHALL')
    const a = await startReplica(t, port, 'a')
    const b = await startReplica(t, port, 'b')
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    await redis?.command('CONFIG', 'SET', 'maxmemory', '1')
    t.after(() => redis?.command('CONFIG', 'SET', 'maxmemory', '0'))
    assert.equal(await request(b, fail), 'a-1')
    assert.equal(await request(b, countedSource(b).source, fabrikam), 'b-1')
    await until('the write was refused', () => b.events.includes('failed'))
    assert.ok(b.events.includes('lease alone'))
    assert.ok(!b.events.includes('down'))
    assert.deepEqual(await b.level.purge({}), { live: undefined, confirmed: 1 })
  })

  test('restarted empty: it is used again', async t => {
    const a = await startReplica(t, port, 'a')
    await redis?.restart()
    await until('it is used', async () => {
      await request(a, countedSource(a).source, fabrikam)
      return a.events.includes('stored')
    })
  })
})

const fail = (): Promise<never> => Promise.reject(new Error('no exchange was expected'))
