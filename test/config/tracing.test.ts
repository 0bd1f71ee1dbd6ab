import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed } from '../support/settings.ts'

const base = 'OTEL_EXPORTER_OTLP_ENDPOINT'
const traces = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'
const tracingOf = (environment: Environment) => readConfig({ ...managed, ...environment }).tracing

const urls: readonly (readonly [what: string, environment: Environment, url: string | undefined])[] = [
  ['no endpoint', { OTEL_SERVICE_NAME: 'x' }, undefined],
  ['an origin', { [base]: 'http://localhost:4318' }, 'http://localhost:4318/v1/traces'],
  ['a slash at the end', { [base]: 'https://otlp.example/otlp/' }, 'https://otlp.example/otlp/v1/traces'],
  ['the endpoint of traces, as it is', { [traces]: 'https://otlp.example/x' }, 'https://otlp.example/x'],
  ['both', { [base]: 'http://a', [traces]: 'http://b/c' }, 'http://b/c'],
]
for (const [what, environment, url] of urls)
  test(`${what}: spans are sent to ${url}`, () => assert.equal(tracingOf(environment)?.url, url))

describe('is refused, and not repeated', () => {
  for (const url of [
    'localhost:4318',
    'ftp://x',
    'https://user:password1@x',
    'https://x/?key=password1',
    'http://x/#a',
  ])
    for (const name of [base, traces])
      test(`${name}=${url}`, () => {
        const errors = configurationErrorsOf({ ...managed, [name]: url })
        assert.equal(errors.length, 1)
        assert.ok(errors[0]?.startsWith(`${name}: must be`) && !errors[0].includes('password1'))
      })

  for (const headers of ['password1', 'a b=password1', 'a=%zzpassword1', 'a=password1%0d%0ab: c', 'a='])
    test(`headers ${headers}`, () => {
      const errors = configurationErrorsOf({ ...managed, OTEL_EXPORTER_OTLP_HEADERS: headers })
      assert.equal(errors.length, 1)
      assert.ok(!errors.join().includes('password1'))
    })
})

test('headers are decoded, those of traces count more, and their values are secrets', () => {
  const tracing = tracingOf({
    [base]: 'http://x',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=long%20secret , b=1',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'b=2',
  })
  assert.deepEqual(tracing?.headers, { 'api-key': 'long secret', b: '2' })
  assert.deepEqual(tracing.secrets, ['long secret'])
})

const ratios: readonly (readonly [sampler: string | undefined, arg: string | undefined, ratio: number])[] = [
  [undefined, undefined, 1],
  ['parentbased_always_on', '0.5', 1],
  ['parentbased_always_off', '0.5', 0],
  ['parentbased_traceidratio', undefined, 1],
  ['parentbased_traceidratio', '0', 0],
  ['parentbased_traceidratio', '0.25', 0.25],
  ['parentbased_traceidratio', '1.0', 1],
]
for (const [sampler, arg, ratio] of ratios)
  test(`${sampler} ${arg}: the ratio is ${ratio}`, () => {
    const tracing = tracingOf({ [base]: 'http://x', OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: arg })
    assert.equal(tracing?.ratio, ratio)
  })

for (const arg of ['1.1', '-0.1', '.5', '1e-3', 'NaN', '0.1234567890'])
  test(`the ratio ${arg} is refused`, () => {
    assert.equal(configurationErrorsOf({ ...managed, OTEL_TRACES_SAMPLER_ARG: arg }).length, 1)
  })

test('with a protocol of the platform that is not supported, the broker starts, warns and sends nothing', () => {
  const { tracing, warnings } = readConfig({ ...managed, [base]: 'http://x', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })
  assert.equal(tracing, undefined)
  assert.deepEqual(warnings, [
    'OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not supported, so nothing is sent; set it to http/protobuf',
  ])
})
