import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { clientCertHeaders } from '../../src/config/clients.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'

/** The required variables. */
const least: Environment = {
  BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01',
  IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
  IDENTITY_HEADER: 'secret-header',
}

function invalidNames(environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors.map(({ where }) => where)
  }
}

describe("where callers' certificates come from", () => {
  const tls = { TLS_CERT_FILE: '/cert.pem', TLS_KEY_FILE: '/key.pem' }
  const ca = { TLS_CLIENT_CA_FILE: '/clients.pem' }
  const proxies = { BROKER_TRUSTED_PROXIES: '127.0.0.1' }

  test('over TLS', () => assert.equal(readConfig({ ...least, ...tls, ...ca }).clientCaFile, '/clients.pem'))

  test("in a proxy's header", () => {
    for (const header of clientCertHeaders) {
      const environment = { ...least, ...ca, ...proxies, BROKER_CLIENT_CERT_HEADER: header }
      const { clientCaFile, trustedProxies, clientCertHeader } = readConfig(environment)
      assert.deepEqual([clientCaFile, trustedProxies, clientCertHeader], ['/clients.pem', ['127.0.0.1'], header])
    }
  })

  const headers: readonly [environment: Environment, errors: readonly string[], why: string][] = [
    [{ ...ca, ...proxies }, ['BROKER_CLIENT_CERT_HEADER'], 'no header, although proxies may forward certificates'],
    [{ ...tls, ...ca, ...proxies }, ['BROKER_CLIENT_CERT_HEADER'], 'also where the broker has TLS itself'],
    [{ ...ca, ...proxies, BROKER_CLIENT_CERT_HEADER: '' }, ['BROKER_CLIENT_CERT_HEADER'], 'an empty one is none'],
    [{ ...ca, ...proxies, BROKER_CLIENT_CERT_HEADER: 'Client-Cert' }, ['BROKER_CLIENT_CERT_HEADER'], 'upper case'],
    [{ ...ca, ...proxies, BROKER_CLIENT_CERT_HEADER: 'ssl-client-cert' }, ['BROKER_CLIENT_CERT_HEADER'], 'another one'],
    [
      { ...ca, ...proxies, BROKER_CLIENT_CERT_HEADER: 'client-cert,x-forwarded-client-cert' },
      ['BROKER_CLIENT_CERT_HEADER'],
      'both',
    ],
    [{ ...proxies, BROKER_CLIENT_CERT_HEADER: 'client-cert' }, ['BROKER_CLIENT_CERT_HEADER'], 'no authorities'],
    [{ ...tls, ...ca, BROKER_CLIENT_CERT_HEADER: 'client-cert' }, ['BROKER_CLIENT_CERT_HEADER'], 'no proxies'],
    [
      { ...ca, BROKER_TRUSTED_PROXIES: 'x', PORT: 'x' },
      ['PORT', 'BROKER_TRUSTED_PROXIES', 'BROKER_CLIENT_CERT_HEADER'],
      'reported together with the other errors',
    ],
    [proxies, [], 'proxies that forward addresses only'],
  ]
  for (const [environment, errors, why] of headers) {
    test(`${errors.join(', ') || 'no error'}: ${why}`, () =>
      assert.deepEqual(invalidNames({ ...least, ...environment }), errors))
  }

  test('from nowhere is an error, since the setting would have no effect', () => {
    assert.deepEqual(invalidNames({ ...least, ...ca }), ['TLS_CLIENT_CA_FILE'])
  })

  const networks: readonly [text: string, errors: number, why: string][] = [
    ['10.0.0.0/8', 0, 'a network'],
    ['10.0.0.7', 0, 'an address'],
    [' 10.0.0.7 , 2001:db8::/32,::1', 0, 'a list, with spaces, and IPv6'],
    ['10.0.0.0/32', 0, 'one address as a network'],
    ['::1/128', 0, 'one IPv6 address as a network'],
    ['64.0.0.0/2', 0, 'a quarter of all IPv4 addresses'],
    ['fc00::/7', 0, 'the private IPv6 addresses'],
    ['10.0.0.0/8,10.0.0.0/9,::ffff:10.0.0.0/104', 0, 'the same network again and again'],
    ['128.0.0.0/1', 1, 'half of all IPv4 addresses'],
    ['0.0.0.0/1,128.0.0.0/1', 2, 'every address in two halves'],
    ['0.0.0.0/2,64.0.0.0/2,128.0.0.0/2,192.0.0.0/2', 1, 'every address in four quarters'],
    ['0.0.0.0/2,200.0.0.0/5,128.0.0.0/2', 1, 'more than half, in pieces that do not touch'],
    ['::ffff:0:0/96', 1, 'every IPv4 address as IPv6 writes it'],
    ['::ffff:0.0.0.0/97', 1, 'half of them'],
    ['::/64', 1, 'a network around them'],
    ['::ffff:0:0/98,128.0.0.0/2', 1, 'a quarter in each form'],
    ['2000::/3', 1, 'every public IPv6 address'],
    ['2000::/4,3000::/4', 1, 'the same in two halves'],
    ['0.0.0.0/0', 1, 'every address'],
    ['::/0', 1, 'every IPv6 address'],
    ['10.0.0.0/00', 1, 'zero in two digits'],
    ['10.0.0.0/33', 1, 'too long a prefix'],
    ['::1/129', 1, 'too long an IPv6 prefix'],
    ['10.0.0.0/', 1, 'an empty prefix'],
    ['10.0.0.0/8/8', 1, 'two prefixes'],
    ['10.0.0.0/-1', 1, 'a negative one'],
    ['10.0.0.0/8.0', 1, 'a broken one'],
    ['10.0.0', 1, 'three bytes'],
    ['10.0.0.0/255.0.0.0', 1, 'a mask'],
    ['proxy.internal', 1, 'a name'],
    ['fe80::1%eth0', 1, 'a zone'],
    ['*', 1, 'a star'],
    ['10.0.0.1,,10.0.0.2', 1, 'an empty entry'],
    ['x,y', 2, 'every entry that is wrong'],
  ]
  for (const [text, errors, why] of networks) {
    test(`${text}: ${why}`, () => {
      assert.deepEqual(
        invalidNames({ ...least, BROKER_TRUSTED_PROXIES: text }),
        Array(errors).fill('BROKER_TRUSTED_PROXIES'),
      )
    })
  }
})

