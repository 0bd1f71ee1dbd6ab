import assert from 'node:assert/strict'
import { once } from 'node:events'
import { utimes, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { version } from '../../src/service/package.ts'
import { graph, parseObject, policyOf, send, until } from '../support/broker.ts'
import { cacheKeyLine } from '../support/cache-keys.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { environmentOf, run, serve } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())

const keepAlive = { connection: 'keep-alive' }
const askAt = async (url: string, tenant = 'contoso') =>
  send(`${url}/tokens`, {
    method: 'POST',
    // Requested, so that only the broker closes a connection.
    headers: {
      ...keepAlive,
      authorization: `Bearer ${await emulator.mintCallerToken()}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ tenant, scope: graph }),
  })
const readiness = async (url: string) => (await send(`${url}/readyz`)).status
const untilReady = (url: string) => until('ready', async () => (await readiness(url)) === 200, 20)

test('it logs that it listens and that it is ready, in JSON lines only', async t => {
  const broker = await serve(t, await environmentOf(t, emulator))
  await until('ready', () => broker.messages().includes('ready'), 20)
  const lines = broker.stdout().trimEnd().split('\n').map(parseObject)
  const [warning, ...others] = lines.toSorted((a, b) => String(b['level']).localeCompare(String(a['level'])))
  assert.deepEqual([lines[0]?.['msg'], lines[0]?.['version']], ['starting', version])
  assert.match(String(warning?.['msg']), /^BROKER_UNSAFE_AUTHORITY=true: the identity's token is sent to /)
  assert.ok(
    others.every(({ level }) => level === 'info'),
    broker.stdout(),
  )
  assert.equal((await askAt(broker.url)).status, 200)
  assert.equal(broker.stderr(), '')
})

const identityTokens = () => emulator.counts().endpoints.identity.outcomes['issued'] ?? 0

test("it is not ready without any issuer's keys", async t => {
  t.after(() => emulator.clearFaults())
  emulator.resetCounts()
  emulator.fault({ kind: 'server-error', at: 'callers' })
  const broker = await serve(t, await environmentOf(t, emulator))
  await until('the identity token', () => identityTokens() > 0, 20)
  await until('the attempt at the keys', () => emulator.counts().endpoints.callers.total > 0)
  const { status, json } = await send(`${broker.url}/readyz`)
  assert.deepEqual([status, json], [503, { status: 'not ready' }])
  assert.equal((await send(`${broker.url}/livez`)).status, 200)
})

test('readiness needs an identity token and keys once, and does not depend on upstreams afterwards', async t => {
  t.after(() => emulator.clearFaults())
  emulator.fault({ kind: 'server-error', at: 'identity' })
  const broker = await serve(t, await environmentOf(t, emulator))
  await until('the first attempt', () => broker.messages().includes('not ready yet'))
  assert.equal(await readiness(broker.url), 503)
  emulator.clearFaults()
  await untilReady(broker.url)
  const before = await askAt(broker.url)
  assert.equal(before.status, 200)

  emulator.fault({ kind: 'refused', at: 'identity' })
  emulator.fault({ kind: 'refused', at: 'token' })
  assert.equal(await readiness(broker.url), 200)
  const cached = await askAt(broker.url)
  assert.equal(cached.json['access_token'], before.json['access_token'])
  assert.equal((await askAt(broker.url, 'fabrikam')).status, 503)
  assert.equal(await readiness(broker.url), 200)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`${signal} drains: unready at once, still serving, then exit code 0`, async t => {
    const broker = await serve(t, await environmentOf(t, emulator))
    await untilReady(broker.url)
    assert.equal((await askAt(broker.url)).headers.connection, 'keep-alive')
    const stoppedAt = performance.now()
    broker.signal(signal)
    await until('draining', async () => (await readiness(broker.url)) === 503)
    const { status, headers } = await askAt(broker.url)
    assert.equal(status, 200)
    assert.equal(headers.connection, 'close')
    assert.equal((await send(`${broker.url}/readyz`, { headers: keepAlive })).headers.connection, 'close')
    assert.equal(await broker.exited, 0)
    assert.ok(performance.now() - stoppedAt >= 990, 'did not wait for the drain time')
    assert.equal(broker.messages().at(-2), 'stopped')
    await assert.rejects(askAt(broker.url), /ECONNREFUSED/)
  })

test('requests in progress when it stops get their responses', async t => {
  t.after(() => emulator.configure({ latency: {} }))
  const broker = await serve(t, await environmentOf(t, emulator, { BROKER_DRAIN_SECONDS: '0' }))
  await untilReady(broker.url)
  emulator.configure({ latency: { token: 800 } })
  emulator.resetCounts()
  const response = askAt(broker.url)
  await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests === 1)
  broker.signal('SIGTERM')
  assert.equal((await response).status, 200)
  assert.equal(await broker.exited, 0)
})

test('a second signal ends it at once, with exit code 1', async t => {
  const broker = await serve(t, await environmentOf(t, emulator, { BROKER_DRAIN_SECONDS: '60' }))
  broker.signal('SIGTERM')
  await until('draining', async () => (await readiness(broker.url)) === 503)
  // npm and terminals send one signal twice: what comes within a tenth of a second is the same.
  await new Promise(resolve => setTimeout(resolve, 150))
  const stoppedAt = performance.now()
  broker.signal('SIGTERM')
  assert.equal(await broker.exited, 1)
  assert.ok(performance.now() - stoppedAt < 3000)
})

test('one signal that is delivered twice, by npm and by the terminal, still drains', async t => {
  const broker = await serve(t, await environmentOf(t, emulator))
  await untilReady(broker.url)
  broker.signal('SIGINT')
  broker.signal('SIGTERM')
  await until('draining', async () => (await readiness(broker.url)) === 503)
  assert.equal((await askAt(broker.url)).status, 200)
  assert.equal(await broker.exited, 0)
})

test('a port that is already in use is reported in one line, with exit code 4', async t => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  t.after(() => void other.close())
  const port = String((other.address() as AddressInfo).port)
  const broker = run(t, ['serve'], await environmentOf(t, emulator, { PORT: port }))
  assert.equal(await broker.exited, 4)
  assert.match(broker.stderr(), new RegExp(`^token-broker: .*port ${port} is already in use.*PORT.*\n$`))
})

test('all errors of the environment and of the policy are reported together, with exit code 3', async t => {
  const good = await environmentOf(t, emulator)
  const { BROKER_POLICY_FILE: policyFile = '' } = good
  await writeFile(policyFile, 'applications: { default: no-guid }\nrules: [{ name: x, callers: [], surprise: 1 }]\n')
  const environment = { ...good, PORT: '99999', LOG_LEVEL: 'loud', BROKER_IDENTITY_CLIENT_ID: 'no-guid' }
  const broker = run(t, ['serve'], environment)
  assert.equal(await broker.exited, 3)
  for (const where of ['PORT', 'LOG_LEVEL', 'BROKER_IDENTITY_CLIENT_ID', 'applications.default', 'rules[0].surprise'])
    assert.ok(broker.stderr().includes(where), `${where} is missing: ${broker.stderr()}`)
  assert.doesNotMatch(broker.stderr(), /\n\s+at /)
  assert.equal(broker.stdout(), '')
})

for (const [what, changes] of [
  ['the environment', { PORT: '99999' }],
  ['nothing else', {}],
] as const)
  test(`errors of all files are reported together, and with those of ${what}`, async t => {
    const good = await environmentOf(t, emulator, changes)
    const { BROKER_POLICY_FILE: policyFile = '' } = good
    const nowhere = {
      TLS_CERT_FILE: '/nowhere/tls.crt',
      TLS_KEY_FILE: '/nowhere/tls.key',
      TLS_CLIENT_CA_FILE: policyFile,
    }
    const policy = {
      ...policyOf(emulator),
      issuers: { emulator: { issuer: 'https://k8s.example', audiences: ['a'], jwksFile: '/nowhere/jwks.json' } },
    }
    await writeFile(policyFile, JSON.stringify(policy))
    await utimes(policyFile, 0, 0)
    const broker = run(t, ['serve'], { ...good, ...nowhere })
    assert.equal(await broker.exited, 3)
    const named = broker
      .stderr()
      .match(/^ {2}[^:]+(?=: )/gm)
      ?.map(name => name.trim())
    const files = ['TLS_CERT_FILE', 'TLS_KEY_FILE', 'TLS_CLIENT_CA_FILE', 'issuers.emulator.jwksFile']
    assert.deepEqual(named, [...Object.keys(changes), ...files], broker.stderr())
  })

test('an error in a file ends it also when it is connected to Redis already', { skip: withoutRedis }, async t => {
  const redis = await startRedis(t)
  const environment = await environmentOf(t, emulator)
  const keys = join(dirname(environment['BROKER_POLICY_FILE'] ?? ''), 'cache-keys')
  await writeFile(keys, `${cacheKeyLine('a')}\n`)
  const broker = run(t, ['serve'], {
    ...environment,
    BROKER_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    BROKER_REDIS_AUTH: 'none',
    BROKER_CACHE_KEY_FILE: keys,
    TLS_CERT_FILE: keys,
    TLS_KEY_FILE: keys,
  })
  assert.equal(await broker.exited, 3)
  assert.match(broker.stderr(), /TLS_CERT_FILE/)
})

test('a missing policy file is reported by its path, with exit code 3', async t => {
  const environment = await environmentOf(t, emulator, { BROKER_POLICY_FILE: '/nowhere/policy.yaml' })
  const broker = run(t, ['serve'], environment)
  assert.equal(await broker.exited, 3)
  assert.match(broker.stderr(), /\/nowhere\/policy\.yaml/)
})

const misuse: readonly (readonly string[])[] = [[], ['brew'], ['serve', '--surprise'], ['serve', 'now'], ['--port=1']]
for (const args of misuse)
  test(`"token-broker ${args.join(' ')}" is refused with a hint and exit code 2`, async t => {
    const command = run(t, args)
    assert.equal(await command.exited, 2)
    assert.match(command.stderr(), /^token-broker: .*\n(.*\n)*Try: token-broker( serve)? --help\n$/)
    assert.equal(command.stdout(), '')
  })

for (const args of [['--help'], ['-h'], ['serve', '--help']])
  test(`"token-broker ${args.join(' ')}" prints its help or version`, async t => {
    const command = run(t, args)
    assert.equal(await command.exited, 0)
    assert.match(command.stdout(), /^token-broker( serve)?: [\s\S]*Usage:[\s\S]*serve[\s\S]*Exit codes:/)
    assert.equal(command.stderr(), '')
  })

test('a client that never finishes its request does not delay the stop', async t => {
  const broker = await serve(
    t,
    await environmentOf(t, emulator, { BROKER_DRAIN_SECONDS: '0', BROKER_UPSTREAM_TIMEOUT_MS: '500' }),
  )
  const socket = connect(Number(new URL(broker.url).port), '127.0.0.1').on('error', () => undefined)
  t.after(() => void socket.destroy())
  // A whole request before it: its response shows that the broker has the connection.
  socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  await new Promise(resolve => socket.write('POST /tokens HTTP/1.1\r\nHost: x\r\n', resolve))
  broker.signal('SIGTERM')
  assert.equal(await broker.exited, 0)
})
