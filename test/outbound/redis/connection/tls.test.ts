import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { createAuthority } from '../../../../emulator/certificates.ts'
import { until } from '../../../support/broker.ts'
import { startRedis, withoutRedis } from '../../../support/redis-server.ts'
import { connected, connection, fileWith } from './world.ts'

describe('TLS', { skip: withoutRedis }, () => {
  for (const host of ['localhost', '127.0.0.1'])
    test(`the server's certificate is verified with the CA file, for ${host}`, async t => {
      const server = await startRedis(t, { tlsFor: [host], password: 'x' })
      const { port, caFile } = server
      const redis = connection(t, { host, port, isEncrypted: true, caFile }, { get: async () => ({ password: 'x' }) })
      await connected(redis)
      assert.equal(await redis.one('PING'), 'PONG')
    })

  test('a certificate of another authority is refused, before a password is sent; a new CA file needs no restart', async t => {
    const server = await startRedis(t, { tlsFor: ['localhost'] })
    const caFile = await fileWith(t, createAuthority('other').caPem)
    const redis = connection(t, { host: 'localhost', port: server.port, isEncrypted: true, caFile })
    await until('refused', () => /unable to verify|self.signed/.test(redis.trouble() ?? ''))
    await copyFile(server.caFile, caFile)
    await connected(redis)
  })

  test('a certificate for another name is refused', async t => {
    const { port, caFile } = await startRedis(t, { tlsFor: ['redis.example'] })
    const redis = connection(t, { host: 'localhost', port, isEncrypted: true, caFile })
    await until('refused', () => /does not match certificate's altnames/.test(redis.trouble() ?? ''))
    assert.equal(redis.isConnected(), false)
  })

  test('without a CA file, the system decides: the test authority is unknown to it', async t => {
    const { port } = await startRedis(t, { tlsFor: ['localhost'] })
    const redis = connection(t, { host: 'localhost', port, isEncrypted: true })
    await until('refused', () => /unable to verify|self.signed/.test(redis.trouble() ?? ''))
  })

  test('plain TCP to a TLS port, and TLS to a plain one, end with an error in time', async t => {
    const plain = await startRedis(t)
    const encrypted = await startRedis(t, { tlsFor: ['localhost'] })
    for (const redis of [
      connection(t, { port: encrypted.port }),
      connection(t, { host: 'localhost', port: plain.port, isEncrypted: true }),
    ])
      await until('refused', () => redis.lines.length > 0)
  })
})
