import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { type Closing, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { read } from '../support/sources.ts'

/** Where a proxy's files and ports are in a test. */
interface Place {
  /** The test's folder, with the certificates: see {@link startProxy}. */
  readonly folder: string
  readonly port: number
  readonly brokerPort: number
}

/** A proxy of examples/proxies, and how the test starts it. */
interface Proxy {
  /** The recipe's name in examples/proxies. */
  readonly recipe: string
  readonly program: string
  /** Texts of the recipe, and what they are in the test: addresses and folders, nothing else. */
  readonly filledIn: (place: Place) => readonly (readonly [recipe: string, test: string])[]
  /** What includes the recipe, where it is a part of a configuration. */
  readonly main?: (place: Place) => string
  /** @param file the recipe, or the file that includes it */
  readonly args: (file: string, place: Place) => readonly string[]
}

const tools = join(import.meta.dirname, '../../.tools/proxies')
const folders = [
  ...['usr/sbin', 'usr/bin'].map(path => join(tools, path)),
  join(tools, '../bin'),
  '/usr/sbin',
  '/usr/local/sbin',
]
const findProgram = (name: string): string | undefined =>
  [...folders, ...(process.env['PATH'] ?? '').split(delimiter)]
    .map(folder => join(folder, name))
    .find(file => existsSync(file))

const apacheModules = ['mpm_event', 'authz_core', 'ssl', 'headers', 'proxy', 'proxy_http', 'socache_shmcb']
const moduleFolder = (): string =>
  [join(tools, 'usr/lib/apache2/modules'), '/usr/lib/apache2/modules'].find(folder => existsSync(folder)) ?? ''
const broker = ({ brokerPort }: Place) => ['broker.internal:8443', `127.0.0.1:${brokerPort}`] as const
const listenDirective = ({ port }: Place) => `127.0.0.1:${port}`

/** The proxies that the tests run. */
export const proxies: readonly Proxy[] = [
  {
    recipe: 'haproxy.cfg',
    program: 'haproxy',
    filledIn: place => [
      ['bind :443 ', `bind ${listenDirective(place)} `],
      broker(place),
      ['/etc/haproxy/tls', place.folder],
    ],
    args: file => ['-db', '-f', file],
  },
  {
    recipe: 'nginx.conf',
    program: 'nginx',
    filledIn: place => [
      ['listen 443 ssl', `listen ${listenDirective(place)} ssl`],
      broker(place),
      ['/etc/nginx/tls', place.folder],
    ],
    main: ({ folder }) => `
      daemon off; ${process.getuid?.() === 0 ? 'user root;' : ''} pid ${folder}/nginx.pid; error_log stderr;
      events { worker_connections 64; }
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${folder}/${kind};`).join(' ')}
        include ${folder}/nginx.conf;
      }`,
    args: (file, { folder }) => ['-e', 'stderr', '-p', folder, '-c', file],
  },
  {
    recipe: 'Caddyfile',
    program: 'caddy',
    filledIn: place => [
      ['admin off', 'admin off\n\tdefault_bind 127.0.0.1'],
      ['broker.example:443', `localhost:${place.port}`],
      broker(place),
      ['/etc/caddy/tls', place.folder],
    ],
    args: file => ['run', '--adapter', 'caddyfile', '--config', file],
  },
  {
    recipe: 'apache.conf',
    program: 'apache2',
    filledIn: place => [['*:443', listenDirective(place)], broker(place), ['/etc/apache2/tls', place.folder]],
    main: place => `
      ServerRoot ${place.folder}
      ${apacheModules.map(name => `LoadModule ${name}_module ${moduleFolder()}/mod_${name}.so`).join('\n')}
      ${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
      ServerName localhost
      Listen ${listenDirective(place)}
      PidFile ${place.folder}/apache.pid
      DefaultRuntimeDir ${place.folder}
      ErrorLog ${place.folder}/error.log
      Include ${place.folder}/apache.conf
      `,
    args: file => ['-D', 'FOREGROUND', '-f', file],
  },
  {
    recipe: 'envoy.yaml',
    program: 'envoy',
    filledIn: place => [
      ['address: 0.0.0.0, port_value: 443', `address: 127.0.0.1, port_value: ${place.port}`],
      ['address: broker.internal, port_value: 8443', `address: 127.0.0.1, port_value: ${place.brokerPort}`],
      ['/etc/envoy/tls', place.folder],
    ],
    args: file => ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'],
  },
]

/** The `skip` option of a test: why the proxy cannot run here, or `false`. */
export const withoutProxy = ({ program }: Proxy): string | false =>
  findProgram(program) === undefined && `${program} is neither in .tools (scripts/tools.sh) nor in PATH`

/**
 * Starts a proxy with its recipe, on loopback, and waits until it listens.
 *
 * @param folder has proxy.crt, proxy.key, proxy.pem (both), clients-ca.pem and broker-ca.pem
 * @param brokerPort the port of a broker with TLS
 * @returns its port
 */
export async function startProxy(t: Closing, proxy: Proxy, folder: string, brokerPort: number): Promise<number> {
  const place = { folder, port: await freePort(), brokerPort }
  const recipe = join(folder, proxy.recipe)
  await writeFile(recipe, fillIn(proxy, place))
  const main = join(folder, 'main.conf')
  if (proxy.main) await writeFile(main, proxy.main(place))
  const home = join(folder, 'home')
  await mkdir(home)
  const program = findProgram(proxy.program) ?? proxy.program
  const libraries = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(name => join(tools, 'usr/lib', name))
  const child = spawn(program, proxy.args(proxy.main ? main : recipe, place), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      ...(program.startsWith(tools) && { LD_LIBRARY_PATH: libraries.join(delimiter) }),
    },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = Promise.withResolvers<void>()
  child.once('close', () => ended.resolve()).once('error', error => (said += String(error)))
  t.after(() => {
    child.kill('SIGTERM')
    // What does not end in time is killed; the process group of a proxy ends with its first process.
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    return ended.promise.finally(() => clearTimeout(timer))
  })
  await until(`${proxy.program} listens`, async () => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`${proxy.program} ended: ${said}`)
    return listens(place.port)
  })
  return place.port
}

/** The recipe with the test's ports and folders. Each text must be in it. */
function fillIn(proxy: Proxy, place: Place): string {
  let text = read(`examples/proxies/${proxy.recipe}`)
  for (const [from, to] of proxy.filledIn(place)) {
    if (!text.includes(from)) throw new Error(`examples/proxies/${proxy.recipe} does not contain "${from}"`)
    text = text.replaceAll(from, to)
  }
  return text
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1')
  socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}
