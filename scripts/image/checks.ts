import { isDeepStrictEqual } from 'node:util'
import { asShipped, shipped } from '../bundle.ts'
import { must } from './command.ts'
import { runToEnd, type Container, type Subject } from './container.ts'
import { drainSeconds, type World } from './world.ts'

/** One expectation of the image. */
export interface Check {
  readonly what: string
  readonly expected: unknown
  readonly actual: unknown
}

/** Whether an image does what was expected of it. */
export const holds = ({ expected, actual }: Check): boolean => isDeepStrictEqual(actual, expected)

/** Runs inside the container, in Node, because nothing else is there, and prints what it finds. */
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

/** What the container says about itself from inside. */
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
    { what: 'numeric user, no capabilities, read-only, no program but Node', expected, actual: rest },
    {
      what: '/app holds what ships and nothing else',
      expected: shipped.toSorted(),
      actual: [...new Set(files.map(asShipped))].toSorted(),
    },
  ]
  return { checks, rssKb }
}

/** What callers and probes get. */
export async function checkAnswers({ url, ask }: World): Promise<readonly Check[]> {
  const status = async (path: string) => (await fetch(url + path, { signal: AbortSignal.timeout(10_000) })).status
  const paths = ['/livez', '/readyz', '/openapi.json', '/docs', '/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js']
  const checks = [{ what: 'POST /tokens', expected: 200, actual: (await ask()).status }]
  for (const path of paths) checks.push({ what: `GET ${path}`, expected: 200, actual: await status(path) })
  return checks
}

/** The health check that the image names, asked as an engine asks it. */
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
    { what: 'the health check fails where nothing listens', expected: 1, actual: ill.code },
  ]
}

/** The entry point's other uses. */
export async function checkCommands(subject: Subject): Promise<readonly Check[]> {
  const [help, unknown, faulty] = [
    await runToEnd(subject, ['--help']),
    await runToEnd(subject, ['unheard-of']),
    await runToEnd(subject, []),
  ]
  return [
    {
      what: '--help ends with 0',
      expected: [0, true],
      actual: [help.code, help.stdout.includes('Usage: token-broker')],
    },
    { what: 'an unknown command ends with 2', expected: 2, actual: unknown.code },
    {
      what: 'a faulty configuration ends with 3 and is named',
      expected: [3, true],
      actual: [faulty.code, faulty.stderr.includes('BROKER_POLICY_FILE')],
    },
  ]
}

/** Beyond the drain time, how long the end of a process may take. */
const graceMs = 3_000

/** SIGTERM, as an engine sends it; and what the container wrote until then. */
export async function checkStop(container: Container, { credential, ask }: World): Promise<readonly Check[]> {
  const { access_token: token } = (await (await ask()).json()) as { access_token: string }
  const { code, ms } = await container.terminate()
  const logs = await container.logs()
  return [
    { what: 'SIGTERM ends it with 0', expected: 0, actual: code },
    {
      what: `it drains ${drainSeconds} s and ends soon after`,
      expected: true,
      actual: (ms >= drainSeconds * 1000 && ms < drainSeconds * 1000 + graceMs) || `after ${Math.round(ms)} ms`,
    },
    { what: 'its log says that it stopped', expected: true, actual: logs.includes('"msg":"stopped"') },
    { what: 'its log holds no token', expected: false, actual: logs.includes(token) || logs.includes(credential) },
  ]
}
