import { describe } from 'node:test'
import { eventsChannel } from '../../../src/outbound/redis/names.ts'
import type { SecondLevel } from '../../../src/broker/tokens/second-level.ts'
import type { RedisConnection } from '../../../src/outbound/redis/connection/connection.ts'
import { until } from '../../support/broker.ts'
import { grantFor } from '../../support/callers.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { describeSecondLevel } from '../../broker/tokens/second-level-contract.ts'
import { startedAt, startReplica, type TestReplica } from './fleet.ts'

/** A connection that a test can cut, without ending the replica. */
function cuttable(real: RedisConnection) {
  let isCut = false
  const reconnected: (() => void)[] = []
  const connection: RedisConnection = {
    ...real,
    send: (...args) => (isCut ? Promise.reject(new Error('cut')) : real.send(...args)),
    subscribe: (channel, listener) =>
      real.subscribe(channel, message => {
        if (!isCut) listener(message)
      }),
    onConnected: listener => {
      reconnected.push(listener)
      real.onConnected(listener)
    },
    isConnected: () => !isCut && real.isConnected(),
  }
  return {
    connection,
    cut: () => void (isCut = true),
    heal: () => {
      isCut = false
      for (const listener of reconnected) listener()
    },
  }
}

/**
 * A replica does not wait until Redis has stored what it fetched. The contract does: a look-up over the same connection is
 * carried out after the write.
 */
const storedWhenFetched = (level: SecondLevel): SecondLevel => ({
  ...level,
  fetch: async (...args) => {
    const token = await level.fetch(...args)
    await level.lookUp(args[0], { isAwaited: true })
    return token
  },
})

// Three suites of three tests at once: each test waits for seconds, but on a busy machine more would slow each other down.
describe('Redis', { skip: withoutRedis, concurrency: 3 }, () => {
  describeSecondLevel('the second level on Redis', async t => {
    const redis = await startRedis(t)
    const replicas = new Map<SecondLevel, TestReplica & Pick<ReturnType<typeof cuttable>, 'cut' | 'heal'>>()
    const of = (level: SecondLevel) => {
      const replica = replicas.get(level)
      if (!replica) throw new Error('a replica of another store')
      return replica
    }
    const isKnown = ({ level }: TestReplica) => level.status().replicas?.length === replicas.size
    return {
      clock: { now: () => startedAt },
      replica: async () => {
        const cut = Promise.withResolvers<ReturnType<typeof cuttable>>()
        const replica = await startReplica(t, redis.port, `replica-${replicas.size}`, undefined, {
          wrap: real => {
            const wrapped = cuttable(real)
            cut.resolve(wrapped)
            return wrapped.connection
          },
          // A purge that not all confirm lasts so long.
          deadlines: { confirmMs: 5_000 },
        })
        const level = storedWhenFetched(replica.level)
        replicas.set(level, { ...replica, ...(await cut.promise) })
        await until('the replicas know each other', () => [...replicas.values()].every(isKnown))
        return level
      },
      cutOff: async level => of(level).cut(),
      reconnect: async level => {
        of(level).heal()
        await until('it is connected', () => level.status().isUp)
        // A look-up waits for the purges.
        await level.lookUp(grantFor(), { isAwaited: true })
      },
      expireLeases: async () => {
        const names = (await redis.command('KEYS', '*:l:*')).split('\n').filter(line => line.startsWith('{'))
        if (names.length > 0) await redis.command('DEL', ...names)
      },
      restart: async () => {
        await redis.restart()
        await until('all are connected', () => [...replicas.keys()].every(level => level.status().isUp))
        // Over both connections: a replica that does not hear itself does not know how far a purge reaches.
        const listening = async () => (await redis.command('PUBSUB', 'NUMSUB', eventsChannel)).split(':').at(-1)
        await until('all listen', async () => Number(await listening()) === replicas.size)
      },
    }
  })
})
