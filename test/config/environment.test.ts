import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import { type Environment, EnvironmentReader } from '../../src/config/environment.ts'
import { encodeKey } from '../../src/broker/authentication/api-keys.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'

describe('a whole number', () => {
  const table: readonly [value: string | undefined, expected: number | undefined, why: string][] = [
    [undefined, 7, 'absent: the default'],
    ['', 7, 'empty is absent'],
    ['1', 1, 'the least'],
    ['100', 100, 'the most'],
    ['007', 7, 'leading zeros'],
    ['0', undefined, 'below the least'],
    ['101', undefined, 'above the most'],
    ['-1', undefined, 'negative'],
    ['1.5', undefined, 'a fraction'],
    ['1e1', undefined, 'an exponent'],
    ['0x10', undefined, 'hexadecimal'],
    [' 5', undefined, 'a space'],
    ['5s', undefined, 'a unit'],
    ['５', undefined, 'a digit of another script'],
    ['NaN', undefined, 'not a number'],
    ['Infinity', undefined, 'not a whole number'],
    ['99999999999999999999', undefined, 'more digits than a number has'],
  ]
  for (const [value, expected, why] of table) {
    test(`${JSON.stringify(value)} is ${expected ?? 'refused'}: ${why}`, () => {
      const read = new EnvironmentReader({ SIZE: value })
      const number = read.integer('SIZE', 7, 1, 100)
      if (expected !== undefined) assert.equal(number, expected)
      assert.deepEqual(
        read.errors.map(({ where }) => where),
        expected === undefined ? ['SIZE'] : [],
      )
    })
  }
})

describe('a boolean', () => {
  const table: readonly [value: string | undefined, expected: boolean, errors: number, why: string][] = [
    ['true', true, 0, 'true'],
    ['false', false, 0, 'false'],
    [undefined, false, 0, 'absent is false'],
    ['', false, 0, 'empty is absent'],
    ['TRUE', false, 1, 'case counts'],
    ['1', false, 1, 'a number'],
    ['yes', false, 1, 'a word'],
  ]
  for (const [value, expected, errors, why] of table) {
    test(`${JSON.stringify(value)}: ${why}`, () => {
      const read = new EnvironmentReader({ FLAG: value })
      assert.equal(read.boolean('FLAG'), expected)
      assert.equal(read.errors.length, errors)
    })
  }
})

describe('a choice', () => {
  const table: readonly [value: string | undefined, expected: string, errors: number, why: string][] = [
    [undefined, 'every', 0, 'absent: the first'],
    ['', 'every', 0, 'empty is absent'],
    ['summary', 'summary', 0, 'one of them'],
    ['Summary', 'every', 1, 'case counts'],
    ['toString', 'every', 1, 'an inherited property is not a choice'],
  ]
  for (const [value, expected, errors, why] of table) {
    test(`${JSON.stringify(value)}: ${why}`, () => {
      const read = new EnvironmentReader({ AUDIT: value })
      assert.equal(read.choice('AUDIT', ['every', 'summary']), expected)
      assert.equal(read.errors.length, errors)
    })
  }
})

const clientId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01'
const least: Environment = {
  BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: clientId,
  IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
  IDENTITY_HEADER: 'secret-header',
}

describe('the numbers of the configuration have limits', () => {
  const table: readonly [name: string, least: number, most: number][] = [
    ['PORT', 0, 65_535],
    ['MANAGEMENT_PORT', 0, 65_535],
    ['BROKER_CACHE_MAX_ENTRIES', 1, 10_000_000],
    ['BROKER_MIN_REMAINING_SECONDS', 0, 3_600],
    ['BROKER_UPSTREAM_TIMEOUT_MS', 100, 60_000],
    ['BROKER_DRAIN_SECONDS', 0, 600],
  ]
  for (const [name, fewest, most] of table) {
    test(`${name} from ${fewest} to ${most}`, () => {
      for (const value of [fewest, most])
        assert.deepEqual(configurationErrorsOf({ ...least, [name]: String(value) }), [])
      for (const value of [fewest - 1, most + 1])
        assert.equal(configurationErrorsOf({ ...least, [name]: String(value) }).length, 1)
    })
  }
})

