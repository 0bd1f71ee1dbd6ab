import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed, workload } from '../support/settings.ts'
import { cacheKeyLine } from '../support/cache-keys.ts'

const least: Environment = {
  ...managed,
  BROKER_REDIS_URL: 'rediss://redis.example:10000',
  BROKER_CACHE_KEY_FILE: '/keys/cache',
}
const redisOf = (environment: Environment) => readConfig({ ...least, ...environment }).redis
const errorsOf = (environment: Environment) => configurationErrorsOf({ ...least, ...environment })

describe('the second level on Redis', () => {
  test('is absent without its variables', () => {
    assert.equal(readConfig(managed).redis, undefined)
    assert.equal(readConfig({ ...managed, BROKER_REDIS_URL: '', BROKER_CACHE_KEY_FILE: '' }).redis, undefined)
  })

  test('needs a URL and a key ring', () => {
    assert.deepEqual(readConfig(least).redis, {
      host: 'redis.example',
      port: 10_000,
      isEncrypted: true,
      caFile: undefined,
      auth: { kind: 'none' },
      keyFile: '/keys/cache',
    })
    assert.deepEqual(errorsOf({ BROKER_CACHE_KEY_FILE: undefined }), [
      'BROKER_CACHE_KEY_FILE: is required with BROKER_REDIS_URL; token-broker key cache creates a key',
    ])
    assert.deepEqual(errorsOf({ BROKER_REDIS_URL: undefined }), [
      'BROKER_REDIS_URL: is required with BROKER_CACHE_KEY_FILE',
    ])
  })

  const addresses: readonly (readonly [url: string, host: string, port: number, isEncrypted: boolean, why: string])[] =
    [
      ['rediss://redis.example', 'redis.example', 6379, true, 'the default port'],
      ['rediss://redis.example:10000/', 'redis.example', 10_000, true, 'a slash at the end'],
      ['rediss://[2001:db8::1]:1', '2001:db8::1', 1, true, 'an IPv6 address'],
      ['rediss://10.0.0.5:65535', '10.0.0.5', 65_535, true, 'the highest port'],
      ['redis://localhost', 'localhost', 6379, false, 'loopback'],
      ['redis://127.0.0.9:7000', '127.0.0.9', 7000, false, 'loopback'],
      ['redis://[::1]:7000', '::1', 7000, false, 'loopback'],
    ]
  for (const [url, host, port, isEncrypted, why] of addresses)
    test(`${url}: ${why}`, () => {
      const redis = redisOf({ BROKER_REDIS_URL: url })
      assert.deepEqual([redis?.host, redis?.port, redis?.isEncrypted], [host, port, isEncrypted])
    })

  for (const [url, why] of [
    ['redis.example:10000', 'no scheme'],
    ['https://redis.example', 'another protocol'],
    ['rediss://', 'no host'],
    ['rediss:redis.example', 'no slashes'],
    ['rediss://redis.example:0', 'port 0'],
    ['rediss://redis.example:65536', 'no port'],
    ['rediss://redis.example/1', 'a database: there is one in a cluster'],
    ['rediss://redis.example?tls=no', 'a query'],
    ['rediss://redis.example#x', 'a fragment'],
    ['rediss://redis.example,redis2.example', 'two hosts'],
    ['rediss://r%65dis.example', 'an escape'],
  ] as const)
    test(`${url} is refused: ${why}`, () => {
      const [error = '', ...more] = errorsOf({ BROKER_REDIS_URL: url })
      assert.match(error, /^BROKER_REDIS_URL: must be rediss:\/\//)
      assert.deepEqual(more, [])
    })

  for (const url of [
    'rediss://:correct-horse@redis.example',
    'redis://alice:correct-horse@localhost',
    'rediss://alice@x',
  ])
    test(`${url}: credentials in it are refused, and not repeated`, () => {
      const [error = '', ...more] = errorsOf({ BROKER_REDIS_URL: url })
      assert.match(
        error,
        /^BROKER_REDIS_URL: must not have a user name or a password; set .*BROKER_REDIS_PASSWORD_FILE/,
      )
      assert.ok(!error.includes('horse') && !error.includes('alice'))
      assert.deepEqual(more, [])
    })

  test('a password in a URL that cannot be parsed is not repeated', () => {
    assert.doesNotMatch(errorsOf({ BROKER_REDIS_URL: 'rediss://:correct-horse@redis.example:x' }).join(), /horse/)
  })

  test('a key in the place of its file is refused, and not repeated', () => {
    const line = cacheKeyLine('one')
    const errors = errorsOf({ BROKER_CACHE_KEY_FILE: line })
    assert.deepEqual(errors, ['BROKER_CACHE_KEY_FILE: looks like a key; give the path of a file that contains it'])
  })
})

describe('an unencrypted connection beyond loopback', () => {
  const plain = { BROKER_REDIS_URL: 'redis://redis.example:6379' }

  test('is refused', () => {
    assert.match(errorsOf(plain).join(), /^BROKER_REDIS_URL: must be rediss:\/\/, because/)
  })

  test('is accepted with BROKER_REDIS_INSECURE=true, with a warning', () => {
    const { redis, warnings } = readConfig({ ...least, ...plain, BROKER_REDIS_INSECURE: 'true' })
    assert.equal(redis?.isEncrypted, false)
    assert.match(warnings.join(), /^BROKER_REDIS_INSECURE=true: the connection to redis\.example is not encrypted/)
    assert.deepEqual(readConfig({ ...least, BROKER_REDIS_INSECURE: 'true' }).warnings, [], 'not with TLS')
  })

  test('is refused with the token of the identity, also then', () => {
    const errors = errorsOf({ ...plain, BROKER_REDIS_INSECURE: 'true', BROKER_REDIS_AUTH: 'entra' })
    assert.match(errors.join(), /^BROKER_REDIS_URL: must be rediss:\/\/ with BROKER_REDIS_AUTH=entra/)
  })
})

describe('authentication', () => {
  test('by password: from a file, for the user default or another one', () => {
    const password = { BROKER_REDIS_AUTH: 'password', BROKER_REDIS_PASSWORD_FILE: '/keys/password' }
    const passwordFile = '/keys/password'
    assert.deepEqual(redisOf(password)?.auth, { kind: 'password', username: undefined, passwordFile })
    const named = redisOf({ ...password, BROKER_REDIS_USERNAME: 'broker' })
    assert.deepEqual(named?.auth, { kind: 'password', username: 'broker', passwordFile })
    assert.deepEqual(errorsOf({ BROKER_REDIS_AUTH: 'password' }), [
      'BROKER_REDIS_PASSWORD_FILE: is required with BROKER_REDIS_AUTH=password',
    ])
  })

  test('by Entra: with a managed identity', () => {
    assert.deepEqual(redisOf({ BROKER_REDIS_AUTH: 'entra' })?.auth, { kind: 'entra' })
    const errors = configurationErrorsOf({
      ...workload,
      ...least,
      BROKER_REDIS_AUTH: 'entra',
      BROKER_IDENTITY_SOURCE: 'workload-identity',
    })
    assert.match(errors.join(), /^BROKER_REDIS_AUTH: entra needs a managed identity/)
  })

  for (const kind of ['none', 'entra'])
    test(`user name and password file have no effect with ${kind}`, () => {
      const errors = errorsOf({
        BROKER_REDIS_AUTH: kind,
        BROKER_REDIS_USERNAME: 'broker',
        BROKER_REDIS_PASSWORD_FILE: '/keys/password',
      })
      assert.deepEqual(errors, [
        'BROKER_REDIS_USERNAME: has no effect without BROKER_REDIS_AUTH=password',
        'BROKER_REDIS_PASSWORD_FILE: has no effect without BROKER_REDIS_AUTH=password',
      ])
    })

  test('a CA file has no effect without TLS', () => {
    const errors = errorsOf({ BROKER_REDIS_URL: 'redis://localhost', BROKER_REDIS_CA_FILE: '/keys/ca' })
    assert.deepEqual(errors, ['BROKER_REDIS_CA_FILE: has no effect without rediss:// in BROKER_REDIS_URL'])
    assert.equal(redisOf({ BROKER_REDIS_CA_FILE: '/keys/ca' })?.caFile, '/keys/ca')
  })
})

test('all errors are reported together, with those of other variables', () => {
  const errors = configurationErrorsOf({
    ...managed,
    PORT: 'x',
    BROKER_REDIS_AUTH: 'kerberos',
    BROKER_REDIS_USERNAME: 'broker',
    BROKER_REDIS_CA_FILE: '/keys/ca',
    BROKER_REDIS_INSECURE: 'true',
  })
  assert.deepEqual(errors, [
    'PORT: must be a whole number from 0 to 65535; got "x"',
    'BROKER_REDIS_AUTH: must be one of none, password, entra; got "kerberos"',
    'BROKER_REDIS_AUTH: has no effect without BROKER_REDIS_URL',
    'BROKER_REDIS_USERNAME: has no effect without BROKER_REDIS_URL',
    'BROKER_REDIS_CA_FILE: has no effect without BROKER_REDIS_URL',
    'BROKER_REDIS_INSECURE: has no effect without BROKER_REDIS_URL',
  ])
})
