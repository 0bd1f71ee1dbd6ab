import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newKeyLine } from './fleet-world.ts'
import { createLoad, type Load } from './load.ts'
import { createWorld, median, startServer, type Server, type World } from './world.ts'

/** What Redis costs a request that it has nothing to do with. */
export interface HitRates {
  readonly tool: string
  /** Medians, in cached tokens per second. */
  readonly without: number
  readonly with: number
  /** The median of the pairs' ratios, with Redis to without. */
  readonly ratio: number
}

/** Pairs of new processes: two identical processes can differ by more than what is measured here. */
const pairs = 5
const rounds = 2
const seconds = 2

/** Two brokers on one core, one of them with Redis, get the same load of cached tokens in turn; then the next two. */
export async function compareHits(program: string, redisUrl: string): Promise<HitRates> {
  const world = await createWorld()
  try {
    const keyFile = join(world.folder, 'cache-keys')
    await writeFile(keyFile, newKeyLine('a'), { mode: 0o600 })
    const redis = { BROKER_REDIS_URL: redisUrl, BROKER_CACHE_KEY_FILE: keyFile }
    const { tool, run } = await createLoad(world)
    const rates: (readonly [without: number, sharing: number])[] = []
    for (let pair = 0; pair < pairs; pair++) rates.push(await comparePair(program, world, redis, run))
    return {
      tool,
      without: median(rates.map(([rate]) => rate)),
      with: median(rates.map(([, rate]) => rate)),
      ratio: median(rates.map(([before, after]) => after / before)),
    }
  } finally {
    await world.close()
  }
}

/** The medians of one pair of processes. */
async function comparePair(program: string, world: World, redis: Readonly<Record<string, string>>, run: Load) {
  const [without, sharing] = [await start(program, world, {}), await start(program, world, redis)]
  const measured: (readonly [number, number])[] = []
  for (let round = -1; round < rounds; round++) {
    const rates = [await run(without.url, seconds), await run(sharing.url, seconds)] as const
    // The first round warms up.
    if (round >= 0) measured.push(rates)
  }
  await Promise.all([without.stop(), sharing.stop()])
  return [median(measured.map(([rate]) => rate)), median(measured.map(([, rate]) => rate))] as const
}

/** A broker that has a token of every tenant in its memory. */
async function start(program: string, world: World, more: Readonly<Record<string, string>>): Promise<Server> {
  const request = (url: string, body: string) =>
    fetch(`${url}/tokens`, {
      method: 'POST',
      headers: { authorization: world.authorization, 'content-type': 'application/json' },
      body,
    })
  const environment = { ...world.environment, ...more, BROKER_AUDIT: 'summary' }
  const server = await startServer([program, 'serve'], environment, url => request(url, world.bodies[0] ?? ''))
  for (const body of world.bodies) await (await request(server.url, body)).arrayBuffer()
  return server
}
