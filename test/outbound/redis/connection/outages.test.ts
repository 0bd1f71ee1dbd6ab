import assert from 'node:assert/strict'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { until, type Closing } from '../../../support/broker.ts'
import { movableClock } from '../../../support/clock.ts'
import { freePort } from '../../../support/ports.ts'
import { startRedis, withoutRedis } from '../../../support/redis-server.ts'
import { connected, connection, type Connected } from './world.ts'

describe('outages', { skip: withoutRedis }, () => {
  test('without a server, commands are rejected at once with the reason, which is logged once', async t => {
    const port = await freePort()
    const redis = connection(t, { port })
    await assert.rejects(redis.one('PING'), /not connected to Redis: not connected yet/)
    await until('tried', () => /ECONNREFUSED/.test(redis.trouble() ?? ''))
    assert.equal(redis.isConnected(), false)
    assert.equal(redis.failure(), 'refused')
    await assert.rejects(redis.one('PING'), /not connected to Redis: .*ECONNREFUSED/)
    assert.equal(redis.lines.filter(({ level }) => level === 'warn').length, 1)
    assert.match(JSON.stringify(redis.lines[0]), new RegExp(`"127.0.0.1:${port}".*ECONNREFUSED.*Redis is unavailable`))
  })

  test('connections that are cut are opened again, with their channels, and that is reported', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    const received: string[] = []
    redis.subscribe('events', message => received.push(String(message)))
    await until('subscribed', async () => (await server.command('PUBSUB', 'NUMSUB', 'events')).endsWith(':1'))
    for (const type of ['normal', 'pubsub']) {
      const before = redis.times()
      await server.command('CLIENT', 'KILL', 'TYPE', type)
      await until('reconnected', () => redis.times() > before && redis.isConnected())
    }
    await until('received', async () => (await redis.one('PUBLISH', 'events', 'again').catch(() => 0)) === 1)
    await until('received', () => received.includes('again'))
  })

  test('a command whose connection is cut is rejected at once', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    await connected(redis)
    const blocked = redis.one('BLPOP', 'never', '0')
    const rejected = assert.rejects(blocked, /closed|ECONNRESET/)
    await until('blocked', async () => (await server.command('CLIENT', 'KILL', 'TYPE', 'normal')) !== ':0')
    await rejected
  })

  test('a server that does not respond to checks is given up, and found again', async t => {
    const server = await startRedis(t)
    const timing = { pingMs: 20, silentMs: 200, longestPauseMs: 100 }
    const redis = connection(t, server, undefined, { timing })
    await connected(redis)
    server.pause()
    await until('given up', () => !redis.isConnected())
    await assert.rejects(
      redis.one('PING'),
      /not connected to Redis: it does not respond: there was no response within 200 ms/,
    )
    server.resume()
    await until('found again', async () => (await redis.one('PING').catch(() => undefined)) === 'PONG')
  })

  test('a server that is killed and restarted, empty', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    await connected(redis)
    await redis.one('SET', 'a', '1')
    await server.kill()
    await until('lost', () => !redis.isConnected())
    await server.restart()
    await connected(redis)
    assert.equal(await redis.one('GET', 'a'), null)
    assert.ok(redis.times() >= 2)
    assert.deepEqual(
      redis.lines.map(({ level }) => level),
      ['info', 'warn', 'info'],
    )
  })

  test('a server that is full: writes are refused, reads are not, and the connection stays', async t => {
    const server = await startRedis(t, { settings: ['--maxmemory', '1b', '--maxmemory-policy', 'noeviction'] })
    const redis = connection(t, server)
    await connected(redis)
    await refusesWrites(redis, /^OOM/)
    assert.deepEqual(
      redis.lines.map(({ level }) => level),
      ['info'],
    )
  })

  test('a server that stays read-only: writes are refused, reads are not; it is left once in 30 s', async t => {
    const server = await startRedis(t, { settings: ['--replicaof', '127.0.0.1 1'] })
    const { monotonic, advance } = movableClock()
    const redis = connection(t, server, undefined, { monotonic })
    const left = () => redis.lines.filter(({ level }) => level === 'warn').length
    for (const [ms, times] of [
      [0, 1],
      [29_999, 1],
      [1, 2],
    ] as const) {
      advance(ms)
      await connected(redis)
      await refusesWrites(redis, /^READONLY/)
      await until('left', () => left() === times)
    }
    assert.match(JSON.stringify(redis.lines), /it is read-only; another server may be the primary now/)
  })

  test('after a failover behind one name, the former primary is left for the new one', async t => {
    const [former, next] = [await startRedis(t), await startRedis(t)]
    let target = former.port
    const redis = connection(t, { port: await forward(t, () => target) })
    const received: string[] = []
    redis.subscribe('events', message => received.push(String(message)))
    await connected(redis)
    target = next.port
    await former.command('REPLICAOF', '127.0.0.1', '1')
    assert.match(String(await redis.one('SET', 'a', '1')), /READONLY/)
    await until('connected to the new primary', async () => (await redis.one('SET', 'a', '1').catch(() => 0)) === 'OK')
    assert.equal(await next.command('GET', 'a'), '1')
    await until('subscribed there', async () => (await next.command('PUBLISH', 'events', 'hello')) === ':1')
    await until('received', () => received.includes('hello'))
  })

  test('a server that is stopped does not fill the memory: commands without a reply are limited', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    await connected(redis)
    server.pause()
    const waiting = redis.send(Array.from({ length: 10_000 }, () => ['PING']))
    await assert.rejects(redis.one('PING'), /too many commands wait for a reply/)
    server.resume()
    assert.equal((await waiting).length, 10_000)
    const large = Buffer.alloc(1024 * 1024)
    server.pause()
    const writes = redis.send(Array.from({ length: 15 }, () => ['SET', 'a', large]))
    await assert.rejects(
      redis.send([
        ['SET', 'a', large],
        ['SET', 'a', large],
      ]),
      /too many commands/,
    )
    server.resume()
    await writes
    assert.equal(await redis.one('PING'), 'PONG')
  })

  test('after close there is no connection, and nothing is reported', async t => {
    const server = await startRedis(t)
    const redis = connection(t, server)
    redis.subscribe('events', () => undefined)
    await connected(redis)
    await redis.close()
    await until('closed', async () => !/cmd=(?!client)/.test(await server.command('CLIENT', 'LIST')))
    await assert.rejects(redis.one('PING'), /not connected/)
    assert.equal(redis.lines.filter(({ level }) => level === 'warn').length, 0)
  })

  test('close does not wait for a server that does not respond', async t => {
    const server = await startRedis(t)
    server.pause()
    const redis = connection(t, server)
    await redis.close()
    server.resume()
  })
})

/** A write and a read, each alone and in a transaction: the writes are refused, and the read is not. */
async function refusesWrites(redis: Connected, message: RegExp): Promise<void> {
  const [write, read] = await redis.send([
    ['SET', 'a', '1'],
    ['GET', 'a'],
  ])
  assert.match(write instanceof Error ? write.message : '', message)
  assert.equal(read, null)
  await connected(redis)
  await assert.rejects(
    redis.send(
      [
        ['SET', 'a', '1'],
        ['GET', 'a'],
      ],
      true,
    ),
    { message },
  )
  assert.equal(await redis.one('GET', 'a'), null)
}

/** Forwards connections to a port of this moment. Resolves to the port where it listens. */
async function forward(closing: Closing, target: () => number): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(incoming => {
    const outgoing = connectTcp({ host: '127.0.0.1', port: target() })
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
    incoming.pipe(outgoing).pipe(incoming)
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', () => resolve())
  await promise
  closing.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
