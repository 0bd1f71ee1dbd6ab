import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sequenceName, valueName } from '../../../../src/outbound/redis/names.ts'
import { until, type Closing } from '../../../support/broker.ts'
import { startRedis, withoutRedis, type RedisOptions, type RedisServer } from '../../../support/redis-server.ts'
import { ample, connected, connection } from './world.ts'

const slots = 16_384
const timing = { pingMs: ample, silentMs: ample, longestPauseMs: 100 }

const startNode = (closing: Closing, options: RedisOptions = {}): Promise<RedisServer> =>
  startRedis(closing, {
    ...options,
    settings: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '500', ...(options.settings ?? [])],
  })

/** Gives a node the slots from `first` on, and as many as `count`. */
async function give(node: RedisServer, first: number, count: number): Promise<void> {
  const all = Array.from({ length: count }, (_, nth) => String(first + nth))
  assert.equal(await node.command('CLUSTER', 'ADDSLOTS', ...all), '+OK')
}

const isWhole = async (node: RedisServer, nodes: number): Promise<boolean> => {
  const info = await node.command('CLUSTER', 'INFO')
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes}`)
}

/** Two nodes; the second one has the broker's slot, or all of them. */
async function startCluster(closing: Closing, options: RedisOptions & { readonly hasAll?: boolean } = {}) {
  const [other, owner] = [await startNode(closing, options), await startNode(closing, options)]
  const slot = Number((await owner.command('CLUSTER', 'KEYSLOT', sequenceName)).slice(1))
  const first = options.hasAll === true ? 0 : slot
  await give(owner, first, slots - first)
  if (first > 0) await give(other, 0, first)
  // Without an epoch of their own, the two would compete for one.
  await other.command('CLUSTER', 'SET-CONFIG-EPOCH', '1')
  await owner.command('CLUSTER', 'SET-CONFIG-EPOCH', '2')
  await other.command('CLUSTER', 'MEET', '127.0.0.1', String(owner.port))
  await until('cluster', async () => (await isWhole(other, 2)) && isWhole(owner, 2))
  return { other, owner, slot }
}

/** Moves a slot. The new owner gets a newer epoch, so that the nodes do not disagree. */
async function move(slot: number, from: RedisServer, to: RedisServer): Promise<void> {
  const [source, target] = [await from.command('CLUSTER', 'MYID'), await to.command('CLUSTER', 'MYID')]
  const set = async (node: RedisServer, ...args: readonly string[]) =>
    assert.equal(await node.command('CLUSTER', 'SETSLOT', String(slot), ...args), '+OK')
  await set(to, 'IMPORTING', source)
  await set(from, 'MIGRATING', target)
  await set(to, 'NODE', target)
  await set(from, 'NODE', target)
}

// A cluster needs two seconds until it is up.
describe('cluster mode', { skip: withoutRedis, concurrency: 6 }, () => {
  test('a cluster of one node', async t => {
    const node = await startNode(t)
    await give(node, 0, slots)
    await until('cluster', () => isWhole(node, 1))
    const redis = connection(t, node)
    await connected(redis)
    const replies = await redis.send(
      [
        ['SET', valueName('a'), '1'],
        ['INCR', sequenceName],
        ['GET', valueName('a')],
      ],
      true,
    )
    assert.deepEqual(replies, ['OK', 1, Buffer.from('1')])
  })

  test('the connection goes to the node that has the names, and follows them to another node', async t => {
    const { other, owner, slot } = await startCluster(t)
    const redis = connection(t, other, undefined, { timing })
    const received: string[] = []
    redis.subscribe('{tb:1}:events', message => received.push(String(message)))
    await connected(redis)
    assert.equal(await redis.one('INCR', sequenceName), 1)
    assert.equal(await owner.command('GET', sequenceName), '1')
    await until('subscribed', async () => (await owner.command('PUBSUB', 'NUMSUB', '{tb:1}:events')).endsWith(':1'))

    await owner.command('DEL', sequenceName)
    await move(slot, owner, other)
    await assert.rejects(redis.one('INCR', sequenceName), /^Error: MOVED /)
    await until('moved', async () => (await redis.one('INCR', sequenceName).catch(() => 0)) === 1)
    assert.equal(await other.command('GET', sequenceName), '1')
    await redis.one('PUBLISH', '{tb:1}:events', 'hello')
    await until('received over the cluster', () => received.includes('hello'))
  })

  test('a transaction that the node refuses is rejected, and the connection follows', async t => {
    const { other, owner, slot } = await startCluster(t)
    const redis = connection(t, owner, undefined, { timing })
    await connected(redis)
    await move(slot, owner, other)
    await assert.rejects(redis.send([['INCR', sequenceName]], true), /MOVED/)
    await until('moved', async () => (await redis.one('GET', sequenceName).catch(() => 0)) === null)
  })

  test('with TLS, a node may show the certificate for the name of the settings', async t => {
    const { other, owner } = await startCluster(t, { tlsFor: ['localhost'], settings: ['--tls-cluster', 'yes'] })
    const address = { host: 'localhost', port: other.port, isEncrypted: true, caFile: owner.caFile }
    const redis = connection(t, address, undefined, { timing })
    await connected(redis)
    assert.equal(await redis.one('INCR', sequenceName), 1)
  })

  test('when the node of the settings is gone, the others are tried', async t => {
    // A node without slots is not missed by the other one.
    const { other, owner } = await startCluster(t, { hasAll: true })
    const redis = connection(t, other, undefined, { timing })
    await connected(redis)
    await other.kill()
    await owner.command('CLIENT', 'KILL', 'TYPE', 'normal')
    const connections = () => redis.lines.filter(({ level }) => level === 'info').length
    await until('reconnected without the node of the settings', () => connections() > 1 && redis.isConnected())
    assert.equal(await redis.one('INCR', sequenceName), 1)
  })

  test('a cluster that is down is no server: it is tried again until it is up', async t => {
    const node = await startNode(t)
    const redis = connection(t, node, undefined, { timing })
    await until('refused', () => redis.trouble()?.startsWith('CLUSTERDOWN') === true)
    await give(node, 0, slots)
    await connected(redis)
  })
})
