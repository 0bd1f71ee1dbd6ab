import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { clouds } from '../../src/config/clouds.ts'
import { clientCertHeaders } from '../../src/config/clients.ts'
import { auditModes, logLevels, readConfig } from '../../src/config/config.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed } from '../support/settings.ts'
import { read } from '../support/sources.ts'

/** The parts of JSON Schema that the chart uses. */
interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
}
type Values = Readonly<Record<string, unknown>>

const schema = JSON.parse(read('helm/values.schema.json')) as Schema
const valuesText = read('helm/values.yaml')
const values = parse(valuesText) as Values
const chart = parse(read('helm/Chart.yaml')) as Readonly<Record<string, string>>
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null

/** Every schema with its path: `/tls/secretName`. */
function* schemasOf(of: Schema, path = ''): Generator<readonly [string, Schema]> {
  yield [path, of]
  for (const [key, below] of Object.entries(of.properties ?? {})) yield* schemasOf(below, `${path}/${key}`)
  for (const [key, below] of Object.entries(of.$defs ?? {})) yield* schemasOf(below, `$defs/${key}`)
  if (of.items) yield* schemasOf(of.items, `${path}[]`)
}

/** Objects that the chart only passes on. The API server checks them; the schema does not. */
const passedOn = [
  '/affinity',
  '/global',
  '/extraEnv[]/valueFrom',
  '/serviceMonitor/tlsConfig',
  '$defs/objects[]',
  '$defs/peers[]/podSelector',
  '$defs/peers[]/namespaceSelector',
  '$defs/peers[]/ipBlock',
]

test('appVersion is the version of the broker', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  assert.equal(chart['appVersion'], version)
})

test('the schema refuses unknown keys, except in maps and in objects that the chart passes on', () => {
  const open = [...schemasOf(schema)]
    .filter(([, { type, additionalProperties }]) => type === 'object' && additionalProperties === undefined)
    .map(([path]) => path)
  assert.deepEqual(open.toSorted(), passedOn.toSorted())
  assert.equal(schema.additionalProperties, false)
})

test('the schema and values.yaml have the same keys', () => {
  const documented = (path: string): boolean => {
    const key = path.split('/').at(-1) ?? ''
    const depth = path.split('/').length - 2
    return new RegExp(`^ {${depth * 2}}(# )?${key}:`, 'm').test(valuesText)
  }
  const keys = [...schemasOf(schema)].map(([path]) => path).filter(path => /^\/[^[]+$/.test(path))
  assert.deepEqual(
    keys.filter(path => !documented(path)),
    ['/global'],
  )
  const known = (value: unknown, of: Schema | undefined, path: string): string[] => {
    if (of === undefined) return [path]
    if (!isObject(value) || Array.isArray(value) || of.properties === undefined) return []
    return Object.entries(value).flatMap(([key, below]) => known(below, of.properties?.[key], `${path}/${key}`))
  }
  assert.deepEqual(known(values, schema, ''), [])
})

/** The chart's names of the broker's settings. */
const settings = {
  cacheMaxEntries: 'BROKER_CACHE_MAX_ENTRIES',
  minRemainingSeconds: 'BROKER_MIN_REMAINING_SECONDS',
  upstreamTimeoutMs: 'BROKER_UPSTREAM_TIMEOUT_MS',
  upstreamConcurrency: 'BROKER_UPSTREAM_CONCURRENCY',
  drainSeconds: 'BROKER_DRAIN_SECONDS',
} as const

for (const key of Object.keys(settings) as (keyof typeof settings)[]) {
  const variable = settings[key]
  test(`settings.${key} has the range and the default of ${variable}`, () => {
    const { minimum, maximum } = schema.properties?.['settings']?.properties?.[key] ?? {}
    assert.equal((values['settings'] as Values)[key], readConfig(managed)[key])
    const isGood = (value: number) => configurationErrorsOf({ ...managed, [variable]: String(value) }).length === 0
    assert.ok(minimum !== undefined && maximum !== undefined && isGood(minimum) && isGood(maximum))
    assert.ok(!isGood(minimum - 1) && !isGood(maximum + 1))
  })
}

for (const [key, choices] of [
  ['audit', auditModes],
  ['logLevel', logLevels],
] as const) {
  test(`settings.${key} has the choices and the default of the broker`, () => {
    assert.deepEqual(schema.properties?.['settings']?.properties?.[key]?.enum?.toSorted(), choices.toSorted())
    assert.equal((values['settings'] as Values)[key], choices[0])
  })
}

test('settings.clientCertHeader has the choices of the broker, or none', () => {
  const choices = schema.properties?.['settings']?.properties?.['clientCertHeader']?.enum
  assert.deepEqual(choices?.toSorted(), ['', ...clientCertHeaders].toSorted())
  assert.equal((values['settings'] as Values)['clientCertHeader'], '')
})

test('the audiences of the clouds are those of the broker', () => {
  const pair = /"(https:\/\/login[\w.-]+)" "(api:\/\/\w+)"/g
  const inChart = [...read('helm/templates/_helpers.tpl').matchAll(pair)].map(([, cloud, audience]) => [
    cloud,
    audience,
  ])
  assert.equal(inChart.length, 6)
  assert.deepEqual(inChart, [...clouds])
})