describe('the management listener', () => {
  const tls = { TLS_CERT_FILE: '/cert.pem', TLS_KEY_FILE: '/key.pem' }
  const proxy = { BROKER_BEHIND_TLS_PROXY: 'true' }
  type Listener = { readonly host: string; readonly port: number } | undefined
  const accepted: readonly [environment: Environment, listener: Listener, why: string][] = [
    [{}, undefined, 'off by default'],
    [{ MANAGEMENT_PORT: '' }, undefined, 'empty is absent'],
    [{ MANAGEMENT_PORT: '9090' }, { host: '127.0.0.1', port: 9090 }, 'on loopback'],
    [{ MANAGEMENT_PORT: '65535' }, { host: '127.0.0.1', port: 65_535 }, 'the most'],
    [{ MANAGEMENT_PORT: '9090', ...tls }, { host: '127.0.0.1', port: 9090 }, 'on loopback, with TLS too'],
    [{ MANAGEMENT_PORT: '9090', ...proxy }, { host: '127.0.0.1', port: 9090 }, 'on loopback, behind a proxy too'],
    [{ MANAGEMENT_PORT: '9090', MANAGEMENT_HOST: '::1' }, { host: '::1', port: 9090 }, 'loopback in IPv6'],
    [{ MANAGEMENT_PORT: '9090', MANAGEMENT_HOST: '0.0.0.0', ...tls }, { host: '0.0.0.0', port: 9090 }, 'under TLS'],
    [
      { MANAGEMENT_PORT: '9090', MANAGEMENT_HOST: '::', ...proxy },
      { host: '::', port: 9090 },
      'a proxy terminates TLS',
    ],
    [{ MANAGEMENT_PORT: '0', PORT: '0' }, { host: '127.0.0.1', port: 0 }, 'the system chooses both'],
    [{ MANAGEMENT_PORT: '8080', PORT: '8443' }, { host: '127.0.0.1', port: 8080 }, 'the default of a PORT that is set'],
  ]
  for (const [environment, listener, why] of accepted)
    test(`${JSON.stringify(environment)}: ${why}`, () => {
      assert.deepEqual(readConfig({ ...least, ...environment }).management, listener)
    })

  const refused: readonly [environment: Environment, name: string, why: string][] = [
    [{ MANAGEMENT_HOST: '127.0.0.1' }, 'MANAGEMENT_HOST', 'a host without a port would be ignored silently'],
    [{ MANAGEMENT_PORT: '8080' }, 'MANAGEMENT_PORT', 'the default of PORT'],
    [{ MANAGEMENT_PORT: '9090', PORT: '9090' }, 'MANAGEMENT_PORT', 'PORT too'],
    [{ MANAGEMENT_PORT: '65536' }, 'MANAGEMENT_PORT', 'above the most'],
    [{ MANAGEMENT_PORT: '-1' }, 'MANAGEMENT_PORT', 'negative'],
    [{ MANAGEMENT_PORT: 'on' }, 'MANAGEMENT_PORT', 'not a number'],
    [{ MANAGEMENT_PORT: '9090', MANAGEMENT_HOST: '0.0.0.0' }, 'MANAGEMENT_HOST', 'plain http on every address'],
    [{ MANAGEMENT_PORT: '9090', MANAGEMENT_HOST: '10.0.0.1' }, 'MANAGEMENT_HOST', 'plain http beyond loopback'],
  ]
  for (const [environment, name, why] of refused)
    test(`${JSON.stringify(environment)} is refused: ${why}`, () => {
      assert.deepEqual(invalidNames({ ...least, ...environment }), [name])
    })

  test('what Kubernetes injects for a Service named "management" opens none, and causes a warning', () => {
    const { management, warnings } = readConfig({ ...least, MANAGEMENT_PORT: 'tcp://10.0.0.1:9090' })
    assert.equal(management, undefined)
    assert.match(warnings.join(), /^MANAGEMENT_PORT=tcp:.* Kubernetes Service and is ignored/)
  })
})

test('localhost becomes one address: Fastify would open a server for each, and renew TLS in one only', () => {
  const hosts = { HOST: 'localhost', MANAGEMENT_HOST: 'localhost', MANAGEMENT_PORT: '9090' }
  for (const more of [{}, { TLS_CERT_FILE: '/cert.pem', TLS_KEY_FILE: '/key.pem' }]) {
    const { host, management } = readConfig({ ...least, ...more, ...hosts })
    assert.deepEqual([host, management?.host], ['127.0.0.1', '127.0.0.1'])
  }
})
