import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InvalidConfigurationError } from '../../src/errors.ts'
import { settingsOf } from './flags.ts'

const least = [
  '--broker',
  'https://broker.example',
  '--tenant',
  'contoso',
  '--token-file',
  '/token',
  '--secret-file',
  '/s',
]
/** `least` with flags replaced; `undefined` leaves one out, `true` stands for a switch. */
function flags(changes: Readonly<Record<string, string | true | undefined>> = {}): string[] {
  const named = new Map<string, string | true | undefined>()
  for (let i = 0; i < least.length; i += 2) named.set(least[i] ?? '', least[i + 1])
  for (const [name, value] of Object.entries(changes)) named.set(`--${name}`, value)
  return [...named].flatMap(([name, value]) => (value === undefined ? [] : value === true ? [name] : [name, value]))
}
function faultyNames(args: readonly string[], environment = {}): readonly string[] {
  try {
    settingsOf(args, environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError, String(thrown))
    return thrown.errors.map(({ where }) => where)
  }
}

test('the required flags leave everything else at its default', () => {
  assert.deepEqual(settingsOf(flags()), {
    broker: 'https://broker.example',
    tenant: 'contoso',
    credential: { tokenFile: '/token', apiKeyFile: undefined, certificate: undefined, caFile: undefined },
    listen: { host: '127.0.0.1', port: 8081 },
    secretFile: '/s',
    metadata: false,
    sidecar: false,
    proxy: undefined,
    tracing: undefined,
    warnings: [],
    revalidateSeconds: 300,
    logLevel: 'info',
  })
})

test('without any flag, all missing ones are reported together', () => {
  assert.deepEqual(faultyNames([]), ['--broker', '--tenant', '--token-file', '--secret-file'])
})

test("traces are sent with the broker's variables, under the agent's own name", () => {
  const environment = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=correct-horse',
  }
  assert.deepEqual(settingsOf(flags(), environment).tracing, {
    url: 'http://localhost:4318/v1/traces',
    headers: { 'x-key': 'correct-horse' },
    serviceName: 'token-broker-agent',
    secrets: ['correct-horse'],
    ratio: 1,
  })
  assert.equal(settingsOf(flags(), { ...environment, OTEL_TRACES_EXPORTER: 'none' }).tracing, undefined)
  const bad = { OTEL_EXPORTER_OTLP_ENDPOINT: 'correct-horse', OTEL_TRACES_SAMPLER: 'always' }
  assert.deepEqual(faultyNames(flags({ port: 'x' }), bad), [
    '--port',
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'OTEL_TRACES_SAMPLER',
  ])
})

test('the proxy is that of the environment; its errors are reported with those of flags, without its password', () => {
  const environment = { HTTPS_PROXY: 'http://user:correct-horse@proxy.example:3128' }
  assert.equal(settingsOf(flags(), environment).proxy?.shownUrl, 'http://proxy.example:3128')
  const bad = { HTTPS_PROXY: 'user:correct-horse@proxy.example', NO_PROXY: 'a.example', no_proxy: 'b.example' }
  assert.deepEqual(faultyNames(flags({ port: 'x' }), bad), ['--port', 'NO_PROXY', 'HTTPS_PROXY'])
  assert.throws(
    () => settingsOf(flags(), bad),
    (error: Error) => !error.message.includes('correct-horse'),
  )
  // The agent has no Azure SDK, which would parse it.
  assert.deepEqual(settingsOf(flags(), { ALL_PROXY: 'no URL' }).warnings, [
    'ALL_PROXY has no effect, because all requests to other servers are https; set HTTPS_PROXY',
  ])
})

test('the secret file has a default if the system names a folder for files that live as long as a service', () => {
  const without = flags({ 'secret-file': undefined })
  const at = (environment: Record<string, string>) => settingsOf(without, environment).secretFile
  assert.equal(at({ XDG_RUNTIME_DIR: '/run/user/1' }), '/run/user/1/token-broker-agent.secret')
  assert.equal(at({ RUNTIME_DIRECTORY: '/run/a:/run/b', XDG_RUNTIME_DIR: '/x' }), '/run/a/token-broker-agent.secret')
})

