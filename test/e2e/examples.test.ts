import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { until } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { blocksOf } from '../docs/tables.ts'

/**
 * Follows examples/README.md as a person does: `npm run dev -- --tls`, its `export` lines in another shell, and the lines
 * of the folder `typescript`. Nothing is installed: the packages of the examples are those of the broker, as far as it has
 * them. `npm run test:clients` runs all languages with their own packages.
 */

const root = join(import.meta.dirname, '../..')
const withNpm = { skip: spawnSync('npm', ['--version']).status === 0 ? false : 'npm is not installed' }
const page = read('examples/README.md')

/** The lines of a shell that a block of the page has, without comments. */
const linesOf = (folder: string): readonly string[] =>
  (blocksOf(page, 'sh').find(block => block.includes(`cd examples/${folder}`)) ?? '')
    .split('\n')
    .map(line => line.replace(/ +#.*$/, ''))
    .filter(line => line !== '')

function isInstalled(program: string): boolean {
  const packages = [...read(`examples/typescript/${program}`).matchAll(/from '([^.][^']*)'/g)].map(
    ([, name]) => name ?? '',
  )
  return packages.every(name => {
    try {
      createRequire(join(root, 'package.json')).resolve(name)
      return true
    } catch {
      return false
    }
  })
}

describe('examples/README.md, followed with the real npm run dev', withNpm, async () => {
  if (withNpm.skip !== false) return
  const command = blocksOf(page, 'sh')[0]?.trim() ?? ''
  const [program = '', ...args] = command.split(' ')
  const dev = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PORT: '0', npm_config_update_notifier: 'false' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  dev.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  dev.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exited = new Promise<number | null>(resolve => dev.once('close', resolve))
  after(async () => {
    dev.kill('SIGINT')
    await exited
  })
  await until('the welcome', () => stderr.includes('Press Ctrl-C') || dev.exitCode !== null, 60)
  const exports = stderr.match(/^export \w+=.+$/gm) ?? []

  /** Runs lines in a shell that has read the `export` lines. */
  const shell = (lines: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
    promisify(execFile)('sh', ['-e', '-c', [...exports, ...lines].join('\n')], {
      cwd: root,
      env: { PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter), ...environment },
      timeout: 60_000,
    })

  test('it is the command of the page, and prints the variables of all examples, each once', () => {
    assert.equal(command, 'npm run dev -- --tls')
    const names = exports.map(line => /^export (\w+)=/.exec(line)?.[1] ?? '')
    const used = ['BROKER', 'TENANT', 'CLIENT_ID', 'TOKEN_FILE', 'IDENTITY_ENDPOINT', 'IDENTITY_HEADER', 'MY_OWN_TOKEN']
    const sdk = ['AZURE_AUTHORITY_HOST', 'AZURE_TENANT_ID', 'AZURE_CLIENT_ID', 'AZURE_FEDERATED_TOKEN_FILE']
    const trust = ['NODE_EXTRA_CA_CERTS', 'REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'CURL_CA_BUNDLE']
    assert.deepEqual(names.toSorted(), [...used, ...sdk, ...trust].toSorted())
    assert.ok(
      stdout.split('\n').every(line => line === '' || line.startsWith('{') || line.startsWith('>')),
      stdout,
    )
  })

  const [path = '', folder = '', , ...programs] = linesOf('typescript')
  for (const line of programs) {
    const name = line.split(' ')[1] ?? ''
    const skip = isInstalled(name) ? false : 'its package is not one of the broker'
    test(`examples/typescript: ${line}`, { skip }, async () => {
      const printed = await shell([path, folder, line])
      const token = decodeJws(printed.stdout.trim())?.payload
      assert.equal(token?.['tid'], sample.contoso)
      assert.deepEqual(token['roles'], ['Organization.Read.All', 'User.Read.All'])
    })
  }

  test('examples/curl: every script', async () => {
    const scripts = ['tokens', 'client-credentials', 'token-exchange', 'identity'].map(name => `./${name}.sh`)
    const { stdout: responses } = await shell(['cd examples/curl', scripts.join('; echo; ')])
    const lines = responses.split('\n').map(line => JSON.parse(line) as { access_token?: unknown })
    assert.equal(lines.length, scripts.length)
    for (const { access_token: token } of lines) assert.equal(decodeJws(String(token))?.payload['tid'], sample.contoso)
  })

  test('docs/agent-identities.md: its line gets a token of an agent identity, as the welcome says', async () => {
    assert.match(stderr, /^- Get a token of an agent identity: write "agent":"helper" into the first line/m)
    const [line = ''] = blocksOf(read('docs/agent-identities.md'), 'sh')
    const { stdout: response } = await shell([line])
    const issued = JSON.parse(response) as Record<string, unknown>
    const token = decodeJws(String(issued['access_token']))?.payload
    assert.deepEqual([issued['agent'], token?.['tid']], ['helper', sample.contoso])
    assert.equal(token?.['azp'] ?? token?.['appid'], sample.agentIdentity)
  })

  test('a scope that is not granted: the error is printed', async () => {
    const line = /`(node managed-identity\.ts https:[^`]+)`/.exec(page)?.[1] ?? ''
    await assert.rejects(shell([folder, line]), /No rule of the policy|not_permitted/)
  })

  test('Ctrl-C ends it with exit code 0, and removes its files', async () => {
    const [, file = ''] = /^export TOKEN_FILE=(.+)$/m.exec(stderr) ?? []
    assert.ok(existsSync(file))
    dev.kill('SIGINT')
    assert.equal(await exited, 0)
    assert.ok(!existsSync(file))
  })
})
