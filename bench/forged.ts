import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as settle } from 'node:timers/promises'
import { nodeFlags } from '../scripts/node-flags.ts'
import { bundle, bundleBroker } from './bundle.ts'
import type { Orders, Outcome } from './forger.ts'
import { createWorld, median, onCore, startServer, type World } from './world.ts'

/** Requests per second of the legitimate caller, and the length of one measurement in seconds. */
const goodPerSecond = 1_000
const measuredSeconds = 0.6
/** The rates of forged tokens per second. */
const rates = [1_000, 2_000, 4_000, 8_000]
/** How often each rate is measured. A measurement without forged tokens precedes each one. */
const rounds = 3
const forgedTokens = 1_000
/** The limit for p99, as a multiple of the p99 without forged tokens. */
const times = 2

/** Latencies of the legitimate caller, in milliseconds. */
interface Latencies {
  readonly p50: number
  readonly p99: number
  /** The number of responses that were not 200. */
  readonly failed: number
}

/** Creates requests with forged tokens: half with a known key id and a foreign key, half with unpublished key ids. */
async function forge({ emulator, bodies }: World, port: number): Promise<readonly string[]> {
  const [body = ''] = bodies
  const tokens = Array.from({ length: forgedTokens }, (_, nth) =>
    emulator.mintCallerToken(
      { sub: 'bench' },
      nth % 2 === 0 ? { key: 'foreign' } : { header: { kid: `forged-${nth}` } },
    ),
  )
  return (await Promise.all(tokens)).map(
    token =>
      `POST /tokens HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
}

/** Sends the legitimate caller's requests at a steady rate, without waiting for responses. */
async function sendSteadily({ authorization, bodies }: World, port: number): Promise<Latencies> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const headers = { authorization, 'content-type': 'application/json' }
  const took: number[] = []
  let failed = 0
  const send = (body: string): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const began = performance.now()
    const end = (isGood: boolean): void => {
      took.push(performance.now() - began)
      if (!isGood) failed++
      resolve()
    }
    const call = request({ port, host: '127.0.0.1', method: 'POST', path: '/tokens', agent, headers }, response => {
      response.resume().on('end', () => end(response.statusCode === 200))
    })
    call.on('error', () => end(false))
    call.end(body)
    return promise
  }
  const sent: Promise<void>[] = []
  const began = performance.now()
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setInterval(() => {
    const passed = (performance.now() - began) / 1000
    while (sent.length < passed * goodPerSecond) sent.push(send(bodies[sent.length % bodies.length] ?? ''))
    if (passed >= measuredSeconds) resolve()
  }, 1)
  await promise
  clearInterval(timer)
  await Promise.all(sent)
  agent.destroy()
  const sorted = took.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), failed }
}

/**
 * Measures the legitimate caller while a forger runs. They share a core, on which the forger has the lowest priority.
 */
async function measure(
  world: World,
  forger: string,
  orders: Orders,
): Promise<{ latencies: Latencies; outcome: Outcome }> {
  const file = join(world.folder, 'forger.json')
  await writeFile(file, JSON.stringify(orders))
  const [command, ...args] = onCore(1, ['nice', '-n', '19', process.execPath, forger])
  const child = spawn(command, args, {
    env: { FORGER: file, PATH: process.env['PATH'] ?? '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const output = text(child.stdout)
  // By then the forger sends at its full rate.
  await settle(400)
  const latencies = await sendSteadily(world, orders.port)
  await exited
  // By then the broker has responded to what the forger sent.
  await settle(200)
  return { latencies, outcome: JSON.parse(await output) as Outcome }
}

const whole = (value: number): string => Math.round(value).toLocaleString('en')

const p99Of = (runs: readonly Latencies[]): number => median(runs.map(({ p99 }) => p99))

function goodCaller(runs: readonly Latencies[]): string {
  const failed = runs.reduce((sum, run) => sum + run.failed, 0)
  const p50 = median(runs.map(run => run.p50))
  return `legitimate caller p50 ${p50.toFixed(2)} ms, p99 ${p99Of(runs).toFixed(2)} ms${failed === 0 ? '' : `, ${failed} not 200`}`
}

/**
 * Measures a legitimate caller at {@link goodPerSecond} requests per second while forged tokens arrive at growing
 * rates. The broker has verified the caller's token before and has cached its tokens. Prints its latencies, and the
 * rate of forged tokens up to which its p99 is at most twice the p99 without them.
 *
 * Runs with and without forged tokens alternate, and medians count, so that other programs on the machine disturb both
 * equally. The broker has a core to itself. The legitimate caller and the forger share the other.
 */
export async function measureForged(print: (line: string) => void): Promise<void> {
  const world = await createWorld()
  try {
    const [broker, forger] = [await bundleBroker(world.folder), await bundle('bench/forger.ts', world.folder)]
    const headers = { authorization: world.authorization, 'content-type': 'application/json' }
    const requestToken = (url: string, body: string) => fetch(`${url}/tokens`, { method: 'POST', headers, body })
    const server = await startServer([...nodeFlags, broker, 'serve'], world.environment, url =>
      requestToken(url, world.bodies[0] ?? ''),
    )
    stayOnCore(1)
    try {
      for (const body of world.bodies) await (await requestToken(server.url, body)).arrayBuffer()
      const port = Number(new URL(server.url).port)
      await sendSteadily(world, port)
      const requests = await forge(world, port)
      for (const from of ['one address', 'many addresses'] as const) {
        print(`forged tokens from ${from}:`)
        await growing(world, forger, { port, requests, from }, print)
      }
    } finally {
      await server.stop()
    }
  } finally {
    await world.close()
  }
}

async function growing(
  world: World,
  forger: string,
  orders: Omit<Orders, 'perSecond' | 'seconds'>,
  print: (line: string) => void,
): Promise<void> {
  const quiet: Latencies[] = []
  const steps: { latencies: Latencies[]; refused: number }[] = []
  for (const perSecond of rates) {
    const [latencies, outcomes]: [Latencies[], Outcome[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      quiet.push(await sendSteadily(world, orders.port))
      const loaded = await measure(world, forger, { ...orders, perSecond, seconds: measuredSeconds + 0.6 })
      latencies.push(loaded.latencies)
      outcomes.push(loaded.outcome)
    }
    const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0)
    const rateOf = (status: string) =>
      outcomes.reduce((sum, { responses }) => sum + (responses[status] ?? 0), 0) / seconds
    const statuses = [...new Set(outcomes.flatMap(({ responses }) => Object.keys(responses)))].toSorted()
    const refused = statuses.reduce((sum, status) => sum + rateOf(status), 0)
    const byStatus = statuses.map(status => `${whole(rateOf(status))} × ${status}`).join(', ')
    print(`  ${whole(perSecond)}/s sent: ${whole(refused)}/s refused (${byStatus}); ${goodCaller(latencies)}`)
    steps.push({ latencies, refused })
  }
  const bound = times * p99Of(quiet)
  const beyond = steps.findIndex(
    ({ latencies }) => p99Of(latencies) > bound || latencies.some(({ failed }) => failed > 0),
  )
  const within = beyond === -1 ? steps : steps.slice(0, beyond)
  print(`  without forged tokens: ${goodCaller(quiet)}`)
  print(`  p99 stays within ${times} times that up to ${whole(within.at(-1)?.refused ?? 0)} refused/s`)
}

/** Moves this process to another core than the broker's, on Linux. */
function stayOnCore(core: number): void {
  if (process.platform === 'linux')
    execFileSync('taskset', ['-cp', String(core), String(process.pid)], { stdio: 'ignore' })
}
