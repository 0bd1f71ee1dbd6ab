import type { EnvironmentReader } from './environment.ts'
import type { OtlpTarget } from './otlp.ts'

/** Where metrics are sent, how often, and in which form. */
export interface MetricsExportSettings extends OtlpTarget {
  /** Milliseconds between two exports. */
  readonly intervalMs: number
  /** Whether counters and histograms are sent as differences to the last export, and not as totals since the start. */
  readonly isDelta: boolean
}

/** Choices of `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, the default first. */
export const temporalities = ['cumulative', 'delta', 'lowmemory'] as const

/** Reads OpenTelemetry's variables about metrics. Returns `undefined` without a target: then no metrics are sent. */
export function readMetricsExport(
  read: EnvironmentReader,
  target: OtlpTarget | undefined,
): MetricsExportSettings | undefined {
  const intervalMs = read.integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 1_000, 3_600_000)
  const isDelta = readTemporality(read) !== 'cumulative'
  return target && Object.freeze({ ...target, intervalMs, isDelta })
}

/** OpenTelemetry's specification makes the case of this variable irrelevant. */
function readTemporality(read: EnvironmentReader): (typeof temporalities)[number] {
  const name = 'OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE'
  const text = read.text(name)
  const chosen = temporalities.find(each => each === text?.toLowerCase())
  if (text !== undefined && chosen === undefined) {
    read.addError(name, `must be one of ${temporalities.join(', ')}; got "${text}"`)
  }
  return chosen ?? temporalities[0]
}
