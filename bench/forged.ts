import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as settle } from 'node:timers/promises'
import { bundle, bundleBroker } from './bundle.ts'
import type { Orders, Outcome } from './forger.ts'
import { createWorld, median, onCore, startServer, type World } from './world.ts'

/** The good caller's requests a second, and for how many seconds at a time they are measured. */
const goodPerSecond = 1_000
const measuredSeconds = 0.6
/** How many forged tokens a second are tried. */
const rates = [1_000, 2_000, 4_000, 8_000]
/** How often each rate is measured, and the quiet before it. */
const rounds = 3
const forgedTokens = 1_000
/** The bound: so many times the quiet p99. */
const times = 2

/** How a good caller fared, in milliseconds. */
interface Fared {
  readonly p50: number
  readonly p99: number
  /** Answers that were not 200. */
  readonly failed: number
}

/** Every other one is signed by a foreign key under a known key id; the others have a key id that nobody publishes. */
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

/** Asks at a steady rate, whether or not there are answers. */
async function askSteadily({ authorization, bodies }: World, port: number): Promise<Fared> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const headers = { authorization, 'content-type': 'application/json' }
  const took: number[] = []
  let failed = 0
  const ask = (body: string): Promise<void> => {
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
  const asks: Promise<void>[] = []
  const began = performance.now()
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setInterval(() => {
    const passed = (performance.now() - began) / 1000
    while (asks.length < passed * goodPerSecond) asks.push(ask(bodies[asks.length % bodies.length] ?? ''))
    if (passed >= measuredSeconds) resolve()
  }, 1)
  await promise
  clearInterval(timer)
  await Promise.all(asks)
  agent.destroy()
  const sorted = took.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), failed }
}

/** The good caller beside a forger. The forger yields the core that they share to the good caller. */
async function measure(world: World, forger: string, orders: Orders): Promise<{ fared: Fared; outcome: Outcome }> {
  const file = join(world.folder, 'forger.json')
  await writeFile(file, JSON.stringify(orders))
  const [command, ...args] = onCore(1, ['nice', '-n', '19', process.execPath, forger])
  const child = spawn(command, args, {
    env: { FORGER: file, PATH: process.env['PATH'] ?? '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const told = text(child.stdout)
  // The forger is at its rate by then.
  await settle(400)
  const fared = await askSteadily(world, orders.port)
  await exited
  // What is left of it is answered by then.
  await settle(200)
  return { fared, outcome: JSON.parse(await told) as Outcome }
}

const whole = (value: number): string => Math.round(value).toLocaleString('en')

const p99Of = (runs: readonly Fared[]): number => median(runs.map(({ p99 }) => p99))

function goodCaller(runs: readonly Fared[]): string {
  const failed = runs.reduce((sum, run) => sum + run.failed, 0)
  const p50 = median(runs.map(run => run.p50))
  return `good caller p50 ${p50.toFixed(2)} ms, p99 ${p99Of(runs).toFixed(2)} ms${failed === 0 ? '' : `, ${failed} refused`}`
}

/**
 * Prints how a good caller, who is remembered and whose tokens are cached, fares at {@link goodPerSecond} requests a second
 * while forged tokens are sent at growing rates, and the rate up to which its p99 is at most twice the quiet one. Quiet and
 * loaded runs take turns, and medians of runs count, so that neighbours on the machine disturb both alike, and not by a
 * moment. The broker has a core to itself; the good caller and the forger, which yields to it, share the other.
 */
export async function measureForged(print: (line: string) => void): Promise<void> {
  const world = await createWorld()
  try {
    const [broker, forger] = [await bundleBroker(world.folder), await bundle('bench/forger.ts', world.folder)]
    const headers = { authorization: world.authorization, 'content-type': 'application/json' }
    const ask = (url: string, body: string) => fetch(`${url}/tokens`, { method: 'POST', headers, body })
    const server = await startServer([broker, 'serve'], world.environment, url => ask(url, world.bodies[0] ?? ''))
    stayOnCore(1)
    try {
      for (const body of world.bodies) await (await ask(server.url, body)).arrayBuffer()
      const port = Number(new URL(server.url).port)
      await askSteadily(world, port)
      const requests = await forge(world, port)
      for (const from of ['one address', 'ever new addresses'] as const) {
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
  const quiet: Fared[] = []
  const steps: { fared: Fared[]; refused: number }[] = []
  for (const perSecond of rates) {
    const [fared, outcomes]: [Fared[], Outcome[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      quiet.push(await askSteadily(world, orders.port))
      const loaded = await measure(world, forger, { ...orders, perSecond, seconds: measuredSeconds + 0.6 })
      fared.push(loaded.fared)
      outcomes.push(loaded.outcome)
    }
    const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0)
    const answered = (status: string) =>
      outcomes.reduce((sum, { answers }) => sum + (answers[status] ?? 0), 0) / seconds
    const statuses = [...new Set(outcomes.flatMap(({ answers }) => Object.keys(answers)))].toSorted()
    const refused = statuses.reduce((sum, status) => sum + answered(status), 0)
    const answers = statuses.map(status => `${whole(answered(status))} × ${status}`).join(', ')
    print(`  ${whole(perSecond)}/s sent: ${whole(refused)}/s refused (${answers}); ${goodCaller(fared)}`)
    steps.push({ fared, refused })
  }
  const bound = times * p99Of(quiet)
  const beyond = steps.findIndex(({ fared }) => p99Of(fared) > bound || fared.some(({ failed }) => failed > 0))
  const within = beyond === -1 ? steps : steps.slice(0, beyond)
  print(`  none sent: ${goodCaller(quiet)}`)
  print(`  p99 is within ${times} × that up to ${whole(within.at(-1)?.refused ?? 0)} refused/s`)
}

/** Leaves the broker's core to it, where the system has `taskset`. */
function stayOnCore(core: number): void {
  if (process.platform === 'linux')
    execFileSync('taskset', ['-cp', String(core), String(process.pid)], { stdio: 'ignore' })
}
