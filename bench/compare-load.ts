import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { codeOf } from '../src/errors.ts'
import { onCore, type World } from './world.ts'

/** As many as an ordinary caller keeps open, and few enough that a slow server responds to all of them in time. */
const connections = 16
const timeoutSeconds = 15

/**
 * Measures requests per second, for each tenant in turn. Unlike the load of `npm run bench`, it accepts responses that
 * take seconds (up to 15). Uses `wrk` if it is installed, and `autocannon` otherwise. Throws unless all responses are
 * 200.
 */
export async function measureRate(world: World, url: string, bodies: readonly string[], seconds: number) {
  const requests = bodies.map(body => ({ method: 'POST' as const, path: '/tokens', body }))
  const headers = { authorization: world.authorization, 'content-type': 'application/json' }
  try {
    return await wrk(join(world.folder, 'compare.lua'), url, bodies, headers, seconds)
  } catch (thrown) {
    if (codeOf(thrown) !== 'ENOENT') throw thrown
  }
  const { default: autocannon } = await import('autocannon')
  const result = await autocannon({ url, connections, duration: seconds, headers, requests, timeout: timeoutSeconds })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} responses were not 2xx, and ${result.errors} requests failed`)
  return result.requests.average
}

async function wrk(
  script: string,
  url: string,
  bodies: readonly string[],
  headers: Readonly<Record<string, string>>,
  seconds: number,
): Promise<number> {
  const lines = bodies.map(body => `  wrk.format("POST", "/tokens", headers, ${JSON.stringify(body)}),`)
  const pairs = Object.entries(headers).map(([name, value]) => `["${name}"] = ${JSON.stringify(value)}`)
  await writeFile(
    script,
    `local headers = { ${pairs.join(', ')} }
local requests, n = {}, 0
init = function() requests = {\n${lines.join('\n')}\n} end
request = function() n = n % #requests + 1; return requests[n] end
`,
  )
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', `${timeoutSeconds}s`, '-s', script, url]
  const [command, ...rest] = onCore(1, ['wrk', ...options])
  const { stdout } = await promisify(execFile)(command, rest)
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`not all responses were 200:\n${stdout}`)
  return Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1])
}
