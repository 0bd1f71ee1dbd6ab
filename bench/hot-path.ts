import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLoad, type Load } from './load.ts'
import { measureInSlices, rangeOf, type Cost, type Range, type Slices } from './slices.ts'
import { median, startServer, type Server, type World } from './world.ts'

/** A version of the broker. */
export interface Version {
  /** Its name in the results. */
  readonly name: string
  /** The path of its bundle. */
  readonly program: string
  /** Node's flags in its image. */
  readonly flags: readonly string[]
}

/** What a cached token costs a server, over all rounds. */
export interface HotPath {
  readonly server: string
  /** Medians of the rounds. */
  readonly cost: Cost
  /** To the bare route of the same round. Absent for the bare route. */
  readonly ratios?: { readonly rate: Range; readonly cpu: Range; readonly p99: Range }
}

/** How much is measured. */
export interface HotPathOptions {
  readonly rounds: number
  readonly slices: Slices
  /** Called after each round, with the costs by server. */
  readonly onRound: (round: number, costs: ReadonlyMap<string, Cost>) => void
}

const bare = 'bare Fastify'
const audits = ['every', 'summary'] as const

/** Requests a token, or what the bare route returns in its place. */
const requestToken = ({ authorization }: World, url: string, body: string) =>
  fetch(`${url}/tokens`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body })

/** The first request of a server: the time until its response is the start-up. */
export const firstRequest = (world: World) => (url: string) => requestToken(world, url, world.bodies[0] ?? '')

/**
 * Compares versions of the broker, each with both values of `BROKER_AUDIT`, with a bare Fastify route that returns the same
 * bytes. In each round all of them are new processes on one core, and get the same load in turn.
 */
export async function compareHotPaths(
  world: World,
  versions: readonly Version[],
  baseline: string,
  { rounds, slices, onRound }: HotPathOptions,
): Promise<{ readonly tool: string; readonly results: readonly HotPath[] }> {
  const { tool, run } = await createLoad(world)
  const measured: ReadonlyMap<string, Cost>[] = []
  for (let round = 1; round <= rounds; round++) {
    const costs = await measureRound(world, versions, baseline, run, slices)
    measured.push(costs)
    onRound(round, costs)
  }
  const names = [...(measured[0]?.keys() ?? [])]
  return { tool, results: names.map(server => summarize(server, measured)) }
}

async function measureRound(
  world: World,
  versions: readonly Version[],
  baseline: string,
  run: Load,
  slices: Slices,
): Promise<ReadonlyMap<string, Cost>> {
  const servers = new Map<string, Server>()
  try {
    for (const { name, program, flags } of versions) {
      for (const audit of audits) {
        const environment = { ...world.environment, BROKER_AUDIT: audit }
        const server = await startServer([...flags, program, 'serve'], environment, firstRequest(world))
        servers.set(`${name}, ${audit}`, server)
        await fillCache(world, server)
      }
    }
    servers.set(bare, await startServer([baseline], responsesOf(world), firstRequest(world)))
    const costs = await measureInSlices([...servers.values()], run, slices)
    return new Map([...servers.keys()].flatMap((name, n) => (costs[n] ? [[name, costs[n]] as const] : [])))
  } finally {
    await Promise.all([...servers.values()].map(server => server.stop()))
  }
}

/** The environment of the bare route. Its responses are those of the broker whose cache was filled last. */
export const responsesOf = ({ folder }: World) => ({ RESPONSES: join(folder, 'responses.json') })

/** Requests a token for every tenant, so that only cache hits are measured, and writes the responses for the bare route. */
export async function fillCache(world: World, server: Server): Promise<void> {
  const responses: Record<string, string> = {}
  for (const body of world.bodies) {
    const text = await (await requestToken(world, server.url, body)).text()
    responses[(JSON.parse(body) as { tenant: string }).tenant] = text
  }
  await writeFile(responsesOf(world).RESPONSES, JSON.stringify(responses))
}

function summarize(server: string, rounds: readonly ReadonlyMap<string, Cost>[]): HotPath {
  const medianOf = (measure: keyof Cost) => median(rounds.map(costs => costs.get(server)?.[measure] ?? Number.NaN))
  const cost = { cpu: medianOf('cpu'), rate: medianOf('rate'), p99: medianOf('p99') }
  if (server === bare) return { server, cost }
  const ratio = (measure: keyof Cost) =>
    rangeOf(rounds.map(costs => (costs.get(server)?.[measure] ?? Number.NaN) / (costs.get(bare)?.[measure] ?? 1)))
  return { server, cost, ratios: { rate: ratio('rate'), cpu: ratio('cpu'), p99: ratio('p99') } }
}
