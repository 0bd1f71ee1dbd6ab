import type { Registry } from '@prometheus-io/client'
import { metricTable, type MetricName, type MetricRow } from '../metric-table.ts'

/** The values of one metric at one moment. */
export interface MetricSamples extends Pick<MetricRow, 'type' | 'help'> {
  readonly name: MetricName
  readonly series: readonly SeriesSample[]
}

/** The labels of one series. */
export type Labels = Readonly<Record<string, string>>

/** The value of one series: a number, or a histogram. */
export interface SeriesSample {
  readonly labels: Labels
  /** Of a histogram: the sum. */
  readonly value: number
  /** Of a histogram only: the upper bounds, and the events up to each bound and since the one before; one more beyond the last. */
  readonly buckets?: { readonly bounds: readonly number[]; readonly counts: readonly number[] }
}

/** A value as the client library returns it. Those of a histogram are named after it, with a suffix. */
interface Value {
  readonly value: number
  readonly labels: Readonly<Partial<Record<string, string | number>>>
  readonly metricName?: string
}

/** Reads every metric: the same numbers as a scrape. */
export async function readSamples(registry: Registry): Promise<readonly MetricSamples[]> {
  const metrics = await registry.getMetricsAsJSON()
  return metrics.flatMap(({ name, values }) => {
    if (!isMetricName(name)) return []
    const { type, help } = metricTable[name]
    return [{ name, type, help, series: type === 'histogram' ? histogramSeries(values) : values.map(plainSeries) }]
  })
}

const isMetricName = (name: string): name is MetricName => name in metricTable

const plainSeries = ({ labels, value }: Value): SeriesSample => ({ labels: textsOf(labels), value })

const textsOf = (labels: Value['labels']): Labels =>
  Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, String(value)]))

/** The library lists a series' buckets in the order of their bounds, each with all events up to it, then sum and count. */
function histogramSeries(values: readonly Value[]): readonly SeriesSample[] {
  const found: SeriesSample[] = []
  let upTo: number[] = []
  let bounds: number[] = []
  for (const {
    labels: { le, ...labels },
    metricName = '',
    value,
  } of values) {
    if (le !== undefined) {
      upTo.push(value)
      if (le !== '+Inf') bounds.push(Number(le))
    } else if (metricName.endsWith('_sum')) {
      const counts = upTo.map((count, index) => count - (upTo[index - 1] ?? 0))
      found.push({ labels: textsOf(labels), value, buckets: { bounds, counts } })
      upTo = []
      bounds = []
    }
  }
  return found
}
