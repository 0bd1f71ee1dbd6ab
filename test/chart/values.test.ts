import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { read } from '../support/sources.ts'

/** As much of JSON Schema as the chart uses. */
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
const configText = read('src/config/config.ts')
const chart = parse(read('helm/Chart.yaml')) as Readonly<Record<string, string>>
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null

/** Every schema with its path: `/tls/secretName`. */
function* schemasOf(of: Schema, path = ''): Generator<readonly [string, Schema]> {
  yield [path, of]
  for (const [key, below] of Object.entries(of.properties ?? {})) yield* schemasOf(below, `${path}/${key}`)
  for (const [key, below] of Object.entries(of.$defs ?? {})) yield* schemasOf(below, `$defs/${key}`)
  if (of.items) yield* schemasOf(of.items, `${path}[]`)
}

/** Objects that are Kubernetes' own, or only handed on: the API server knows them, the chart does not. */
const handedOn = [
  '/affinity',
  '/global',
  '/extraEnv[]/valueFrom',
  '/serviceMonitor/tlsConfig',
  '$defs/objects[]',
  '$defs/peers[]/podSelector',
  '$defs/peers[]/namespaceSelector',
  '$defs/peers[]/ipBlock',
]

test('the chart is of the version that it installs', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  assert.equal(chart['appVersion'], version)
})

test('the schema lets no unknown key pass, but for maps and what is handed on', () => {
  const open = [...schemasOf(schema)]
    .filter(([, { type, additionalProperties }]) => type === 'object' && additionalProperties === undefined)
    .map(([path]) => path)
  assert.deepEqual(open.toSorted(), handedOn.toSorted())
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

for (const [key, variable] of Object.entries(settings)) {
  test(`settings.${key} has the range and the default of ${variable}`, () => {
    const [, ...numbers] = new RegExp(`'${variable}', ([\\d_]+), ([\\d_]+), ([\\d_]+)`).exec(configText) ?? []
    const { minimum, maximum } = schema.properties?.['settings']?.properties?.[key] ?? {}
    const chosen = (values['settings'] as Values)[key]
    assert.deepEqual(
      [chosen, minimum, maximum],
      numbers.map(text => Number(text.replaceAll('_', ''))),
    )
  })
}

for (const [key, variable] of [
  ['audit', 'BROKER_AUDIT'],
  ['logLevel', 'LOG_LEVEL'],
] as const) {
  test(`settings.${key} has the choices and the default of ${variable}`, () => {
    const list = new RegExp(`'${variable}', \\[([^\\]]+)\\]`).exec(configText)?.[1] ?? ''
    const choices = list.split(',').map(text => text.trim().replaceAll("'", ''))
    assert.deepEqual(schema.properties?.['settings']?.properties?.[key]?.enum?.toSorted(), choices.toSorted())
    assert.equal((values['settings'] as Values)[key], choices[0])
  })
}

test('the audiences of the clouds are those of the broker', () => {
  const pair = /'?(https:\/\/login[\w.]+)'?"?,? ['"](api:\/\/\w+)['"]/g
  const pairs = (text: string) => [...text.matchAll(pair)].map(([, cloud, audience]) => [cloud, audience])
  const inChart = pairs(read('helm/templates/_helpers.tpl'))
  assert.equal(inChart.length, 3)
  assert.deepEqual(inChart, pairs(configText))
})
