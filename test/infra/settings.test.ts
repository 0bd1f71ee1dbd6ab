import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { membersOf } from '../../src/broker/lib/json-members.ts'
import { clouds } from '../../src/config/clouds.ts'
import { readConfig, type Config } from '../../src/config/config.ts'
import { read } from '../support/sources.ts'
import { at, compiled, full, listAt, small, snapshots } from './template.ts'

/** What the variables that are known at deployment only will be like. */
const atDeployment: Readonly<Record<string, { readonly form: RegExp; readonly value: string }>> = {
  BROKER_IDENTITY_CLIENT_ID: { form: /\.outputs\.clientId\.value\]$/, value: '10000000-0000-4000-8000-000000000001' },
  BROKER_AUTHORITY: { form: /parameters\('loginEndpoint'\)/, value: 'https://login.microsoftonline.com/' },
  BROKER_PUBLIC_URL: {
    form: /^\[format\('https:\/\/\{0\}', format\('\{0\}\.\{1\}\{2\}', 'token-broker', '(internal\.)?', .*defaultDomain/,
    value: 'https://token-broker.internal.example-12345678.westeurope.azurecontainerapps.io',
  },
  BROKER_REDIS_URL: {
    form: /\.outputs\.url\.value\]$/,
    value: 'rediss://token-broker.westeurope.redis.azure.net:10000',
  },
}

/** The variables of the broker's container, as it gets them. */
function environmentOf(snapshot: typeof small): Readonly<Record<string, string>> {
  const containers = listAt(snapshot.one('Microsoft.App/containerApps'), 'properties', 'template', 'containers')
  const variables = listAt(containers[0], 'env').map(({ name, value }) => {
    const text = String(value)
    if (!text.startsWith('[')) return [String(name), text] as const
    const { form, value: example = '' } = atDeployment[String(name)] ?? {}
    assert.ok(form?.test(text), `${String(name)}: ${text}`)
    return [String(name), example] as const
  })
  return Object.fromEntries(variables)
}

/** Reads the configuration as the broker does, and says which variables it looked at. */
function configure(environment: Readonly<Record<string, string>>): { config: Config; looked: ReadonlySet<string> } {
  const looked = new Set<string>()
  const platform = { IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token', IDENTITY_HEADER: 'a-header' }
  const watched = new Proxy(
    { ...platform, ...environment },
    {
      get: (target, name) => {
        looked.add(String(name))
        return Reflect.get(target, name)
      },
    },
  )
  return { config: readConfig(watched), looked }
}

for (const snapshot of snapshots)
  describe(`the variables of the broker, with the ${snapshot === small ? 'small' : 'full'} set of parameters`, () => {
    const environment = environmentOf(snapshot)
    const { config, looked } = configure(environment)

    test('are settings that the broker knows, with values that it accepts without a warning', () => {
      assert.deepEqual(config.warnings, [])
      for (const name of Object.keys(environment)) assert.ok(looked.has(name), `${name} is not a setting`)
    })

    test('name the files that are mounted', () => {
      const template = at(snapshot.one('Microsoft.App/containerApps'), 'properties', 'template')
      const [{ volumeName, mountPath } = {}] = listAt(template, 'containers', 0, 'volumeMounts')
      const volume = listAt(template, 'volumes').find(({ name }) => name === volumeName)
      const paths = listAt(volume, 'secrets').map(({ path }) => `${String(mountPath)}/${String(path)}`)
      const named = [config.policyFile, config.redis?.keyFile].filter(each => each !== undefined)
      assert.deepEqual(paths, named)
    })

    test('let the broker listen where ingress and probes reach it', () =>
      assert.deepEqual([config.host, config.port], ['0.0.0.0', 8080]))
  })

test('the full set configures Redis with the identity, traces to the collector, and the settings of its own', () => {
  const { config } = configure(environmentOf(full))
  assert.deepEqual(config.redis?.auth, { kind: 'entra' })
  assert.equal(config.redis?.isEncrypted, true)
  assert.equal(config.tracing?.url, 'http://localhost:4318/v1/traces')
  assert.deepEqual([config.cacheMaxEntries, config.drainSeconds, config.audit], [100_000, 20, 'summary'])
  assert.equal(config.proxy?.shownUrl, 'http://proxy.example:3128')
  assert.equal(config.dashboard?.clientId, '80000000-0000-4000-8000-000000000001')
})

test('the parameter settings has settings only, each of which becomes a variable of the same name', () => {
  const { properties } = membersOf(at(compiled, 'definitions', 'settingsType'))
  const names = Object.keys(membersOf(properties))
  const { looked } = configure(environmentOf(small))
  assert.ok(names.length >= 10)
  for (const name of names) {
    assert.ok(looked.has(name), name)
    assert.ok(name in environmentOf(small), name)
  }
})

test('the choices of audit and logLevel are those of the broker', () => {
  const valuesOf = (name: string) => at(compiled, 'parameters', name, 'allowedValues') as string[]
  for (const audit of valuesOf('audit'))
    assert.equal(configure({ ...environmentOf(small), BROKER_AUDIT: audit }).config.audit, audit)
  for (const logLevel of valuesOf('logLevel'))
    assert.equal(configure({ ...environmentOf(small), LOG_LEVEL: logLevel }).config.logLevel, logLevel)
})

test("Azure's clouds have the authority and the audience that the broker has", () => {
  const source = read('infra/modules/clouds.bicep')
  const audiences = [...source.matchAll(/^ {2}(Azure\w+): '(api:\S+)'$/gm)].map(([, , audience = '']) => audience)
  assert.deepEqual(audiences, [...clouds.values()].slice(0, audiences.length))
  assert.equal(audiences.length, 3)
  const [, china = ''] = /'AzureChinaCloud' \? '(\S+)\/' :/.exec(source) ?? []
  assert.equal(clouds.get(china), audiences[2])
})
