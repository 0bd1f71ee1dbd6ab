import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import {
  passwordFile,
  type CredentialsSource,
  type RedisCredentials,
} from '../../../../src/outbound/redis/connection/credentials.ts'
import { until } from '../../../support/broker.ts'
import { startRedis, withoutRedis } from '../../../support/redis-server.ts'
import { ample, connected, connection, fileWith } from './world.ts'

describe('authentication', { skip: withoutRedis }, () => {
  test('a wrong password is reported without it; the file is read again for each connection', async t => {
    const server = await startRedis(t, { password: 'correct-horse' })
    const file = await fileWith(t, 'wrong-horse\n')
    const redis = connection(t, server, passwordFile(file, undefined))
    await until('refused', () => redis.trouble()?.startsWith('WRONGPASS') === true)
    assert.doesNotMatch(JSON.stringify([redis.lines, redis.trouble()]), /horse/)
    await writeFile(file, 'correct-horse\n')
    await connected(redis)
    assert.equal(await redis.one('PING'), 'PONG')
  })

  for (const [what, text, message] of [
    ['is empty', '\n', /is empty$/],
    ['is too large', 'x'.repeat(5000), /is larger than 4096 bytes/],
  ] as const)
    test(`a password file that ${what} is reported`, async t => {
      const redis = connection(t, { port: 1 }, passwordFile(await fileWith(t, text), undefined))
      await until('reported', () => message.test(redis.trouble() ?? ''))
    })

  for (const renamed of ['HELLO', 'AUTH'])
    test(`a server that does not know ${renamed} repeats its arguments: the password is not reported`, async t => {
      const server = await startRedis(t, { settings: ['--rename-command', renamed, ''] })
      const source = renewable({ password: 'correct-horse' })
      const redis = connection(t, server, source)
      if (renamed === 'AUTH') {
        await connected(redis)
        source.renew({ password: 'correct-horse' })
      }
      await until('reported', () => redis.lines.some(({ level }) => level === 'warn'))
      const reported = JSON.stringify([redis.lines, redis.trouble()])
      assert.match(reported, new RegExp(`unknown command '${renamed}'`))
      assert.doesNotMatch(reported, /horse/)
    })

  test('without a password, a server that requires one is reported', async t => {
    const redis = connection(t, await startRedis(t, { password: 'x' }))
    await until('refused', () => redis.trouble()?.startsWith('NOAUTH') === true)
    assert.equal(redis.isConnected(), false)
  })

  test('a user of the ACL with the rights that the broker needs, and no others', async t => {
    const server = await startRedis(t)
    const rights = ['~{tb:1}:*', '&{tb:1}:*', '+get', '+set', '+ping', '+subscribe']
    await server.command('ACL', 'SETUSER', 'broker', 'on', '>secret', 'resetkeys', 'resetchannels', ...rights)
    const redis = connection(t, server, passwordFile(await fileWith(t, 'secret'), 'broker'))
    await connected(redis)
    assert.equal(await redis.one('SET', '{tb:1}:v:x', '1'), 'OK')
    assert.match(String(await redis.one('SET', 'other', '1')), /NOPERM/)
  })

  test('a user who may not subscribe: commands work, and the log says once what is missing', async t => {
    const server = await startRedis(t)
    await server.command('ACL', 'SETUSER', 'broker', 'on', '>secret', '~*', '&*', '+@all', '-subscribe')
    const timing = { pingMs: ample, silentMs: ample, longestPauseMs: 20 }
    const redis = connection(t, server, passwordFile(await fileWith(t, 'secret'), 'broker'), { timing })
    redis.subscribe('events', () => undefined)
    await connected(redis)
    await until('reported', () => redis.lines.length > 1)
    assert.match(JSON.stringify(redis.lines[1]), /NOPERM.*Redis sends no messages/)
    assert.equal(await redis.one('PING'), 'PONG')
    assert.equal(redis.lines.length, 2)
  })

  test('renewed credentials are sent over both live connections', async t => {
    const server = await startRedis(t)
    for (const name of ['one', 'two'])
      await server.command('ACL', 'SETUSER', name, 'on', `>${name}-token`, '~*', '&*', '+@all')
    const source = renewable({ username: 'one', password: 'one-token' })
    const redis = connection(t, server, source)
    redis.subscribe('events', () => undefined)
    /** The user of each connection, by its id. */
    const users = async () =>
      [...(await server.command('CLIENT', 'LIST')).matchAll(/id=(\d+) .*user=(one|two)/g)].map(each => each.slice(1))
    await until('connected', async () => redis.isConnected() && (await users()).length === 2)
    const before = await users()
    source.renew({ username: 'two', password: 'two-token' })
    const wanted = JSON.stringify(before.map(([id]) => [id, 'two']))
    await until('authenticated again', async () => JSON.stringify(await users()) === wanted)
    assert.equal(await redis.one('PING'), 'PONG')
  })

  test('renewed credentials that are refused: the connections are opened again with those of that moment', async t => {
    const server = await startRedis(t, { password: 'good' })
    const source = renewable({ password: 'good' })
    const redis = connection(t, server, source)
    await connected(redis)
    source.renew({ password: 'bad' })
    // Not by the number of connections: the second one may be opened late.
    await until('reconnected', () => redis.lines.filter(({ level }) => level === 'info').length > 1)
    assert.match(JSON.stringify(redis.lines), /it did not accept renewed credentials: WRONGPASS/)
    assert.equal(await redis.one('PING'), 'PONG')
  })
})

function renewable(credentials: RedisCredentials) {
  let renew: (renewed: RedisCredentials) => void = () => undefined
  const source: CredentialsSource = {
    get: () => Promise.resolve(credentials),
    onRenewed: listener => {
      renew = listener
    },
  }
  return { ...source, renew: (renewed: RedisCredentials) => renew(renewed) }
}
