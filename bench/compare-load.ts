import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { codeOf } from '../src/errors.ts'
import { onCore, type World } from './world.ts'

/** As many as an ordinary caller keeps open, and few enough for what is slow to answer all of them in time. */
const connections = 16
const timeoutSeconds = 15

/**
 * Requests per second that a server answers, each tenant in turn. Unlike the load of `npm run bench`, it bears with
 * answers that take seconds. `wrk` where it is installed, `autocannon` otherwise; all answers must be 200.
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
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`the load met ${result.non2xx} refusals`)
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
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`the load met errors:\n${stdout}`)
  return Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1])
}
