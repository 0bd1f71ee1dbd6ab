import { isDeepStrictEqual } from 'node:util'
import { shipped } from '../bundle.ts'
import { must } from './command.ts'
import { runToEnd, type Container, type Subject } from './container.ts'
import { drainSeconds, type World } from './world.ts'

/** One check of the image. */
export interface Check {
  readonly what: string
  readonly expected: unknown
  readonly actual: unknown
}

/** Whether a check found what it expected. */
export const passes = ({ expected, actual }: Check): boolean => isDeepStrictEqual(actual, expected)

/** Runs inside the container and prints what it finds. It is a Node script because the image has no other program. */
const probe = `
const fs = require('node:fs')
const status = fs.readFileSync('/proc/1/status', 'utf8')
const field = name => status.match(new RegExp('^' + name + ':\\\\s*(.*)$', 'm'))[1].split(/\\s+/)
const write = path => { try { fs.writeFileSync(path, ''); return 'written' } catch (error) { return error.code } }
const programs = ['/bin', '/sbin', '/usr/bin', '/usr/sbin', '/usr/local/bin'].flatMap(folder =>
  fs.existsSync(folder) ? fs.readdirSync(folder).map(file => folder + '/' + file) : [])
process.stdout.write(JSON.stringify({
  uid: field('Uid')[0], gid: field('Gid')[0], capabilities: field('CapBnd')[0], noNewPrivileges: field('NoNewPrivs')[0],
  root: fs.readFileSync('/proc/mounts', 'utf8').match(/^\\S+ \\/ \\S+ (r[ow])/m)[1],
  writable: ['/app', '/tmp', '/etc', '/usr/local/bin'].filter(folder => write(folder + '/written') === 'written'),
  files: fs.readdirSync('/app', { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile()).map(entry => (entry.parentPath + '/' + entry.name).slice('/app/'.length)).sort(),
  foreign: programs.filter(path => path !== '/usr/local/bin/node'),
  rssKb: Number(field('VmRSS')[0]),
}))`

interface Probed {
  readonly files: readonly string[]
  readonly rssKb: number
}

const node = '/usr/local/bin/node'

/** Checks the container from inside: user, rights, writable folders, files. Also returns its resident memory in KiB. */
export async function probeInside(container: Container): Promise<{ checks: readonly Check[]; rssKb: number }> {
  const { stdout, stderr } = await container.exec([node, '-e', probe])
  if (stdout === '') throw new Error(`the probe failed: ${stderr}`)
  const { files, rssKb, ...rest } = JSON.parse(stdout) as Probed
  const expected = {
    uid: '10001',
    gid: '10001',
    capabilities: '0'.repeat(16),
    noNewPrivileges: '1',
    root: 'ro',
    writable: [],
    foreign: [],
  }
  const checks = [
    { what: 'numeric user, no capabilities, read-only, no program except Node', expected, actual: rest },
    {
      what: '/app contains exactly the files that ship',
      expected: shipped.toSorted(),
      actual: files.toSorted(),
    },
  ]
  return { checks, rssKb }
}

/** Checks the responses to callers and probes. */
export async function checkResponses({ url, requestToken }: World): Promise<readonly Check[]> {
  const status = async (path: string) => (await fetch(url + path, { signal: AbortSignal.timeout(10_000) })).status
  const paths = ['/livez', '/readyz', '/openapi.json', '/docs', '/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js']
  const checks = [{ what: 'POST /tokens', expected: 200, actual: (await requestToken()).status }]
  for (const path of paths) checks.push({ what: `GET ${path}`, expected: 200, actual: await status(path) })
  return checks
}

/** Runs the image's health check like an engine does. */
export async function checkHealth(
  { engine, options, image }: Subject,
  container: Container,
): Promise<readonly Check[]> {
  const path = engine === 'podman' ? '.HealthCheck' : '.Config.Healthcheck'
  const found = await must([engine, ...options, 'image', 'inspect', '--format', `{{json ${path}}}`, image])
  const [form, ...command] = (JSON.parse(found) as { Test: readonly string[] } | null)?.Test ?? []
  const [well, ill] = [await container.exec(command), await container.exec(command, ['PORT=1'])]
  return [
    { what: 'the health check is in exec form', expected: 'CMD', actual: form },
    { what: 'the health check succeeds', expected: 0, actual: well.code },
    { what: 'the health check fails if nothing listens', expected: 1, actual: ill.code },
  ]
}

/** Checks the exit codes of the entry point with other arguments. */
export async function checkCommands(subject: Subject): Promise<readonly Check[]> {
  const [help, unknown, faulty] = [
    await runToEnd(subject, ['--help']),
    await runToEnd(subject, ['unknown']),
    await runToEnd(subject, []),
  ]
  return [
    {
      what: '--help exits with 0',
      expected: [0, true],
      actual: [help.code, help.stdout.includes('Usage: token-broker')],
    },
    { what: 'an unknown command exits with 2', expected: 2, actual: unknown.code },
    {
      what: 'an invalid configuration exits with 3 and is reported',
      expected: [3, true],
      actual: [faulty.code, faulty.stderr.includes('BROKER_POLICY_FILE')],
    },
  ]
}

/** How long a process may take to exit after the drain time. */
const graceMs = 3_000

/** Sends SIGTERM like an engine does, and checks the exit and the log. */
export async function checkStop(container: Container, { credential, requestToken }: World): Promise<readonly Check[]> {
  const { access_token: token } = (await (await requestToken()).json()) as { access_token: string }
  const { code, ms } = await container.terminate()
  const logs = await container.logs()
  return [
    { what: 'SIGTERM makes it exit with 0', expected: 0, actual: code },
    {
      what: `it drains ${drainSeconds} s and exits soon after`,
      expected: true,
      actual: (ms >= drainSeconds * 1000 && ms < drainSeconds * 1000 + graceMs) || `after ${Math.round(ms)} ms`,
    },
    { what: 'its log says that it stopped', expected: true, actual: logs.includes('"msg":"stopped"') },
    { what: 'its log contains no token', expected: false, actual: logs.includes(token) || logs.includes(credential) },
  ]
}
