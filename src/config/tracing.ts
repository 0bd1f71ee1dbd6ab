import type { EnvironmentReader } from './environment.ts'
import type { OtlpTarget } from './otlp.ts'

/** Where spans are sent, and which. */
export interface TracingSettings extends OtlpTarget {
  /** The share of traces that begin here and are recorded, from 0 to 1. */
  readonly ratio: number
}

/** Choices of `OTEL_TRACES_SAMPLER`, the default first. */
export const samplers = ['parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const

/** Reads OpenTelemetry's variables about spans. Returns `undefined` without a target: then nothing is traced. */
export function readTracing(read: EnvironmentReader, target: OtlpTarget | undefined): TracingSettings | undefined {
  const ratio = readRatio(read)
  return target && Object.freeze({ ...target, ratio })
}

function readRatio(read: EnvironmentReader): number {
  const sampler = read.choice('OTEL_TRACES_SAMPLER', samplers)
  const text = read.text('OTEL_TRACES_SAMPLER_ARG')
  const ratio = text !== undefined && /^(0(\.\d{1,9})?|1(\.0{1,9})?)$/.test(text) ? Number(text) : undefined
  if (text !== undefined && ratio === undefined) {
    read.addError('OTEL_TRACES_SAMPLER_ARG', `must be a number from 0 to 1; got "${text}"`)
  }
  if (sampler === 'parentbased_traceidratio') return ratio ?? 1
  return sampler === 'parentbased_always_on' ? 1 : 0
}
