import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import type { CheckId } from '../../src/doctor/check-table.ts'
import { neededRights } from '../../src/doctor/redis-checks.ts'
import { encodeMessage } from '../../src/outbound/redis/channel.ts'
import { eventsChannel } from '../../src/outbound/redis/names.ts'
import { sealHeartbeat } from '../../src/outbound/redis/purges/purge-messages.ts'
import { cacheKeyLine, ringOf } from '../support/cache-keys.ts'
import { freePort } from '../support/ports.ts'
import { startRedis, withoutRedis, type RedisOptions, type RedisServer } from '../support/redis-server.ts'
import { read } from '../support/sources.ts'
import { idsOf, startDoctorWorld, textOf } from './world.ts'

const world = await startDoctorWorld()
const line = cacheKeyLine('one')

/** Settings that use a server. Redis warns of nothing if its policy is the right one. */
async function examineRedis(
  t: TestContext,
  { port }: Pick<RedisServer, 'port'>,
  environment: Readonly<Record<string, string>> = {},
) {
  return world.examine(t, {
    environment: {
      BROKER_REDIS_URL: `redis://127.0.0.1:${port}`,
      BROKER_CACHE_KEY_FILE: await world.file(t, line),
      ...environment,
    },
    listenMs: 300,
  })
}

const well: RedisOptions = { settings: ['--maxmemory-policy', 'volatile-ttl'] }
const password = 'a-long-password-of-redis'
const withPassword = async (t: TestContext, text = password) => ({
  BROKER_REDIS_AUTH: 'password',
  BROKER_REDIS_PASSWORD_FILE: await world.file(t, text),
})

describe('a Redis with which all is well', { skip: withoutRedis }, () => {
  test('is checked without writing anything', async t => {
    const redis = await startRedis(t, well)
    const report = await examineRedis(t, redis)
    assert.deepEqual([idsOf(report, 'failed'), idsOf(report, 'warning')], [[], ['settings.environment']])
    assert.match(textOf(report, 'redis.server'), /redis \d+\.\d+\.\d+ standalone master/)
    assert.equal(await redis.command('DBSIZE'), ':0', 'nothing was written')
    assert.match(textOf(report, 'redis.replicas'), /no replica was heard/)
  })

  test('is checked over TLS, with a password, and as a user that may do nothing but what replicas need', async t => {
    const redis = await startRedis(t, { ...well, tlsFor: ['127.0.0.1'], password })
    const rights = neededRights.split(' ')
    await redis.command('ACL', 'SETUSER', 'token-broker', 'reset', 'on', `>${password}`, ...rights)
    const report = await examineRedis(t, redis, {
      ...(await withPassword(t)),
      BROKER_REDIS_USERNAME: 'token-broker',
      BROKER_REDIS_URL: `rediss://127.0.0.1:${redis.port}`,
      BROKER_REDIS_CA_FILE: redis.caFile,
    })
    assert.deepEqual(idsOf(report, 'failed'), [])
    assert.match(textOf(report, 'redis.tls'), /issued by "redis CA"/)
    assert.match(textOf(report, 'redis.eviction'), /may not read maxmemory-policy/)
    assert.ok(!JSON.stringify(report).includes(password))
  })
})

test('the rights in the remedy are those of docs/fleet.md', () => {
  assert.ok(read('docs/fleet.md').includes(`user token-broker on >PASSWORD ${neededRights}\n`))
})

interface Row {
  readonly fault: string
  readonly options?: RedisOptions
  readonly plant?: (redis: RedisServer) => Promise<unknown>
  readonly environment?: (t: TestContext, redis: RedisServer) => Promise<Readonly<Record<string, string>>>
  readonly fails: readonly CheckId[]
  readonly says: RegExp
}

