import { ValueType, type HrTime } from '@opentelemetry/api'
import { AggregationTemporality, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics'
import type { MetricSamples, SeriesSample } from '../metrics/samples.ts'

/** Metrics in OpenTelemetry's form. */
export interface OtlpMetrics {
  readonly metrics: MetricData[]
  /** Must be called once the receiver has them: the next differences begin here. Has no effect on totals. */
  readonly received: () => void
}

/** How metrics are turned into OpenTelemetry's form. */
export interface OtlpMetricsOptions {
  /** Whether counters and histograms become differences to the last ones that were received. */
  readonly isDelta: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** The series of one metric at most. The rest is left out: no metric needs as many, but a policy can name many API keys. */
export const maxSeries = 1_000

/**
 * Turns what `read` returns into OpenTelemetry's metrics, with the same names. A value that is not finite is left out: it
 * stands for "no value" in the text format. Differences that the receiver did not get are part of the next ones.
 */
export function createOtlpMetrics(
  read: () => Promise<readonly MetricSamples[]>,
  { isDelta, now }: OtlpMetricsOptions,
): () => Promise<OtlpMetrics> {
  let before = new Map<string, SeriesSample>()
  let since = now()
  return async () => {
    const samples = await read()
    const at = now()
    const current = new Map<string, SeriesSample>()
    const times = { startTime: hrTime(since), endTime: hrTime(at) }
    const metrics = samples.map(({ name, help, type, series }) => {
      const descriptor = { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE }
      const changed = boundedSeries(series).map(sample => {
        if (!isDelta || type === 'gauge') return sample
        const key = `${name} ${JSON.stringify(sample.labels)}`
        current.set(key, sample)
        return difference(sample, before.get(key))
      })
      return metricDataOf(type, descriptor, changed, isDelta, times)
    })
    return {
      metrics: metrics.filter(({ dataPoints }) => dataPoints.length > 0),
      received: () => {
        if (!isDelta) return
        before = current
        since = at
      },
    }
  }
}

const boundedSeries = (series: readonly SeriesSample[]): readonly SeriesSample[] =>
  series.filter(({ value }) => Number.isFinite(value)).slice(0, maxSeries)

/** By UCUM, as OpenTelemetry uses it; empty for numbers of things. */
function unitOf(name: string): string {
  if (/_seconds(_total)?$/.test(name)) return 's'
  return name.endsWith('_bytes') ? 'By' : ''
}

function difference(sample: SeriesSample, before: SeriesSample | undefined): SeriesSample {
  if (before === undefined) return sample
  const { labels, buckets } = sample
  const value = sample.value - before.value
  if (buckets === undefined) return { labels, value }
  const counts = buckets.counts.map((count, index) => count - (before.buckets?.counts[index] ?? 0))
  return { labels, value, buckets: { bounds: buckets.bounds, counts } }
}

function metricDataOf(
  type: MetricSamples['type'],
  descriptor: MetricData['descriptor'],
  series: readonly SeriesSample[],
  isDelta: boolean,
  times: { readonly startTime: HrTime; readonly endTime: HrTime },
): MetricData {
  const aggregationTemporality = isDelta ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE
  const dataPoints = series.map(({ labels, value }) => ({ ...times, attributes: { ...labels }, value }))
  if (type === 'counter') {
    return { descriptor, aggregationTemporality, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
  }
  if (type === 'gauge') {
    const now = dataPoints.map(point => ({ ...point, startTime: times.endTime }))
    return { descriptor, aggregationTemporality, dataPointType: DataPointType.GAUGE, dataPoints: now }
  }
  const histograms = series.map(({ labels, value: sum, buckets }) => {
    const { bounds = [], counts = [] } = buckets ?? {}
    const count = counts.reduce((all, each) => all + each, 0)
    const value = { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count }
    return { ...times, attributes: { ...labels }, value }
  })
  return { descriptor, aggregationTemporality, dataPointType: DataPointType.HISTOGRAM, dataPoints: histograms }
}

const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), Math.floor(ms % 1000) * 1_000_000]
