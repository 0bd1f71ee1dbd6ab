import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { isObject } from '../../src/broker/lib/json-members.ts'
import { type Config, readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { temporalities } from '../../src/config/metrics-export.ts'
import { samplers } from '../../src/config/tracing.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { aks, managed, namesRead, platform, workload } from '../support/settings.ts'
import { blocksOf, rowsOf, sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const page = read('docs/configuration.md')
const rows = rowsOf(sectionOf(page, '## All settings'))

const redis: Environment = { BROKER_REDIS_URL: 'rediss://redis.example', BROKER_CACHE_KEY_FILE: 'cache-keys' }

/** An environment in which the setting is read. */
const around = (name: string): Environment => ({
  ...(name.startsWith('AZURE_') ? workload : managed),
  ...(name === 'MANAGEMENT_HOST' && { MANAGEMENT_PORT: '9090' }),
  ...(name.startsWith('OTEL_') && { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' }),
  ...(name.startsWith('BROKER_REDIS_') && name !== 'BROKER_REDIS_URL' && redis),
})

describe('docs/configuration.md names', () => {
  test('every variable that is read: settings in the table and under a heading, refused variables in their own table', () => {
    const refused = rowsOf(sectionOf(page, '## Variables of Node.js and MSAL')).map(([name]) => name ?? '')
    const settings = rows.map(([name]) => name ?? '')
    // They are read for a warning only.
    const withoutEffect = ['HTTP_PROXY', 'ALL_PROXY']
    assert.ok(page.includes('`HTTP_PROXY` and `ALL_PROXY` have no effect'))
    assert.deepEqual([...settings, ...refused, ...withoutEffect].toSorted(), namesRead())
    const headings = [...page.matchAll(/^### `([A-Z_]+)`$/gm)].map(([, name]) => name ?? '')
    assert.deepEqual(headings.toSorted(), settings.toSorted())
    for (const name of refused) assert.equal(configurationErrorsOf({ ...managed, [name]: '0' }).length, 1, name)
  })

  test('the hosts and audiences of the clouds', () => {
    const clouds = [...sectionOf(page, '### `BROKER_AUTHORITY`').matchAll(/^\| .+ \| `(.+)` \| `(.+)` \|$/gm)]
    assert.equal(clouds.length, 6)
    for (const [, authority = '', audience] of clouds) {
      const { identity } = readConfig({ ...managed, BROKER_AUTHORITY: authority })
      assert.equal(identity.source === 'managed-identity' && identity.audience, audience)
    }
    assert.match(
      configurationErrorsOf({ ...managed, BROKER_AUTHORITY: 'https://x' })[0] ?? '',
      /\((?:https:\S+, ){5}https:\S+\)/,
    )
  })
})

/** The value of the configuration that a default sets. */
const values: Readonly<Record<string, (config: Config) => unknown>> = {
  HOST: config => config.host,
  PORT: config => config.port,
  MANAGEMENT_HOST: config => config.management?.host,
  BROKER_AUTHORITY: config => config.authority,
  BROKER_IDENTITY_SOURCE: config => config.identity.source,
  BROKER_IDENTITY_AUDIENCE: config => config.identity.source === 'managed-identity' && config.identity.audience,
  BROKER_REDIS_AUTH: config => config.redis?.auth.kind,
  BROKER_CACHE_MAX_ENTRIES: config => config.cacheMaxEntries,
  BROKER_MIN_REMAINING_SECONDS: config => config.minRemainingSeconds,
  BROKER_UPSTREAM_TIMEOUT_MS: config => config.upstreamTimeoutMs,
  BROKER_UPSTREAM_CONCURRENCY: config => config.upstreamConcurrency,
  BROKER_DRAIN_SECONDS: config => config.drainSeconds,
  OTEL_EXPORTER_OTLP_PROTOCOL: config => config.tracing && 'http/protobuf',
  OTEL_SERVICE_NAME: config => config.tracing?.serviceName,
  OTEL_TRACES_SAMPLER: config => config.tracing?.ratio === 1 && samplers[0],
  OTEL_TRACES_SAMPLER_ARG: config => config.tracing?.ratio,
  OTEL_TRACES_EXPORTER: config => config.tracing && 'otlp',
  OTEL_METRICS_EXPORTER: config => config.metricsExport && 'otlp',
  OTEL_METRIC_EXPORT_INTERVAL: config => config.metricsExport?.intervalMs,
  OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: config =>
    config.metricsExport?.isDelta === false && temporalities[0],
  BROKER_AUDIT: config => config.audit,
  LOG_LEVEL: config => config.logLevel,
}

describe('the default is what the table says', () => {
  for (const [name = '', , cell = ''] of rows)
    test(`${name}: ${cell}`, () => {
      const absent = { ...around(name), [name]: undefined }
      if (cell === 'required')
        assert.match(configurationErrorsOf(absent).join('\n'), new RegExp(`^${name}: is required.*$`))
      else if (cell === '`false`') assert.deepEqual(readConfig(absent), readConfig({ ...absent, [name]: 'false' }))
      else if (cell !== '–') assert.equal(`\`${String(values[name]?.(readConfig(absent)))}\``, cell)
      else assert.deepEqual(configurationErrorsOf(absent), [])
    })
})

describe('the values are what the table says', () => {
  for (const [name = '', , , cell = ''] of rows)
    test(`${name}: ${cell}`, () => {
      const proxies = { BROKER_TRUSTED_PROXIES: '10.0.0.7', TLS_CLIENT_CA_FILE: '/clients.pem' }
      const needed = name === 'BROKER_CLIENT_CERT_HEADER' ? proxies : {}
      const faults = (value: string) => configurationErrorsOf({ ...around(name), ...needed, [name]: value })
      const [, least, most] = /whole number from (\d+) to (\d+)/.exec(faults('999999999').join()) ?? []
      const choices = /must be one of ([a-z_, -]+); got "\?"$/.exec(faults('?').join())?.[1]?.split(', ')
      const isSwitch = faults('?').join().endsWith('must be true or false; got "?"')
      const words = isSwitch ? ['true', 'false'] : choices
      if (least !== undefined && most !== undefined) {
        assert.equal(cell, `${least}…${most}`)
        for (const value of [least, most]) assert.deepEqual(faults(value), [])
        for (const value of [Number(least) - 1, Number(most) + 1]) assert.equal(faults(String(value)).length, 1)
      } else if (words !== undefined) assert.equal(cell, words.map(word => `\`${word}\``).join(', '))
      else assert.doesNotMatch(cell, /…|^`/)
    })
})

/** A `console` block's commands, each with the lines that follow it. */
const commands = blocksOf(page, 'console').flatMap(block =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map(text => text.trimEnd().split('\n')),
)

describe('the errors are those that the broker reports', () => {
  for (const [command = '', title, ...faults] of commands)
    test(command, () => {
      const [from = '', ...words] = command.split(' ')
      const assignments = [from, ...words].filter(word => /^[A-Z_]+=/.test(word)).map(word => word.split(/=(.*)/s))
      const said = Object.fromEntries(assignments.map(([name = '', value]) => [name, value]))
      assert.equal(title, 'token-broker: The broker cannot start:')
      assert.deepEqual(
        faults.map(fault => fault.trim()),
        configurationErrorsOf(from === 'env' ? said : { ...managed, ...said }),
      )
    })
})

/** The variables of every `env` list in a YAML text. */
function environmentOf(yaml: string): Environment {
  const found: Record<string, string> = {}
  const visit = (value: unknown): void => {
    if (!isObject(value)) return
    if (typeof value['name'] === 'string' && typeof value['value'] === 'string') found[value['name']] = value['value']
    Object.values(value).forEach(visit)
  }
  for (const document of parseAllDocuments(yaml)) visit(document.toJS())
  return found
}

describe('the examples start, without a warning', () => {
  const example = (heading: string, language: string) => blocksOf(sectionOf(page, heading), language)[0] ?? ''
  const local = example('## Local', 'sh').matchAll(/^(\w+)=(.+)$/gm)
  const examples: readonly (readonly [what: string, environment: Environment])[] = [
    ['Container Apps', { ...platform, ...environmentOf(example('## Container Apps', 'yaml')) }],
    ['Kubernetes and AKS', { ...aks, ...environmentOf(example('## Kubernetes and AKS', 'yaml')) }],
    ['local', Object.fromEntries([...local].map(([, name = '', value]) => [name, value]))],
  ]
  for (const [what, environment] of examples)
    test(what, () => {
      assert.deepEqual(configurationErrorsOf(environment), [])
      const known = new Set([...namesRead(), 'NODE_EXTRA_CA_CERTS'])
      for (const name of Object.keys(environment)) assert.ok(known.has(name), name)
      assert.ok(environment['BROKER_POLICY_FILE'])
      // The broker warns that an emulator is not Entra.
      const warnings = readConfig(environment).warnings.filter(text => !text.startsWith('BROKER_UNSAFE_AUTHORITY=true'))
      assert.deepEqual(warnings, [])
    })
})
