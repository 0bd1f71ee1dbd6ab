import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import { type ConfigurationError, InvalidConfigurationError } from '../../src/errors.ts'
import type { Environment } from '../../src/config/environment.ts'

const clientId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01'
const homeTenant = '1A2B3C4D-5E6F-4A7B-8C9D-0E1F2A3B4C03'

/** The required variables, as Container Apps sets them. */
const least: Environment = {
  BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: clientId,
  IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
  IDENTITY_HEADER: 'secret-header',
}

const workload: Environment = {
  BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
  BROKER_IDENTITY_SOURCE: 'workload-identity',
  AZURE_TENANT_ID: homeTenant,
  AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
}

function errorsOf(environment: Environment): readonly ConfigurationError[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors
  }
}

const invalidNames = (environment: Environment): readonly string[] => errorsOf(environment).map(({ where }) => where)

describe('the required variables', () => {
  test('leave everything else at its default', () => {
    const config = readConfig(least)
    assert.deepEqual(config, {
      host: '127.0.0.1',
      port: 8080,
      tls: undefined,
      clientCaFile: undefined,
      trustedProxies: [],
      clientCertHeader: undefined,
      management: undefined,
      publicUrl: undefined,
      policyFile: '/etc/token-broker/policy.yaml',
      authority: 'https://login.microsoftonline.com',
      identity: {
        source: 'managed-identity',
        clientId,
        endpoint: 'http://localhost:42356/msi/token',
        header: 'secret-header',
        audience: 'api://AzureADTokenExchange',
      },
      proxy: undefined,
      redis: undefined,
      tracing: undefined,
      metricsExport: undefined,
      dashboard: undefined,
      cacheMaxEntries: 10_000,
      minRemainingSeconds: 60,
      upstreamTimeoutMs: 5_000,
      upstreamConcurrency: 64,
      drainSeconds: 10,
      audit: 'every',
      logLevel: 'info',
      warnings: [],
    })
    assert.ok(Object.isFrozen(config))
  })

  test('on AKS, the home tenant is turned into lower case', () => {
    assert.deepEqual(readConfig(workload).identity, {
      source: 'workload-identity',
      tokenFile: workload['AZURE_FEDERATED_TOKEN_FILE'],
      homeTenant: homeTenant.toLowerCase(),
    })
  })

  const required: readonly (readonly [environment: Environment, name: string])[] = [
    ...Object.keys(least).map(name => [least, name] as const),
    [workload, 'AZURE_TENANT_ID'],
    [workload, 'AZURE_FEDERATED_TOKEN_FILE'],
  ]
  for (const [environment, name] of required) {
    test(`${name} is required, and empty is absent`, () => {
      assert.deepEqual(invalidNames({ ...environment, [name]: undefined }), [name])
      assert.deepEqual(invalidNames({ ...environment, [name]: '' }), [name])
    })
  }

  test('without any variable, all missing ones are reported together', () => {
    assert.deepEqual(invalidNames({}).toSorted(), Object.keys(least).toSorted())
  })
})

test('all errors are reported together, without any secret', () => {
  const environment: Environment = {
    ...least,
    BROKER_POLICY_FILE: '',
    BROKER_IDENTITY_CLIENT_ID: 'not-a-guid',
    IDENTITY_ENDPOINT: 'secret-header',
    HOST: '0.0.0.0',
    PORT: '70000',
    TLS_CERT_FILE: '',
    BROKER_AUTHORITY: 'http://login.microsoftonline.com',
    BROKER_CACHE_MAX_ENTRIES: '0',
    BROKER_MIN_REMAINING_SECONDS: '-1',
    BROKER_UPSTREAM_TIMEOUT_MS: '5s',
    BROKER_DRAIN_SECONDS: '601',
    BROKER_AUDIT: 'none',
    LOG_LEVEL: 'verbose',
    BROKER_BEHIND_TLS_PROXY: 'yes',
    BROKER_UNSAFE_AUTHORITY: '1',
    IDENTITY_SERVER_THUMBPRINT: '0a',
  }
  const { IDENTITY_HEADER: _header, TLS_CERT_FILE: _empty, ...invalid } = environment
  assert.deepEqual(invalidNames(environment).toSorted(), Object.keys(invalid).toSorted())
  assert.throws(
    () => readConfig(environment),
    (thrown: Error) => !thrown.message.includes('secret-header'),
  )
})