describe('a Kubernetes Service named "broker" beside it', () => {
  const links: Environment = {
    BROKER_PORT: 'tcp://10.0.0.7:8080',
    BROKER_PORT_8080_TCP: 'tcp://10.0.0.7:8080',
    BROKER_PORT_8080_TCP_ADDR: '10.0.0.7',
    BROKER_PORT_8080_TCP_PORT: '8080',
    BROKER_PORT_8080_TCP_PROTO: 'tcp',
    BROKER_SERVICE_HOST: '10.0.0.7',
    BROKER_SERVICE_PORT: '8080',
  }

  test('changes nothing, and causes a warning for each variable', () => {
    const config = readConfig({ ...least, ...links })
    assert.equal(config.port, 8080)
    assert.equal(config.warnings.length, Object.keys(links).length)
    assert.ok(config.warnings.some(warning => warning.startsWith('BROKER_PORT comes from a Kubernetes Service')))
  })

  test('is not taken for a number of the same name', () => {
    const config = readConfig({ ...least, PORT: 'tcp://10.0.0.7:80', BROKER_DRAIN_SECONDS: 'udp://10.0.0.7:1' })
    assert.deepEqual([config.port, config.drainSeconds], [8080, 10])
    assert.equal(config.warnings.length, 2)
    for (const warning of config.warnings) assert.match(warning, /enableServiceLinks: false/)
  })
})

describe('the identity', () => {
  const refused: readonly [changes: Environment, what: RegExp, why: string][] = [
    [
      { BROKER_IDENTITY_CLIENT_ID: 'identity' },
      /^BROKER_IDENTITY_CLIENT_ID: must be a GUID; got "identity"$/,
      'a name',
    ],
    [{ IDENTITY_ENDPOINT: 'localhost:42356' }, /^IDENTITY_ENDPOINT: must be an http/, 'not an http URL'],
    [{ IDENTITY_ENDPOINT: 'file:///etc' }, /^IDENTITY_ENDPOINT: must be an http/, 'a file'],
    [
      { BROKER_IDENTITY_SOURCE: 'secret' },
      /^BROKER_IDENTITY_SOURCE: must be one of .*; got "secret"$/,
      'an unknown source',
    ],
    [{ IDENTITY_SERVER_THUMBPRINT: 'x' }, /^IDENTITY_SERVER_THUMBPRINT: .*unset/, 'Service Fabric in its place'],
  ]
  for (const [changes, what, why] of refused) {
    test(`${Object.keys(changes).join()} is refused: ${why}`, () => {
      const [error, ...others] = configurationErrorsOf({ ...least, ...changes })
      assert.match(error ?? '', what)
      assert.deepEqual(others, [])
    })
  }

  test('if there is an AKS token file but no identity endpoint, workload-identity is suggested', () => {
    const { IDENTITY_ENDPOINT: _, ...rest } = least
    const [error] = configurationErrorsOf({ ...rest, AZURE_FEDERATED_TOKEN_FILE: '/token' })
    assert.match(error ?? '', /BROKER_IDENTITY_SOURCE=workload-identity/)
  })

  test('on AKS the home tenant is a GUID', () => {
    const environment = {
      BROKER_POLICY_FILE: '/policy.yaml',
      BROKER_IDENTITY_SOURCE: 'workload-identity',
      AZURE_TENANT_ID: 'contoso.onmicrosoft.com',
      AZURE_FEDERATED_TOKEN_FILE: '/token',
    }
    assert.match(
      configurationErrorsOf(environment).join(),
      /^AZURE_TENANT_ID: must be a GUID; got "contoso\.onmicrosoft\.com"$/,
    )
  })
})

describe('a credential in the place of any other value is an error, and not repeated', () => {
  const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
  const key = encodeKey(Buffer.alloc(32, 7))
  const managed = { BROKER_POLICY_FILE: 'p', IDENTITY_ENDPOINT: 'http://x', IDENTITY_HEADER: jwt }
  const names = ['HOST', 'PORT', 'TLS_CERT_FILE', 'BROKER_TRUSTED_PROXIES', 'BROKER_PUBLIC_URL', 'BROKER_AUTHORITY']
  for (const name of [...names, 'BROKER_POLICY_FILE', 'BROKER_IDENTITY_CLIENT_ID', 'LOG_LEVEL', 'IDENTITY_ENDPOINT'])
    for (const value of [jwt, key, `tcp://${jwt}`])
      test(`${name}=${value.slice(0, 9)}…`, () => {
        const errors = configurationErrorsOf({ ...managed, [name]: value }).filter(error => error.startsWith(name))
        const hint = name.endsWith('_FILE')
          ? /; give the path of a file that contains it$/
          : /which does not belong here$/
        assert.match(errors[0] ?? '', hint)
        assert.ok(!/eyJ|tb_/.test(errors.join('\n')), errors.join('\n'))
      })

  test('IDENTITY_HEADER is a secret, so it may look like one, and is not repeated', () => {
    const errors = configurationErrorsOf(managed).join('\n')
    assert.doesNotMatch(errors, /IDENTITY_HEADER|eyJ/)
  })
})
