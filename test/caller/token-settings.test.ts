import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readTokenSettings } from '../../src/caller/token-settings.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'

type Given = Readonly<Record<string, string | boolean | undefined>>

const graph = 'https://graph.microsoft.com/.default'
const least: Given = { broker: 'https://broker.example', tenant: 'contoso', scope: graph, 'token-file': '/token' }
const platform = { IDENTITY_ENDPOINT: 'http://127.0.0.1:42356/msi/token', IDENTITY_HEADER: 'x' }
const managed: Given = { ...least, 'token-file': undefined, 'managed-identity': true, audience: 'api://broker' }

function errorsOf(given: Given, environment: Readonly<Record<string, string>> = {}): readonly string[] {
  try {
    readTokenSettings(given, environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError, String(thrown))
    return thrown.errors.map(({ where, what }) => `${where}: ${what}`)
  }
}

test('the required flags leave everything else at its default', () => {
  assert.deepEqual(readTokenSettings(least, {}), {
    broker: 'https://broker.example',
    requested: { tenant: 'contoso', scope: graph, application: 'default' },
    credential: { tokenFile: '/token', apiKeyFile: undefined, certificate: undefined, caFile: undefined },
    identity: undefined,
    output: 'token',
    proxy: undefined,
    warnings: [],
  })
})

test('without any flag, all missing ones are reported together', () => {
  const names = errorsOf({}).map(error => error.split(':')[0])
  assert.deepEqual(names, ['--broker', '--tenant', '--scope', '--token-file'])
})

test('ids are compared in lower case, as the broker repeats them', () => {
  const id = '6F3C0B1E-0000-4000-8000-000000000001'
  const { requested } = readTokenSettings({ ...least, tenant: id, application: id }, {})
  assert.deepEqual([requested.tenant, requested.application], [id.toLowerCase(), id.toLowerCase()])
})

describe('a credential is not sent to such a broker', () => {
  for (const [broker, why] of [
    ['http://broker.example', 'plain http beyond loopback: everyone on the way reads the credential'],
    ['http://127.0.0.1.example', 'a name that only begins like loopback'],
    ['http://localhost.example', 'the same'],
    ['https://user:pass@broker.example', 'a password in the URL, which lists of processes show'],
    ['https://broker.example/tokens', 'a path, which would be dropped'],
    ['broker.example', 'no URL'],
    ['ftp://broker.example', 'another protocol'],
  ] as const)
    test(`${broker}: ${why}`, () => {
      assert.match(errorsOf({ ...least, broker }).join(), /^--broker: must be an https URL \(http on loopback only\)/)
    })

  for (const broker of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080'])
    test(`${broker} is loopback`, () => assert.deepEqual(errorsOf({ ...least, broker }), []))
})

const invalid: readonly (readonly [given: Given, error: RegExp, why: string])[] = [
  [{ scope: 'https://graph.microsoft.com/User.Read' }, /^--scope: must be <resource>\/\.default/, 'one permission'],
  [{ scope: 'openid profile' }, /^--scope: must be/, 'two scopes'],
  [{ tenant: 'common' }, /^--tenant: must be/, "Entra's reserved word"],
  [{ application: 'Default' }, /^--application: must be/, 'names are in lower case'],
  [{ output: 'yaml' }, /^--output: must be one of token, json, .*; got "yaml"$/, 'an unknown format'],
  [{ 'api-key-file': '/key' }, /^--api-key-file: cannot be combined with --token-file/, 'two credentials'],
  [{ cert: '/cert' }, /^--key: is required with --cert$/, 'half a certificate'],
  [{ audience: 'api://x' }, /^--audience: has no effect without --managed-identity$/, 'an audience for a file'],
  [{ 'client-id': 'x' }, /^--client-id: has no effect without --managed-identity$/, 'an identity for a file'],
]
describe('invalid flags', () => {
  for (const [changes, error, why] of invalid)
    test(`${why}: ${JSON.stringify(changes)}`, () => {
      const found = errorsOf({ ...least, ...changes })
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', error)
    })
})

describe('--managed-identity', () => {
  test('takes the endpoint of the platform, and is a credential alone', () => {
    assert.deepEqual(readTokenSettings(managed, platform).identity, {
      audience: 'api://broker',
      clientId: undefined,
      endpoint: platform.IDENTITY_ENDPOINT,
    })
  })

  test('cannot be combined with a file', () => {
    assert.match(
      errorsOf({ ...managed, 'token-file': '/t' }, platform).join(),
      /^--managed-identity: cannot be combined/,
    )
  })

  test('needs the two variables of the platform, except to print a curl command', () => {
    const names = errorsOf(managed).map(error => error.split(':')[0])
    assert.deepEqual(names, ['IDENTITY_ENDPOINT', 'IDENTITY_HEADER'])
    assert.deepEqual(errorsOf({ ...managed, output: 'curl' }), [])
  })

  for (const [audience, why] of [
    [undefined, 'without one, the platform returns a token for nothing'],
    ['api://broker/.default', 'that is a scope'],
    ['two words', 'white space'],
    ['api://AzureADTokenExchange', 'the broker would receive the credential of an application'],
    ['API://AzureADTokenExchangeUSGov/', 'the same in another cloud, written differently'],
    ['fb60f99c-7a34-4190-8149-302f77469936', 'the same by its client id'],
  ] as const)
    test(`refuses the audience ${audience}: ${why}`, () => {
      const errors = errorsOf({ ...managed, audience }, platform)
      assert.equal(errors.length, 1)
      assert.match(errors[0] ?? '', /^--audience: /)
    })

  test('refuses a client id that is none', () => {
    assert.match(errorsOf({ ...managed, 'client-id': 'billing' }, platform).join(), /^--client-id: must be a GUID/)
  })
})
