import { execFile, execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { onCore, type World } from './world.ts'

const connections = 32

/** What a load has sent. */
export interface Sent {
  readonly requests: number
  readonly perSecond: number
  /** The 99th percentile of the latencies, in milliseconds. */
  readonly p99: number
}

/** Sends requests for so many seconds. Throws unless all responses are 200. */
export type Load = (url: string, seconds: number) => Promise<Sent>

/** Uses `wrk` if it is installed, and `autocannon` otherwise. Both request each tenant in turn. */
export async function createLoad(world: World): Promise<{ readonly tool: string; readonly run: Load }> {
  try {
    execFileSync('wrk', ['--version'], { stdio: 'ignore' })
  } catch (thrown) {
    // wrk prints its version and exits with 1.
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return { tool: 'autocannon', run: autocannonLoad(world) }
  }
  return { tool: 'wrk', run: await wrkLoad(world) }
}

async function wrkLoad({ folder, authorization, bodies }: World): Promise<Load> {
  const script = join(folder, 'load.lua')
  await writeFile(
    script,
    `
local headers = { ["content-type"] = "application/json", ["authorization"] = ${JSON.stringify(authorization)} }
local requests, n = {}, 0
init = function()
  for _, body in ipairs({ ${bodies.map(body => JSON.stringify(body)).join(', ')} }) do
    requests[#requests + 1] = wrk.format("POST", "/tokens", headers, body)
  end
end
request = function() n = n % #requests + 1; return requests[n] end
`,
  )
  return async (url, seconds) => {
    const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, url]
    const [command, ...rest] = onCore(1, ['wrk', ...args])
    const { stdout } = await promisify(execFile)(command, rest)
    if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`not all responses were 200:\n${stdout}`)
    return {
      requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
      perSecond: Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1]),
      p99: millisecondsOf(/99%\s+([\d.]+)(us|ms|s)/.exec(stdout)),
    }
  }
}

const millisecondsOf = (found: RegExpExecArray | null): number =>
  Number(found?.[1]) * (found?.[2] === 's' ? 1000 : found?.[2] === 'us' ? 0.001 : 1)

function autocannonLoad({ authorization, bodies }: World): Load {
  return async (url, seconds) => {
    const { default: autocannon } = await import('autocannon')
    const headers = { authorization, 'content-type': 'application/json' }
    const requests = bodies.map(body => ({ method: 'POST' as const, path: '/tokens', headers, body }))
    const result = await autocannon({ url, connections, duration: seconds, requests })
    if (result.non2xx > 0 || result.errors > 0)
      throw new Error(`${result.non2xx} responses were not 2xx, and ${result.errors} requests failed`)
    return { requests: result.requests.total, perSecond: result.requests.average, p99: result.latency.p99 }
  }
}
