import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RedisConnection } from '../../../src/outbound/redis/connection/connection.ts'
import { until } from '../../support/broker.ts'
import { ids } from '../../support/callers.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { read } from '../../support/sources.ts'
import { connected, connection, fileWith } from './connection/world.ts'
import { passwordFile } from '../../../src/outbound/redis/connection/credentials.ts'
import { countedSource, request, startReplica } from './fleet.ts'

/** The line of docs/fleet.md, in the words of ACL SETUSER. */
const line = /^user (token-broker .+)$/m.exec(read('docs/fleet.md'))?.[1] ?? ''

test(
  'the ACL line of docs/fleet.md permits all that replicas do, and nothing else',
  { skip: withoutRedis },
  async t => {
    const redis = await startRedis(t)
    const [name = '', ...rules] = line.replace('>PASSWORD', '>secret').split(' ')
    assert.equal(await redis.command('ACL', 'SETUSER', name, 'reset', ...rules), '+OK')
    const file = await fileWith(t, 'secret')
    const wrap = (): RedisConnection => connection(t, { port: redis.port }, passwordFile(file, name))
    const [a, b] = await Promise.all(['a', 'b'].map(each => startReplica(t, redis.port, each, undefined, { wrap })))
    assert.ok(a && b)
    assert.equal(await request(a, countedSource(a).source), 'a-1')
    await until('stored', () => a.events.includes('stored'))
    assert.equal(await request(b, countedSource(b).source), 'a-1')
    await until('the replicas know each other', () => a.level.status().replicas?.length === 2)
    assert.deepEqual(await a.level.purge({ tenant: ids.contoso }), { live: 2, confirmed: 2 })
    const admin = connection(t, { port: redis.port })
    await connected(admin)
    assert.deepEqual(await admin.one('ACL', 'LOG'), [], 'something was refused')

    const other = wrap()
    await connected(other)
    for (const command of [['KEYS', '*'], ['GET', 'other'], ['FLUSHALL'], ['CONFIG', 'GET', '*']]) {
      const [reply] = await other.send([command])
      assert.match(String(reply), /NOPERM/, command.join(' '))
    }
  },
)