const rows: readonly Row[] = [
  {
    fault: 'a host that DNS does not know',
    environment: () => Promise.resolve({ BROKER_REDIS_URL: 'rediss://redis.example:10000' }),
    fails: ['redis.dns'],
    says: /DNS does not resolve redis\.example[\s\S]*BROKER_REDIS_URL/,
  },
  {
    fault: 'a port that is closed',
    environment: async () => ({ BROKER_REDIS_URL: `redis://127.0.0.1:${await freePort()}` }),
    fails: ['redis.tcp'],
    says: /ECONNREFUSED/,
  },
  {
    fault: 'a certificate of a private CA, without BROKER_REDIS_CA_FILE',
    options: { ...well, tlsFor: ['127.0.0.1'] },
    environment: (_, { port }) => Promise.resolve({ BROKER_REDIS_URL: `rediss://127.0.0.1:${port}` }),
    fails: ['redis.tls'],
    says: /issued by "redis CA"[\s\S]*BROKER_REDIS_CA_FILE=/,
  },
  {
    fault: 'rediss:// at a server without TLS',
    environment: (_, { port }) => Promise.resolve({ BROKER_REDIS_URL: `rediss://127.0.0.1:${port}` }),
    fails: ['redis.tls'],
    says: /no TLS with 127\.0\.0\.1/,
  },
  {
    fault: 'no credentials, although Redis requires them',
    options: { ...well, password },
    fails: ['redis.auth'],
    says: /NOAUTH[\s\S]*BROKER_REDIS_AUTH is none/,
  },
  {
    fault: 'a wrong password',
    options: { ...well, password },
    environment: t => withPassword(t, 'another-long-password'),
    fails: ['redis.auth'],
    says: /WRONGPASS[\s\S]*BROKER_REDIS_PASSWORD_FILE/,
  },
  {
    fault: 'a user without the right to write',
    options: well,
    plant: redis => redis.command('ACL', 'SETUSER', 'default', '-set', '-incr'),
    fails: ['redis.commands'],
    says: /NOPERM[\s\S]*'set'[\s\S]*'incr'[\s\S]*ACL SETUSER USER '~\{tb:1\}:\*' '&\{tb:1\}:events' '\+get'/,
  },
  {
    fault: 'a user without transactions: nothing is carried out instead',
    options: well,
    plant: redis => redis.command('ACL', 'SETUSER', 'default', '-multi'),
    fails: ['redis.commands'],
    says: /NOPERM[\s\S]*'multi'/,
  },
  {
    fault: 'a user without the channel',
    options: well,
    plant: redis => redis.command('ACL', 'SETUSER', 'default', 'resetchannels'),
    fails: ['redis.commands', 'redis.replicas'],
    says: /NOPERM/,
  },
  {
    fault: 'a replica in place of the primary',
    options: well,
    plant: async redis => redis.command('REPLICAOF', '127.0.0.1', String(await freePort())),
    fails: ['redis.server'],
    says: /replica, and takes no writes[\s\S]*PRIMARY/,
  },
  {
    fault: 'a key ring that is none',
    options: well,
    environment: async t => ({ BROKER_CACHE_KEY_FILE: await world.file(t, 'not a key') }),
    fails: ['redis.key-ring'],
    says: /line 1 must be kid:key[\s\S]*token-broker key cache makes a line[\s\S]*mount the key ring/,
  },
]

describe('the planted fault is what fails', { skip: withoutRedis }, () => {
  for (const { fault, options = well, plant, environment, fails, says } of rows)
    test(fault, async t => {
      const redis = await startRedis(t, options)
      await plant?.(redis)
      const report = await examineRedis(t, redis, await environment?.(t, redis))
      assert.deepEqual(idsOf(report, 'failed'), fails)
      assert.match(textOf(report, fails[0] ?? 'redis.auth'), says)
      if (options.password === undefined && options.tlsFor === undefined)
        assert.match(await redis.command('DBSIZE'), /^:0$/, 'nothing was written')
    })

  test('memory that is full, from which nothing is removed', async t => {
    const redis = await startRedis(t, { settings: ['--maxmemory-policy', 'noeviction'] })
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    const report = await examineRedis(t, redis)
    assert.deepEqual(idsOf(report, 'failed'), ['redis.commands'])
    assert.match(textOf(report, 'redis.commands'), /OOM[\s\S]*volatile-ttl/)
  })

  test('a server that does not respond after the connection', async t => {
    const silent = createServer(socket => t.after(() => void socket.destroy()))
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    t.after(() => void silent.close())
    const report = await examineRedis(t, { port: (silent.address() as AddressInfo).port })
    assert.deepEqual(idsOf(report, 'failed'), ['redis.auth'])
    assert.match(textOf(report, 'redis.auth'), /did not respond within/)
  })
})

describe('what does not keep replicas from working is a warning', { skip: withoutRedis }, () => {
  test('another maxmemory-policy', async t => {
    const report = await examineRedis(t, await startRedis(t, { settings: ['--maxmemory-policy', 'noeviction'] }))
    assert.deepEqual(idsOf(report, 'failed'), [])
    assert.match(textOf(report, 'redis.eviction'), /maxmemory-policy is noeviction[\s\S]*CONFIG SET maxmemory-policy/)
  })

  test('a key ring that other users can read', async t => {
    const BROKER_CACHE_KEY_FILE = await world.file(t, line, 0o644)
    const report = await examineRedis(t, await startRedis(t, well), { BROKER_CACHE_KEY_FILE })
    assert.ok(idsOf(report, 'warning').includes('redis.key-ring'))
    assert.match(textOf(report, 'redis.key-ring'), /chmod 600/)
  })
})

describe('the key ring is compared with what other replicas write', { skip: withoutRedis }, () => {
  for (const [what, kid, status, says] of [
    ['the same ring', undefined, 'ok', /opens what 1 replicas write/],
    ['another ring', 'two', 'failed', /under a key that is not in this key ring[\s\S]*the same file/],
  ] as const)
    test(what, async t => {
      const redis = await startRedis(t, well)
      const ring = ringOf(kid === undefined ? line : cacheKeyLine(kid))
      const sealed = sealHeartbeat(ring, { replica: 'other', entries: 1, fetching: 0, atRisk: 0 })
      const message = encodeMessage({ type: 'heartbeat', sealed }).toString('latin1')
      const beats = setInterval(() => void publish(redis, message), 20)
      t.after(() => clearInterval(beats))
      const report = await examineRedis(t, redis)
      assert.ok(idsOf(report, status).includes('redis.replicas'))
      assert.match(textOf(report, 'redis.replicas'), says)
    })
})

/** The helper's commands are text in UTF-8, so the bytes are sent by a script. */
const publish = (redis: RedisServer, message: string): Promise<string> => {
  const escaped = Array.from(message, each => `\\${each.charCodeAt(0).toString().padStart(3, '0')}`).join('')
  return redis.command('EVAL', `return redis.call('PUBLISH', '${eventsChannel}', "${escaped}")`, '0').catch(() => '')
}
