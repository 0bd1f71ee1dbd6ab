import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { startEmulator } from '../../emulator/emulator.ts'
import { layOut, shipped } from '../../scripts/bundle.ts'
import { environmentOf } from '../e2e/process.ts'
import { graph, send, until } from '../support/broker.ts'
import { cacheKeyLine } from '../support/cache-keys.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'

const app = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(app, { recursive: true, force: true }))
// A restrictive umask: files of the working copy are readable only for their owner.
const umask = process.umask(0o077)
const { inputs, outputs } = await layOut(app)
process.umask(umask)
const program = join(app, 'dist/token-broker.cjs')
const text = (path: string): Promise<string> => readFile(join(app, path), 'utf8')

describe('what ships', () => {
  test('is exactly what is listed, readable for all users', async () => {
    const found = globSync('**', { cwd: app, withFileTypes: true }).filter(entry => entry.isFile())
    const paths = found.map(entry => join(entry.parentPath, entry.name).slice(app.length + 1))
    assert.deepEqual(paths.toSorted(), shipped.toSorted())
    for (const path of paths) assert.equal((await stat(join(app, path))).mode & 0o777, 0o644, path)
    assert.equal((await stat(join(app, 'dist'))).mode & 0o777, 0o755)
  })

  test('comes from the sources and from packages, never from the emulator, the tests or a native module', () => {
    const foreign = Object.keys(inputs).filter(
      path =>
        !/^(src\/|node_modules\/|builtin:node:https?$|none:(?:@fastify\/|jsonwebtoken$))/.test(path) ||
        path.endsWith('.node'),
    )
    assert.deepEqual(foreign, [])
  })

  test('imports only modules of Node, and what only the digests of the Redis client need', () => {
    const imports = Object.values(outputs).flatMap(output => output.imports)
    const external = imports.filter(({ external: is }) => is).map(({ path }) => path)
    assert.deepEqual(new Set(external.filter(path => !isBuiltin(path))), new Set(['@node-rs/xxhash']))
  })

  test('is a bundle in ASCII, so that each byte is a character', async () => {
    assert.ok((await readFile(join(app, 'dist/bundle.cjs'))).every(byte => byte < 128))
  })

  test('lists the packages in it, with their licences', async () => {
    const folders = Object.keys(inputs).map(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
    const names = new Set(
      folders.filter(folder => folder !== undefined).map(folder => folder.replace(/^.*node_modules\//, '')),
    )
    // The files that pages load.
    names.add('@fastify/swagger-ui').add('oauth4webapi')
    const sbom = JSON.parse(await text('sbom.cdx.json')) as { components: { name: string; version: string }[] }
    assert.deepEqual(new Set(sbom.components.map(({ name }) => name)), names)
    const notices = await text('THIRD-PARTY-NOTICES.txt')
    for (const { name, version } of sbom.components) assert.ok(notices.includes(`\n${name} ${version} (`), name)
  })
})

describe('the bundle, with only Node installed', () => {
  const bare = { cwd: '/', env: {}, timeout: 20_000 }

  test('prints --help', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, '--help'], bare)
    assert.match(stdout, /^Usage: token-broker/m)
  })

  test('reads a large policy, for which it starts a thread', async () => {
    const file = join(app, 'large.yaml')
    const id = '6f3c0b1e-0000-4000-8000-000000000001'
    const tenants = Array.from({ length: 2000 }, (_, nth) => `  tenant-${nth}: ${id}\n`).join('')
    const rule = '{ name: a, callers: [{ san: a.example }], permissions: [observe] }'
    await writeFile(file, `applications: { default: ${id} }\ntenants:\n${tenants}rules: [${rule}]\n`)
    const { stdout } = await promisify(execFile)(process.execPath, [program, 'policy', 'check', file], bare)
    assert.match(stdout, /large\.yaml is valid \(rules: 1,/)
  })

  test('serves tokens, its documentation and the dashboard', async t => {
    const emulator = await startEmulator()
    t.after(() => emulator.close())
    const { url } = await serve(t, await environmentOf(t, emulator, { BROKER_DRAIN_SECONDS: '0' }))

    const headers = { authorization: `Bearer ${await emulator.mintCallerToken()}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ tenant: 'contoso', scope: graph })
    const response = await send(`${url}/tokens`, { method: 'POST', headers, body })
    assert.equal(response.status, 200, response.text)
    const page = await send(`${url}/docs`)
    assert.equal(page.status, 200)
    const parts = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = '']) => path)
    assert.ok(parts.length >= 4)
    for (const path of parts) assert.equal((await send(`${url}/${path}`)).status, 200, path)
    assert.equal((await send(`${url}/dashboard`)).status, 200)
    for (const path of shipped.filter(each => /^web\/\w+\//.test(each)))
      assert.equal((await send(`${url}/${path.replace('web/', 'dashboard/')}`)).status, 200, path)
  })

  test('connects to Redis', { skip: withoutRedis }, async t => {
    const emulator = await startEmulator()
    t.after(() => emulator.close())
    const { port } = await startRedis(t)
    const keys = join(app, 'cache-keys')
    await writeFile(keys, cacheKeyLine('one'))
    const shared = { BROKER_REDIS_URL: `redis://127.0.0.1:${port}`, BROKER_CACHE_KEY_FILE: keys }
    const { output } = await serve(t, await environmentOf(t, emulator, { BROKER_DRAIN_SECONDS: '0', ...shared }))
    await until('connected', () => output().includes('connected to Redis'))
  })

  async function serve(t: TestContext, env: NodeJS.ProcessEnv) {
    const child = spawn(process.execPath, [program, 'serve'], { ...bare, env })
    t.after(() => void child.kill('SIGKILL'))
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const address = () => /listening at (http:\/\/[\d.:]+)/.exec(output)?.[1]
    await until('listening', () => address() !== undefined || child.exitCode !== null, 20)
    return { url: address() ?? assert.fail(output), output: () => output }
  }
})
