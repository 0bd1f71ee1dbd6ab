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
 * `npm run bench:many [-- --rounds 8 --seconds 2 --tokens 100000 --heap 256]` measures whether a large cache is slower
 * than a small one. Two brokers share one core: one has cached 100 tokens, the other 100,000 (`--tokens`). Both get the
 * same loads in turn. Prints the heap per token and, for each load, the medians of cache hits per second, of CPU time
 * per hit, and of both ratios to the first load. `--heap` limits the heap, in MB; default: no limit. Needs `wrk`. Takes
 * about a minute.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '2' },
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

async function messageFrom<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T]
  return message
}

async function report(child: ChildProcess, entries: number, collect = false): Promise<Report> {
  child.send({ entries, collect } satisfies Order)
  return messageFrom<Report>(child)
}

/** Writes a script for `wrk` that requests a random one of the first TENANTS tenants. */
async function writeLoad(path: string, { authorization }: Listening): Promise<void> {
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
}

/** Measures requests per second of wall-clock time. Throws unless all responses are 200. */
async function load(script: string, url: string, tenants: number, forSeconds: number) {
  const args = ['-t1', `-c${connections}`, `-d${forSeconds}s`, '-s', script, url]
  const [command, ...rest] = onCore(1, ['wrk', ...args])
  const { stdout } = await promisify(execFile)(command, rest, { env: { ...process.env, TENANTS: String(tenants) } })
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`not all responses were 200:\n${stdout}`)
  return {
    requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
    rate: Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1]),
  }
}

interface Rate {
  readonly perSecond: number
  readonly cpuMicros: number
}

/** Starts a broker. `measure` requests the first so many of its tokens. */
async function startBroker(script: string, lua: string) {
  const child = start(script)
  const listening = await messageFrom<Listening>(child)
  await writeLoad(lua, listening)
  const measure = async (tenants: number): Promise<Rate> => {
    const before = await report(child, 0)
    const { requests, rate } = await load(lua, listening.url, tenants, seconds)
    const { cpuMs } = await report(child, 0)
    return { perSecond: rate, cpuMicros: ((cpuMs - before.cpuMs) * 1000) / requests }
  }
  return { child, measure }
}

type Broker = Awaited<ReturnType<typeof startBroker>>

const rateText = ({ perSecond, cpuMicros }: Rate) =>
  `${whole(perSecond)} hits/s, ${cpuMicros.toFixed(1)} µs of CPU per hit`

async function compare(small: Broker, large: Broker): Promise<void> {
  const loads = [
    [`${whole(few)} cached, all requested at random`, small, few],
    [`${whole(many)} cached, ${whole(few)} of them requested`, large, few],
    [`${whole(many)} cached, all requested at random`, large, many],
  ] as const
  for (const [, { measure }, tenants] of loads) await measure(tenants)
  const rates: readonly Rate[][] = loads.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [n, [, { measure }, tenants]] of loads.entries()) rates[n]?.push(await measure(tenants))
  }
  const medianOf = (n: number, of: (rate: Rate, first: Rate) => number): number =>
    median(rates[n]?.map((rate, round) => of(rate, rates[0]?.[round] ?? rate)) ?? [])
  for (const [n, [what]] of loads.entries()) {
    const rate = { perSecond: medianOf(n, each => each.perSecond), cpuMicros: medianOf(n, each => each.cpuMicros) }
    const byClock = medianOf(n, (each, first) => each.perSecond / first.perSecond).toFixed(2)
    const byCpu = medianOf(n, (each, first) => first.cpuMicros / each.cpuMicros).toFixed(2)
    print(`${what}: ${rateText(rate)}; relative to the first: ${byClock} by wall-clock time, ${byCpu} by CPU time`)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'token-broker-many-'))
const script = await bundle('bench/many-server.ts', folder)
const small = await startBroker(script, join(folder, 'small.lua'))
const large = await startBroker(script, join(folder, 'large.lua'))
try {
  await report(small.child, few)
  // Warms the process up, so that only the tokens make a difference.
  await report(large.child, few)
  const base = await report(large.child, 1000, true)
  for (const entries of [10_000, many].filter(each => each <= many)) {
    const { heapBytes } = await report(large.child, entries, true)
    const each = (heapBytes - base.heapBytes) / (entries - base.entries)
    const ratio = (each / tokenBytes).toFixed(2)
    print(
      `${whole(entries)} tokens of ${whole(tokenBytes)} bytes: ${whole(each)} bytes of heap per token, ${ratio} times its size`,
    )
  }
  await compare(small, large)
} finally {
  small.child.disconnect()
  large.child.disconnect()
  await rm(folder, { recursive: true, force: true })
}
