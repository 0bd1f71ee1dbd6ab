import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { version } from '../../src/service/package.ts'
import { type Closing, graph, parseObject, send, until } from '../support/broker.ts'
import { environmentOf, run, type Run, serve } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())
const broker = await serve({ after }, await environmentOf({ after }, emulator))

async function place(t: Closing) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'token'), await emulator.mintCallerToken())
  const secretFile = join(folder, 'secret')
  const usual = ['agent', '--broker', broker.url, '--tenant', 'contoso', '--token-file', join(folder, 'token')]
  return { folder, secretFile, args: [...usual, '--secret-file', secretFile] }
}

async function start(t: TestContext, flags: readonly string[], sign = 'export IDENTITY_HEADER') {
  const { args, ...rest } = await place(t)
  const agent = run(t, [...args, ...flags])
  await until('the agent listens', () => agent.stderr().includes(sign) || agent.hasExited(), 20)
  assert.ok(!agent.hasExited(), agent.stderr())
  return { ...rest, agent }
}

/** The variables that it printed, as a shell would set them. */
async function variables({ stderr }: Run): Promise<Readonly<Record<string, string>>> {
  const lines = [...stderr().matchAll(/^export (\w+)=("\$\(cat .+\)"|\S+)/gm)]
  const values = lines.map(async ([, name = '', value = '']) => {
    const file = /^"\$\(cat (.+)\)"$/.exec(value)?.[1]
    return [name, file === undefined ? value : await readFile(file, 'utf8')] as const
  })
  return Object.fromEntries(await Promise.all(values))
}

test('it prints the variables for the workload, and a request with them gets a token', async t => {
  const { agent, secretFile } = await start(t, ['--port', '0'])
  const { IDENTITY_ENDPOINT: endpoint = '', IDENTITY_HEADER: header = '' } = await variables(agent)
  assert.match(endpoint, /^http:\/\/127\.0\.0\.1:\d+\/identity\/token$/)
  const reply = await send(`${endpoint}?resource=https://graph.microsoft.com`, {
    headers: { 'x-identity-header': header },
  })
  assert.equal(reply.status, 200, reply.text)
  assert.equal(header, await readFile(secretFile, 'utf8'))
  assert.equal((await stat(secretFile)).mode & 0o777, 0o600)
  await until('ready', () => agent.messages().includes('ready'))
  const [first, ...lines] = agent.stdout().trimEnd().split('\n').map(parseObject)
  assert.deepEqual([first?.['msg'], first?.['version']], ['starting', version], 'stdout has JSON lines only')
  assert.ok(lines.every(({ level }) => level === 'info'))
  for (const secret of [header, String(reply.json['access_token'])])
    assert.ok(!agent.stdout().includes(secret) && !agent.stderr().includes(secret))
  agent.signal('SIGTERM')
  assert.equal(await agent.exited, 0)
})

test('a SIGHUP is logged and ends nothing: there is nothing to reload', async t => {
  const { agent } = await start(t, ['--port', '0'])
  agent.signal('SIGHUP')
  await until('the line', () => agent.messages().some(message => message.startsWith('SIGHUP')) || agent.hasExited())
  const { IDENTITY_ENDPOINT: endpoint = '', IDENTITY_HEADER: header = '' } = await variables(agent)
  const headers = { 'x-identity-header': header }
  assert.equal((await send(`${endpoint}?resource=https://graph.microsoft.com`, { headers })).status, 200)
  agent.signal('SIGTERM')
  assert.equal(await agent.exited, 0)
})

test('with --metadata it prints the variable of that protocol too', async t => {
  const { agent } = await start(t, ['--port', '0', '--metadata'])
  const { AZURE_POD_IDENTITY_AUTHORITY_HOST: host } = await variables(agent)
  const path = '/metadata/identity/oauth2/token?resource=https://graph.microsoft.com'
  assert.equal((await send(`${host}${path}`, { headers: { metadata: 'true' } })).status, 200)
})

test('with --sidecar it prints the variable of that protocol too', async t => {
  const { agent } = await start(t, ['--port', '0', '--sidecar'])
  const { SIDECAR_URL: url } = await variables(agent)
  await until('ready', () => agent.messages().includes('ready'))
  assert.equal((await send(`${url}/healthz`)).status, 200)
  // This policy has no names of scopes. Without --sidecar, the path would be 404.
  const { status, json } = await send(`${url}/AuthorizationHeaderUnauthenticated/graph`)
  assert.deepEqual([status, json['code']], [403, 'not_permitted'])
})

test('the workload keeps its secret when the agent starts again', async t => {
  const { args, secretFile } = await place(t)
  await writeFile(secretFile, 'the-secret-that-the-workload-has-had-all-along', { mode: 0o600 })
  const agent = run(t, [...args, '--port', '0'])
  await until('the agent listens', () => agent.stderr().includes('IDENTITY_HEADER'), 20)
  assert.equal((await variables(agent))['IDENTITY_HEADER'], 'the-secret-that-the-workload-has-had-all-along')
})

