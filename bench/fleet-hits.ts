import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeFlags } from '../scripts/node-flags.ts'
import { newKeyLine } from './fleet-world.ts'
import { createLoad, type Load } from './load.ts'
import { measureInSlices, rangeOf, type Cost, type Range } from './slices.ts'
import { createWorld, median, startServer, type Server, type World } from './world.ts'

/** A measure of both kinds of processes. */
interface Compared {
  /** Medians of the processes. */
  readonly without: number
  readonly with: number
  /** Of the pairs' ratios, with Redis to without. */
  readonly ratio: Range
}

/** What Redis costs a request that it has nothing to do with. */
export interface HitCosts {
  readonly tool: string
  readonly pairs: number
  /** Microseconds of CPU time per cached token. */
  readonly cpu: Compared
  /** Cached tokens per second. */
  readonly rate: Compared
}

/** Of each process of a pair. */
const slices = { count: 4, seconds: 1 }

/**
 * Pairs of new processes on one core, one of them with Redis, get the same load of cached tokens in turn. Two identical
 * processes can differ by more than what is measured here, so only the median of many pairs says anything.
 */
export async function compareHits(program: string, redisUrl: string, pairs: number): Promise<HitCosts> {
  const world = await createWorld()
  try {
    const keyFile = join(world.folder, 'cache-keys')
    await writeFile(keyFile, newKeyLine('a'), { mode: 0o600 })
    const redis = { BROKER_REDIS_URL: redisUrl, BROKER_CACHE_KEY_FILE: keyFile }
    const { tool, run } = await createLoad(world)
    const measured: (readonly [without: Cost, sharing: Cost])[] = []
    for (let pair = 0; pair < pairs; pair++) {
      // The one that is started and measured first takes turns too.
      const [first, second] = pair % 2 === 0 ? [{}, redis] : [redis, {}]
      const [one, other] = await measurePair(program, world, [first, second], run)
      measured.push(pair % 2 === 0 ? [one, other] : [other, one])
    }
    const compare = (measure: (cost: Cost) => number): Compared => {
      const values = measured.map(([without, sharing]) => [measure(without), measure(sharing)] as const)
      const ratios = values.map(([without, sharing]) => sharing / without)
      return {
        without: median(values.map(([without]) => without)),
        with: median(values.map(([, sharing]) => sharing)),
        ratio: rangeOf(ratios),
      }
    }
    return { tool, pairs, cpu: compare(({ cpu }) => cpu), rate: compare(({ rate }) => rate) }
  } finally {
    await world.close()
  }
}

type Environment = Readonly<Record<string, string>>

async function measurePair(program: string, world: World, more: readonly [Environment, Environment], run: Load) {
  const servers = [await start(program, world, more[0]), await start(program, world, more[1])] as const
  const [one, other] = await measureInSlices(servers, run, slices)
  await Promise.all(servers.map(server => server.stop()))
  if (!one || !other) throw new Error('a pair has two processes')
  return [one, other] as const
}

/** A broker that has a token of every tenant in its memory. */
async function start(program: string, world: World, more: Environment): Promise<Server> {
  const request = (url: string, body: string) =>
    fetch(`${url}/tokens`, {
      method: 'POST',
      headers: { authorization: world.authorization, 'content-type': 'application/json' },
      body,
    })
  const environment = { ...world.environment, ...more, BROKER_AUDIT: 'summary' }
  const server = await startServer([...nodeFlags, program, 'serve'], environment, url =>
    request(url, world.bodies[0] ?? ''),
  )
  for (const body of world.bodies) await (await request(server.url, body)).arrayBuffer()
  return server
}