describe('where it listens', () => {
  const tls = { TLS_CERT_FILE: '/cert.pem', TLS_KEY_FILE: '/key.pem' }
  const proxy = { BROKER_BEHIND_TLS_PROXY: 'true' }
  const accepted: readonly [environment: Environment, host: string, why: string][] = [
    [{}, '127.0.0.1', 'plain http stays on loopback'],
    [tls, '0.0.0.0', 'TLS at the broker'],
    [proxy, '0.0.0.0', 'a proxy terminates TLS'],
    [{ ...tls, HOST: '10.0.0.1' }, '10.0.0.1', 'TLS on one address'],
    [{ HOST: 'localhost' }, '127.0.0.1', 'loopback by name'],
    [{ HOST: '::1' }, '::1', 'loopback of IPv6'],
    [{ HOST: '127.1.2.3' }, '127.1.2.3', 'all of 127.0.0.0/8 is loopback'],
  ]
  for (const [environment, host, why] of accepted) {
    test(`${host}: ${why}`, () => assert.equal(readConfig({ ...least, ...environment }).host, host))
  }

  const refused: readonly [environment: Environment, why: string][] = [
    [{ HOST: '0.0.0.0' }, 'every address'],
    [{ HOST: '::' }, 'every address of IPv6'],
    [{ HOST: '10.0.0.1' }, 'a private address is not loopback'],
    [{ HOST: '127.0.0.1.example.com' }, 'a name that begins like loopback'],
    [{ HOST: 'localhost.example.com' }, 'a name that begins like localhost'],
    [{ HOST: '1127.0.0.1' }, 'an address that ends like loopback'],
    [{ HOST: '0.0.0.0', BROKER_BEHIND_TLS_PROXY: 'false' }, 'the variable says that there is no proxy'],
  ]
  for (const [environment, why] of refused) {
    test(`plain http is refused on ${environment['HOST']}: ${why}`, () => {
      assert.deepEqual(invalidNames({ ...least, ...environment }), ['HOST'])
    })
  }

  test('a certificate needs its key, and a key its certificate', () => {
    assert.deepEqual(readConfig({ ...least, ...tls }).tls, { certFile: '/cert.pem', keyFile: '/key.pem' })
    assert.deepEqual(invalidNames({ ...least, TLS_CERT_FILE: '/cert.pem' }), ['TLS_KEY_FILE'])
    assert.deepEqual(invalidNames({ ...least, TLS_KEY_FILE: '/key.pem' }), ['TLS_CERT_FILE'])
  })
})

describe('the authority, to which the identity token is sent', () => {
  const clouds: readonly [authority: string, audience: string][] = [
    ['https://login.microsoftonline.com', 'api://AzureADTokenExchange'],
    ['https://login.microsoftonline.us', 'api://AzureADTokenExchangeUSGov'],
    ['https://login.partner.microsoftonline.cn', 'api://AzureADTokenExchangeChina'],
    ['https://login.sovcloud-identity.fr', 'api://AzureADTokenExchangeFrance'],
    ['https://login.sovcloud-identity.de', 'api://AzureADTokenExchangeGermany'],
    ['https://login.sovcloud-identity.sg', 'api://AzureADTokenExchangeGovSG'],
    ['https://LOGIN.microsoftonline.us:443/', 'api://AzureADTokenExchangeUSGov'],
  ]
  for (const [authority, audience] of clouds) {
    test(`${authority} has the audience ${audience}`, () => {
      const config = readConfig({ ...least, BROKER_AUTHORITY: authority })
      assert.equal(config.authority, authority.toLowerCase().replace(/(:443)?\/?$/, ''))
      assert.ok(config.identity.source === 'managed-identity')
      assert.equal(config.identity.audience, audience)
    })
  }

  test('BROKER_IDENTITY_AUDIENCE overrides the default', () => {
    const { identity } = readConfig({ ...least, BROKER_IDENTITY_AUDIENCE: 'api://own' })
    assert.ok(identity.source === 'managed-identity')
    assert.equal(identity.audience, 'api://own')
  })

  const refused: readonly [authority: string, unsafe: string, why: string][] = [
    ['https://login.example.com', 'false', "a host that is none of Entra's"],
    ['https://login.microsoftonline.com.example.com', 'false', "a host that begins like one of Entra's"],
    ['https://login.sovcloud-identity.com', 'false', 'a host that begins like that of a sovereign cloud'],
    ['https://contoso.ciamlogin.com', 'false', 'a host of External ID'],
    ['https://login.microsoftonline.com:8443', 'false', 'another port'],
    ['https://login.windows.net', 'false', 'an alias'],
    ['http://login.microsoftonline.com', 'true', 'plain http, even with BROKER_UNSAFE_AUTHORITY'],
    ['http://127.0.0.1:8443', 'true', 'plain http on loopback: the SDK refuses it'],
    ['https://login.microsoftonline.com/common', 'true', 'a path'],
    ['https://login.microsoftonline.com?a', 'true', 'a query'],
    ['https://login.microsoftonline.com#a', 'true', 'a fragment'],
    ['https://user:word@login.microsoftonline.com', 'true', 'a password'],
    ['https://login.microsoftonline.com@example.com', 'true', 'a host in place of the user name'],
    ['login.microsoftonline.com', 'true', 'no scheme'],
    ['javascript:alert(1)', 'true', 'not a URL of a host'],
  ]
  for (const [authority, unsafe, why] of refused) {
    test(`${authority} is refused: ${why}`, () => {
      const environment = { ...least, BROKER_AUTHORITY: authority, BROKER_UNSAFE_AUTHORITY: unsafe }
      assert.deepEqual(invalidNames(environment), ['BROKER_AUTHORITY'])
    })
  }

  test('an emulator is accepted with BROKER_UNSAFE_AUTHORITY', () => {
    const environment = { ...least, BROKER_AUTHORITY: 'https://localhost:8443', BROKER_UNSAFE_AUTHORITY: 'true' }
    assert.equal(readConfig(environment).authority, 'https://localhost:8443')
  })
})
