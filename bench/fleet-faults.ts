import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchRedis } from './fleet-redis.ts'
import { newKeyLine, type Fleet } from './fleet-world.ts'

/** What goes wrong with Redis, and how it ends. */
export interface Fault {
  readonly name: string
  readonly cause: (redis: BenchRedis, fleet: Fleet) => Promise<unknown>
  readonly end: (redis: BenchRedis, fleet: Fleet) => Promise<unknown>
}

/** Every fault that is measured; the first is none. */
export const faults: readonly Fault[] = [
  { name: 'none', cause: () => Promise.resolve(), end: () => Promise.resolve() },
  {
    name: 'SIGSTOP',
    cause: async redis => redis.signal('SIGSTOP'),
    end: async redis => redis.signal('SIGCONT'),
  },
  { name: 'SIGKILL, restarted empty', cause: async redis => redis.signal('SIGKILL'), end: redis => redis.restart() },
  { name: 'FLUSHALL', cause: redis => redis.command('FLUSHALL'), end: () => Promise.resolve() },
  {
    name: 'full',
    cause: redis => redis.command('CONFIG SET maxmemory 1'),
    end: redis => redis.command('CONFIG SET maxmemory 0'),
  },
  {
    name: 'READONLY',
    cause: redis => redis.command('REPLICAOF 127.0.0.1 1'),
    end: redis => redis.command('REPLICAOF NO ONE'),
  },
  {
    name: 'connections cut',
    cause: async redis => {
      for (let nth = 0; nth < 10; nth++) {
        await redis.command('CLIENT KILL TYPE normal')
        await redis.command('CLIENT KILL TYPE pubsub')
        await sleep(200)
      }
    },
    end: () => Promise.resolve(),
  },
  {
    name: 'key ring of one replica wrong',
    cause: (_redis, fleet) => writeFile(fleet.replicas[0]?.keyFile ?? '', newKeyLine('x')),
    end: () => Promise.resolve(),
  },
]
