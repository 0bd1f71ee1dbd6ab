import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { until } from '../../../support/broker.ts'
import { redisPrograms, startRedis, withoutRedis } from '../../../support/redis-server.ts'
import { startRespServer } from '../../../support/resp-server.ts'
import { connected, connection } from './world.ts'

const binary = randomBytes(1000)

for (const program of redisPrograms)
  describe(`commands, with ${program}`, async () => {
    const server = await startRedis({ after }, { program })
    const redis = connection({ after }, server)

    test('several are sent together; each has its reply, with the very bytes of values', async () => {
      await connected(redis)
      const replies = await redis.send([
        ['SET', 'a', binary],
        ['GET', 'a'],
        ['GET', 'none'],
        ['INCR', 'count'],
        ['GETRANGE', 'a', '0', '9'],
      ])
      assert.deepEqual(replies, ['OK', binary, null, 1, binary.subarray(0, 10)])
    })

    test('an error reply is an Error in its place, and the others are carried out', async () => {
      const [error, other] = await redis.send([
        ['INCR', 'a'],
        ['INCR', 'count'],
      ])
      assert.ok(error instanceof Error)
      assert.match(error.message, /^ERR value is not an integer/)
      assert.equal(other, 2)
    })

    test('a transaction: the same replies', async () => {
      const replies = await redis.send(
        [
          ['SET', 'b', binary, 'PX', '60000'],
          ['GET', 'b'],
          ['INCR', 'b'],
        ],
        true,
      )
      assert.deepEqual(replies.slice(0, 2), ['OK', binary])
      assert.match(String(replies[2]), /not an integer/)
    })

    test('a transaction with a command that is refused is not carried out', async () => {
      await assert.rejects(redis.send([['SET', 'c', '1'], ['NONSENSE']], true), /unknown command/)
      assert.equal(await redis.one('GET', 'c'), null)
    })

    test('two transactions at once are not mixed', async () => {
      const once = (value: string) =>
        redis.send(
          [
            ['SET', 'd', value],
            ['GET', 'd'],
          ],
          true,
        )
      const [x, y] = await Promise.all([once('x'), once('y'), redis.one('INCR', 'count')])
      assert.deepEqual([String(x?.[1]), String(y?.[1])], ['x', 'y'])
    })

    test('messages of a channel come with their bytes, also if it is subscribed to before it is connected', async t => {
      const subscriber = connection(t, server)
      const received: string[] = []
      subscriber.subscribe('events', message => received.push(message.toString('hex')))
      await until('received', async () => (await redis.one('PUBLISH', 'events', binary)) === 1)
      await until('received', () => received.length === 1)
      assert.deepEqual(received, [binary.toString('hex')])
      subscriber.subscribe('more', message => received.push(String(message)))
      await until('received', async () => (await redis.one('PUBLISH', 'more', 'x')) === 1)
      await until('received', () => received.length === 2)
    })
  })

test('a connection for messages is reported once it has subscribed: what is missed until then can be found out', async t => {
  const server = await startRespServer(t, Date.now, () => Number.POSITIVE_INFINITY)
  server.holdSubscriptions(true)
  const redis = connection(t, server, { get: () => Promise.resolve({ password: 'x' }) })
  redis.subscribe('events', () => undefined)
  await connected(redis)
  await until('withheld', () => server.heldSubscriptions() === 1)
  assert.equal(redis.times(), 1)
  server.holdSubscriptions(false)
  await until('reported', () => redis.times() === 2)
})

test('a server is installed', { skip: withoutRedis }, () => {
  assert.ok(redisPrograms.length > 0)
})
