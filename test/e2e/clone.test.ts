import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { version } from '../../src/service/package.ts'

/** The ways to run the command in a clone of the repository, as a shell runs them. */

const root = join(import.meta.dirname, '../..')
const policy = `applications: { default: ${sample.application} }
tenants: { contoso: ${sample.contoso} }
issuers: { k8s: { issuer: "https://k8s.example", audiences: [a] } }
rules:
  - { name: r, callers: [{ issuer: k8s, subject: s }], tenants: [contoso], scopes: ["https://graph.microsoft.com/.default"] }
`

/** @param above the folder in which the new one is */
function folderIn(t: TestContext, above: string): string {
  mkdirSync(above, { recursive: true })
  const folder = mkdtempSync(join(above, 'clone-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Runs a command line with `sh`, with the machine's own Node first, as in a shell of a user. */
function shell(line: string, cwd: string, environment: Readonly<Record<string, string>> = {}) {
  const paths = process.env['PATH']?.split(delimiter).filter(path => !path.includes('node_modules')) ?? []
  const { INIT_CWD: _, ...inherited } = process.env
  const npm = { npm_config_update_notifier: 'false', npm_config_loglevel: 'error' }
  const env = { ...inherited, PATH: paths.join(delimiter), ...npm, ...environment }
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], { cwd, env, encoding: 'utf8', timeout: 100_000 })
  return { status, stdout, stderr }
}

const hasNpm = shell('npm --version', root).status === 0
const needsNpm = { skip: hasNpm ? false : 'npm is not installed' }

describe('the npm script token-broker', needsNpm, () => {
  test('finds a relative file from a sub-folder, and from another folder', t => {
    for (const [above, script] of [
      [join(root, '.tools'), 'npm run -s token-broker --'],
      [tmpdir(), `npm --prefix ${root} run -s token-broker --`],
    ] as const) {
      const folder = folderIn(t, above)
      writeFileSync(join(folder, 'policy.yaml'), policy)
      const { status, stdout, stderr } = shell(`${script} policy check policy.yaml`, folder)
      assert.equal(status, 0, stderr)
      assert.match(stdout, /policy\.yaml is valid/)
    }
  })

  test('runs where npm is set to ignore-scripts, with which it runs no "pre" scripts', () => {
    const { status, stdout } = shell('npm run -s token-broker -- --version', root, {
      npm_config_ignore_scripts: 'true',
    })
    assert.deepEqual([status, stdout], [0, `${version}\n`])
  })

  test('npx runs it in the clone without a request to the registry', () => {
    const { status, stdout, stderr } = shell('npx --offline token-broker --version', root)
    assert.deepEqual([status, stdout], [0, `${version}\n`], stderr)
  })
})

test('a link to the command, as npm link makes it, runs under the pinned Node in any folder', t => {
  const folder = folderIn(t, tmpdir())
  // A link to a link, the second of them relative.
  mkdirSync(join(folder, 'bin'))
  symlinkSync(join(root, 'scripts/token-broker'), join(folder, 'linked'))
  symlinkSync('../linked', join(folder, 'bin/token-broker'))
  writeFileSync(join(folder, 'policy.yaml'), policy)
  const PATH = [join(folder, 'bin'), process.env['PATH']].join(delimiter)
  const { status, stdout, stderr } = shell('token-broker policy check policy.yaml', folder, { PATH })
  assert.equal(status, 0, stderr)
  assert.match(stdout, /policy\.yaml is valid/)
})

describe('a clone without its packages', () => {
  /** A clone with the given programs in PATH, each a shell script. */
  function bareClone(t: TestContext, programs: Readonly<Record<string, string>>) {
    const folder = folderIn(t, tmpdir())
    for (const path of ['package.json', 'package-lock.json', 'scripts']) {
      cpSync(join(root, path), join(folder, path), { recursive: true })
    }
    for (const [name, text] of Object.entries(programs)) {
      mkdirSync(join(folder, 'bin'), { recursive: true })
      writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`)
      chmodSync(join(folder, 'bin', name), 0o755)
    }
    return { folder, PATH: `${join(folder, 'bin')}:/usr/bin:/bin` }
  }
  const node = `exec ${process.execPath} "$@"`

  test('installs them first, and says what to do if that fails', t => {
    const { folder, PATH } = bareClone(t, { node, npm: 'echo "npm $*" >&2; exit 1' })
    const { status, stderr } = shell('scripts/token-broker --version', folder, { PATH, npm_execpath: '' })
    assert.equal(status, 1)
    assert.match(stderr, /^npm ci --ignore-scripts/m)
    assert.match(stderr, /^setup: "npm ci" failed; .*Check the network and the registry/m)
  })

  test('says that Node is missing', t => {
    const { folder } = bareClone(t, { sh: 'exec /bin/sh "$@"' })
    const tools = Object.fromEntries(['dirname', 'readlink'].map(name => [name, `exec /usr/bin/${name} "$@"`]))
    for (const [name, text] of Object.entries(tools)) {
      writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`)
      chmodSync(join(folder, 'bin', name), 0o755)
    }
    const { status, stderr } = shell('scripts/token-broker --version', folder, { PATH: join(folder, 'bin') })
    assert.equal(status, 1)
    assert.equal(stderr, 'setup: node is missing; install Node.js 20 or newer, which includes npm\n')
  })
})