const hosts: readonly (readonly [host: string, address: string | undefined, why: string])[] = [
  ['127.0.0.1', '127.0.0.1', 'loopback'],
  ['127.9.9.9', '127.9.9.9', 'all of 127.0.0.0/8 is loopback'],
  ['::1', '::1', 'loopback of IPv6'],
  ['localhost', '127.0.0.1', 'the name, which becomes the address, so that a hosts file cannot change it'],
  ['0.0.0.0', undefined, 'every address'],
  ['::', undefined, 'every address of IPv6'],
  ['10.0.0.1', undefined, 'a private address'],
  ['169.254.169.254', undefined, "the cloud's metadata address"],
  ['127.0.0.1.example.com', undefined, 'a name that begins like loopback'],
  ['localhost.example.com', undefined, 'a name that begins like localhost'],
  ['', undefined, 'an empty text, which Node takes for every address'],
]
describe('it listens on loopback only', () => {
  for (const [host, address, why] of hosts)
    test(`${address === undefined ? 'refused' : 'accepted'}: ${host}, ${why}`, () => {
      if (address === undefined) assert.deepEqual(faultyNames(flags({ host })), ['--host'])
      else assert.deepEqual(settingsOf(flags({ host })).listen, { host: address, port: 8081 })
    })
  test('or on a Unix socket, with which host, port and what needs a port are refused', () => {
    assert.deepEqual(settingsOf(flags({ socket: '/run/a.sock' })).listen, { socket: '/run/a.sock' })
    const much = flags({ socket: '/run/a.sock', host: '127.0.0.1', port: '1', metadata: true, sidecar: true })
    assert.deepEqual(faultyNames(much), ['--host', '--port', '--metadata', '--sidecar'])
  })
})

const faulty: readonly (readonly [why: string, changes: Parameters<typeof flags>[0], where: string])[] = [
  ['plain http beyond loopback: others could read the credential', { broker: 'http://broker.example' }, '--broker'],
  ['a path', { broker: 'https://broker.example/tokens' }, '--broker'],
  ['not a URL', { broker: 'broker' }, '--broker'],
  ['common: any tenant', { tenant: 'common' }, '--tenant'],
  ['a tenant that is a path', { tenant: '../x' }, '--tenant'],
  ['a token and an API key', { 'api-key-file': '/key' }, '--api-key-file'],
  ['a certificate without its key', { cert: '/cert' }, '--key'],
  ['a key without its certificate', { key: '/key' }, '--cert'],
  ['a port out of range', { port: '65536' }, '--port'],
  ['a port that is not a number', { port: '0x10' }, '--port'],
  ['too short an interval for revalidation', { revalidate: '9' }, '--revalidate'],
  ['too long an interval for revalidation', { revalidate: '3601' }, '--revalidate'],
  ['an unknown level', { 'log-level': 'loud' }, '--log-level'],
]
describe('invalid values are refused', () => {
  for (const [why, changes, where] of faulty) test(why, () => assert.deepEqual(faultyNames(flags(changes)), [where]))
  test('an unknown flag, a flag without its value, and a surplus word are refused', () => {
    for (const more of [['--frob'], ['--port'], ['word'], ['--metadata=yes']])
      assert.throws(() => settingsOf([...flags(), ...more]), { code: /^ERR_PARSE_ARGS_/ })
  })
})

const good: readonly (readonly [why: string, changes: Parameters<typeof flags>[0], expected: object])[] = [
  ['plain http on loopback', { broker: 'http://127.0.0.1:8080' }, { broker: 'http://127.0.0.1:8080' }],
  [
    'a tenant id, in lower case',
    { tenant: 'AB000000-0000-4000-8000-0000000000CD' },
    { tenant: 'ab000000-0000-4000-8000-0000000000cd' },
  ],
  ['any free port', { port: '0' }, { listen: { host: '127.0.0.1', port: 0 } }],
  ['the metadata protocol', { metadata: true }, { metadata: true }],
  ['the protocol of the Entra sidecar', { sidecar: true }, { sidecar: true }],
  [
    'a certificate alone',
    { 'token-file': undefined, cert: '/c', key: '/k' },
    { credential: { certificate: { certFile: '/c', keyFile: '/k' } } },
  ],
  [
    'a certificate beside a token that is bound to it',
    { cert: '/c', key: '/k' },
    { credential: { tokenFile: '/token' } },
  ],
]
for (const [why, changes, expected] of good)
  test(`accepted: ${why}`, () => assert.partialDeepStrictEqual(settingsOf(flags(changes)), expected))
