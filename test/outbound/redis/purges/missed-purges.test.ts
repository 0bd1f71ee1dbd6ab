import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { RedisConnection } from '../../../../src/outbound/redis/connection/connection.ts'
import { epochName, purgesName, sequenceName } from '../../../../src/outbound/redis/names.ts'
import { liveMs } from '../../../../src/outbound/redis/purges/replicas.ts'
import { until } from '../../../support/broker.ts'
import { ids } from '../../../support/callers.ts'
import { startRedis, withoutRedis } from '../../../support/redis-server.ts'
import { commonRing, countedSource, request, startReplica, startReplicas } from '../fleet.ts'

describe('purges that the store does not have', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  test('one that it refused is written once it accepts it, in the same epoch, and reaches the others', async t => {
    const [a, b] = await startReplicas(t, port, 'a', 'b')
    assert.ok(a && b)
    await request(b, countedSource(b).source)
    await until('stored', () => b.events.includes('stored'))
    await redis?.command('CONFIG', 'SET', 'maxmemory', '1')
    t.after(() => redis?.command('CONFIG', 'SET', 'maxmemory', '0'))
    assert.deepEqual(await a.level.purge({ tenant: ids.contoso }), { live: undefined, confirmed: 1 })
    assert.deepEqual(b.purges, [])
    const epoch = await redis?.command('GET', epochName)
    await redis?.command('CONFIG', 'SET', 'maxmemory', '0')
    await until('b has applied it', () => b.purges.length > 0)
    assert.deepEqual(b.purges, [{ tenant: ids.contoso }])
    assert.equal(await redis?.command('GET', epochName), epoch)
    assert.equal(await request(a, countedSource(a).source), 'a-1', 'the token is from before the purge')
  })

  test('one that a failover has lost, and whose number another one has got, reaches the others all the same', async t => {
    const [a, b, c] = await startReplicas(t, port, 'a', 'b', 'c')
    assert.ok(a && b && c)
    assert.deepEqual(await a.level.purge({ tenant: ids.contoso }), { live: 3, confirmed: 3 })
    const [lost = ''] = (await redis?.command('XREVRANGE', purgesName, '+', '-', 'COUNT', '1'))?.split('\n') ?? []
    await Promise.all([
      redis?.command('XDEL', purgesName, lost),
      redis?.command('DECR', sequenceName),
      c.level.purge({ tenant: ids.fabrikam }),
    ])
    for (const replica of [a, b])
      await until(`${replica.name} has applied it`, () =>
        replica.purges.some(({ tenant }) => tenant === ids.fabrikam || tenant === undefined),
      )
    const late = await startReplica(t, port, 'late')
    await until('the lost one is back', () => late.purges.some(({ tenant }) => tenant === ids.contoso))
  })
})

describe('a replica that was stopped for longer than it counts as live', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  test('reads the purges it has missed before it serves a token of its memory', async t => {
    const a = await startReplica(t, port, 'a')
    const deaf = (connection: RedisConnection) => ({ ...connection, subscribe: () => undefined })
    const b = await startReplica(t, port, 'b', commonRing, { wrap: deaf })
    assert.equal(b.level.untilCurrent(b.monotonic()), undefined)
    const before = b.purges.length
    await a.level.purge({ tenant: ids.contoso })
    b.skip(liveMs)
    const current = b.level.untilCurrent(b.monotonic())
    assert.ok(current)
    await current
    assert.deepEqual(b.purges.slice(before)[0], { tenant: ids.contoso })
    assert.equal(b.level.untilCurrent(b.monotonic()), undefined)
  })

  test('while the store does not respond, it serves what it has after a moment', async t => {
    const server = await startRedis(t)
    const a = await startReplica(t, server.port, 'a')
    server.pause()
    t.after(server.resume)
    a.skip(liveMs)
    await a.level.untilCurrent(a.monotonic())
    assert.equal(a.level.untilCurrent(a.monotonic()), undefined)
  })
})
