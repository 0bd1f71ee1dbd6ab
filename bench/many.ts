import { execFile, fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { bundle } from './bundle.ts'
import { scope, tenantOf, tokenBytes, type Listening, type Order, type Report } from './many-world.ts'
import { median, onCore } from './world.ts'

/**
 * `npm run bench:many [-- --rounds 3 --seconds 3 --tokens 100000 --heap 256]`: one broker that holds a hundred tokens and
 * a hundred thousand in turn, under the same load, each time all of them asked for at random. Prints the heap that a token
 * takes, hits a second and their processor time, and the ratio. `--heap` limits the heap to so many MB. Needs `wrk`; takes
 * about a minute.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    heap: { type: 'string', default: '0' },
    tokens: { type: 'string', default: '100000' },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const connections = 32
const few = 100
const many = Number(values.tokens)

const print = (line: string) => process.stdout.write(`${line}\n`)
const whole = (value: number) => Math.round(value).toLocaleString('en')

/** The process under test on the first core; its log goes to /dev/null. */
function start(script: string): ChildProcess {
  const [command, ...rest] = onCore(0, [process.execPath])
  return fork(script, [], {
    execPath: command,
    execArgv: [...rest, ...(values.heap === '0' ? [] : [`--max-old-space-size=${values.heap}`])],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T]
  return message
}

async function hold(child: ChildProcess, entries: number): Promise<Report> {
  child.send({ entries } satisfies Order)
  return told<Report>(child)
}

/** A load that asks for one of the first so many tenants at random. */
async function writeLoad(folder: string, { authorization }: Listening): Promise<string> {
  const path = join(folder, 'many.lua')
  const body = JSON.stringify({ tenant: tenantOf(0), scope })
  const [before, after] = body.split(tenantOf(0))
  await writeFile(
    path,
    `
local head = "POST /tokens HTTP/1.1\\r\\nHost: broker\\r\\nContent-Type: application/json\\r\\nAuthorization: ${authorization}\\r\\nContent-Length: ${body.length}\\r\\n\\r\\n"
local count = tonumber(os.getenv("TENANTS"))
request = function()
  return head .. string.format('${before}40000000-0000-4000-8000-%012d${after}', math.random(count) - 1)
end
`,
  )
  return path
}

/** Requests a second, by the clock on the wall; all answers must be 200. */
async function load(script: string, url: string, tenants: number, forSeconds: number) {
  const args = ['-t1', `-c${connections}`, `-d${forSeconds}s`, '-s', script, url]
  const [command, ...rest] = onCore(1, ['wrk', ...args])
  const { stdout } = await promisify(execFile)(command, rest, { env: { ...process.env, TENANTS: String(tenants) } })
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`the load met errors:\n${stdout}`)
  return {
    requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
    rate: Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1]),
  }
}

interface Rate {
  readonly perSecond: number
  readonly cpuMicros: number
}

/** Hits of so many tokens, all that are held, asked for at random. */
async function measure(child: ChildProcess, script: string, url: string, tenants: number): Promise<Rate> {
  await hold(child, tenants)
  await load(script, url, tenants, 1)
  // The report's own collection is not to be counted.
  await hold(child, tenants)
  const before = await hold(child, tenants)
  const { requests, rate } = await load(script, url, tenants, seconds)
  const { cpuMs } = await hold(child, tenants)
  return { perSecond: rate, cpuMicros: ((cpuMs - before.cpuMs) * 1000) / requests }
}

const folder = await mkdtemp(join(tmpdir(), 'token-broker-many-'))
const child = start(await bundle('bench/many-server.ts', folder))
try {
  const listening = await told<Listening>(child)
  const script = await writeLoad(folder, listening)
  const { url } = listening
  const rateText = (tenants: number, { perSecond, cpuMicros }: Rate) =>
    `${whole(tenants)}: ${whole(perSecond)} a second, ${cpuMicros.toFixed(1)} µs of CPU each`
  // Compiled and warm, so that only tokens make a difference.
  await measure(child, script, url, few)
  const base = await hold(child, few)
  for (const entries of [1000, 10_000, many].filter(each => each <= many)) {
    const { heapBytes } = await hold(child, entries)
    const each = (heapBytes - base.heapBytes) / (entries - base.entries)
    print(
      `${whole(entries)} tokens of ${whole(tokenBytes)} bytes: ${whole(each)} bytes of heap each, ${(each / tokenBytes).toFixed(2)} ×`,
    )
  }
  const ratios: Rate[] = []
  for (let round = 1; round <= rounds; round++) {
    const one = await measure(child, script, url, few)
    const other = await measure(child, script, url, many)
    ratios.push({ perSecond: other.perSecond / one.perSecond, cpuMicros: one.cpuMicros / other.cpuMicros })
    print(`round ${round}: hits with ${rateText(few, one)}; with ${rateText(many, other)}`)
  }
  const byClock = median(ratios.map(each => each.perSecond)).toFixed(2)
  print(
    `throughput with ${whole(many)} relative to ${whole(few)}, median: ${byClock}, by CPU ${median(ratios.map(each => each.cpuMicros)).toFixed(2)}`,
  )
} finally {
  child.disconnect()
  await rm(folder, { recursive: true, force: true })
}
