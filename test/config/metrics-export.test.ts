import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed } from '../support/settings.ts'

const base = 'OTEL_EXPORTER_OTLP_ENDPOINT'
const metrics = 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'
const traces = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'
const interval = 'OTEL_METRIC_EXPORT_INTERVAL'
const temporality = 'OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE'
const configOf = (environment: Environment) => readConfig({ ...managed, ...environment })

const urls: readonly (readonly [
  what: string,
  environment: Environment,
  metrics?: string | undefined,
  traces?: string,
])[] = [
  ['no endpoint', { [interval]: '1000' }],
  ['an origin', { [base]: 'http://a:1' }, 'http://a:1/v1/metrics', 'http://a:1/v1/traces'],
  ['the endpoint of metrics, as it is', { [metrics]: 'https://a/x' }, 'https://a/x'],
  ['the endpoint of traces: no metrics', { [traces]: 'https://a/x' }, undefined, 'https://a/x'],
  ['both', { [base]: 'http://a', [metrics]: 'http://b/c' }, 'http://b/c', 'http://a/v1/traces'],
  ['no exporter of metrics', { [base]: 'http://a', OTEL_METRICS_EXPORTER: 'none' }, undefined, 'http://a/v1/traces'],
  ['no exporter of traces', { [base]: 'http://a', OTEL_TRACES_EXPORTER: 'none' }, 'http://a/v1/metrics'],
  ['another protocol', { [metrics]: 'http://a/x', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
]
for (const [what, environment, url, ofTraces] of urls)
  test(`${what}: metrics are sent to ${url}, spans to ${ofTraces}`, () => {
    const config = configOf(environment)
    assert.deepEqual([config.metricsExport?.url, config.tracing?.url], [url, ofTraces])
  })

test('an exporter that is not supported does not prevent the start, but is reported', () => {
  const { metricsExport, warnings } = configOf({ [base]: 'http://a', OTEL_METRICS_EXPORTER: 'prometheus' })
  assert.equal(metricsExport, undefined)
  assert.deepEqual(warnings, [
    'OTEL_METRICS_EXPORTER=prometheus is not supported, so no metrics are sent; set it to otlp or none',
  ])
})

test('headers of metrics replace those of the same name, and are secrets', () => {
  const { metricsExport, tracing } = configOf({
    [base]: 'http://x',
    OTEL_EXPORTER_OTLP_HEADERS: 'a=one%20secret',
    OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'a=other%20secret',
  })
  assert.deepEqual([metricsExport?.headers, tracing?.headers], [{ a: 'other secret' }, { a: 'one secret' }])
  assert.deepEqual(metricsExport?.secrets, ['other secret'])
})

describe('totals or differences', () => {
  const rows: readonly (readonly [text: string | undefined, isDelta: boolean])[] = [
    [undefined, false],
    ['cumulative', false],
    ['delta', true],
    ['DELTA', true],
    ['LowMemory', true],
  ]
  for (const [text, isDelta] of rows)
    test(`${text}: ${isDelta ? 'differences' : 'totals'}`, () =>
      assert.equal(configOf({ [base]: 'http://a', [temporality]: text }).metricsExport?.isDelta, isDelta))
})

describe('is refused with all other errors, with and without an endpoint', () => {
  const rows: readonly (readonly [name: string, value: string])[] = [
    [interval, '999'],
    [interval, '3600001'],
    [interval, 'a minute'],
    [temporality, 'stateless'],
  ]
  for (const [name, value] of rows)
    for (const endpoint of ['', 'http://a'])
      test(`${name}=${value}, endpoint "${endpoint}"`, () => {
        const errors = configurationErrorsOf({
          ...managed,
          [base]: endpoint,
          [name]: value,
          BROKER_CACHE_MAX_ENTRIES: '0',
        })
        assert.equal(errors.length, 2)
        assert.ok(errors.some(error => error.startsWith(`${name}: must be`)))
      })
  test(`${metrics} with a password, which is not repeated`, () => {
    const errors = configurationErrorsOf({ ...managed, [metrics]: 'https://user:password1@x' })
    assert.equal(errors.length, 1)
    assert.ok(errors[0]?.startsWith(`${metrics}: must be`) && !errors[0].includes('password1'))
  })
})