test('a token file that appears later is a warning in the log, and does not delay the start', async t => {
  const { args, folder } = await place(t)
  await rm(join(folder, 'token'))
  const agent = run(t, [...args, '--port', '0'])
  await until('the warning', () => agent.stdout().includes("the workload's credential cannot be read yet"), 20)
  assert.ok(agent.stdout().includes('listening at'))
})

const refusals: readonly (readonly [why: string, flags: readonly string[], exitCode: number, said: RegExp])[] = [
  ['every address', ['--host', '0.0.0.0'], 3, /--host: must be a loopback address .*; got "0\.0\.0\.0"/],
  ['a tenant that is none', ['--tenant', 'common'], 3, /--tenant: must be a tenant.s id, or its name .*; got "common"/],
  ['an unknown flag', ['--frob'], 2, /Unknown option '--frob'/],
  ['an argument', ['here'], 2, /agent --help/],
]
describe('it does not start with', () => {
  for (const [why, flags, exitCode, said] of refusals)
    test(`${why}: exit code ${exitCode}`, async t => {
      const agent = run(t, [...(await place(t)).args, ...flags])
      assert.equal(await agent.exited, exitCode)
      assert.match(agent.stderr(), said)
    })
  test('a secret that others can read: exit code 3', async t => {
    const { args, secretFile } = await place(t)
    await writeFile(secretFile, 'a-secret-that-everybody-on-this-host-can-read-by-now', { mode: 0o644 })
    const agent = run(t, args)
    assert.equal(await agent.exited, 3)
    assert.match(agent.stderr(), /--secret-file: .*chmod 600/)
  })
  test('a port that is taken: exit code 4', async t => {
    const agent = run(t, [...(await place(t)).args, '--port', new URL(broker.url).port])
    assert.equal(await agent.exited, 4)
    assert.match(agent.stderr(), /already in use; stop the process that uses it, or set --port/)
  })
})

test('--help says what there is', async t => {
  const help = run(t, ['agent', '--help'])
  assert.equal(await help.exited, 0)
  assert.match(help.stdout(), /--token-file FILE/)
})

/** `POST /tokens` over a Unix socket. */
async function askOver(socketPath: string, bearer: string) {
  const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', host: 'localhost' }
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const sent = request({ socketPath, path: '/tokens', method: 'POST', headers, timeout: 10_000 }, response => {
    text(response).then(body => resolve({ status: response.statusCode ?? 0, text: body }), reject)
  })
  sent.on('error', reject)
  sent.end(JSON.stringify({ tenant: 'contoso', scope: graph }))
  return promise
}

describe('on a Unix socket', () => {
  const sign = 'curl --unix-socket'
  test('it serves its owner, and still requires the secret', async t => {
    const { folder, args, secretFile } = await place(t)
    const socket = join(folder, 'agent.sock')
    const agent = run(t, [...args, '--socket', socket])
    await until('the agent listens', () => agent.stderr().includes(sign), 20)
    assert.equal((await stat(socket)).mode & 0o777, 0o600)
    const reply = await askOver(socket, await readFile(secretFile, 'utf8'))
    assert.equal(reply.status, 200, reply.text)
    assert.ok('access_token' in parseObject(reply.text))
    assert.equal((await askOver(socket, 'x'.repeat(43))).status, 401)
  })

  test('it replaces a socket that an ended process has left, and nothing else', async t => {
    const { folder, args } = await place(t)
    const socket = join(folder, 'agent.sock')
    const first = run(t, [...args, '--socket', socket])
    await until('the agent listens', () => first.stderr().includes(sign), 20)
    first.signal('SIGKILL')
    await first.exited
    const second = run(t, [...args, '--socket', socket])
    await until('it listens again', () => second.stderr().includes(sign) || second.hasExited(), 20)
    const third = run(t, [...args, '--socket', socket])
    assert.equal(await third.exited, 4)
    assert.match(third.stderr(), /another process listens/)
    await writeFile(join(folder, 'file'), 'precious')
    const fourth = run(t, [...args, '--socket', join(folder, 'file')])
    assert.equal(await fourth.exited, 4)
    assert.equal(await readFile(join(folder, 'file'), 'utf8'), 'precious')
  })
})

test('it is unreachable from another address of this host', async t => {
  const { agent } = await start(t, ['--port', '0'])
  const { port } = new URL((await variables(agent))['IDENTITY_ENDPOINT'] ?? '')
  const socket = connect(Number(port), '127.0.0.2')
  const [error] = await once(socket, 'error')
  assert.equal((error as { code?: string }).code, 'ECONNREFUSED')
})
