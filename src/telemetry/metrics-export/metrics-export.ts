import type { Agent } from 'node:http'
import { ExportResultCode, type ExportResult } from '@opentelemetry/core'
import { createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http'
import { MetricsExporterMetricsHelper, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { Clock } from '../../broker/lib/clock.ts'
import { withDeadline } from '../../broker/lib/async/deadline.ts'
import type { MetricSamples } from '../metrics/samples.ts'
import { createOncePerMinute } from '../once-per-minute.ts'
import { createOtlpMetrics } from './otlp-metrics.ts'

/** Where metrics are sent, how often, and in which form. */
export interface MetricsExportSettings {
  /** The URL to which metrics are sent: OTLP over HTTP, as protobuf. */
  readonly url: string
  /** Headers of these requests, which may have a credential. */
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
  /** Milliseconds between two exports. */
  readonly intervalMs: number
  /** Whether counters and histograms are sent as differences to the last export, and not as totals since the start. */
  readonly isDelta: boolean
}

/** What the export needs besides its settings. */
export interface MetricsExportParts {
  readonly version: string
  /** The name of this replica: its totals are not those of another one. */
  readonly replica: string
  readonly clock: Pick<Clock, 'now'>
  /** Makes the connections to the receiver. */
  readonly agent: Agent
  readonly log: { readonly warn: (fields: object, message: string) => void }
  /** Reads the metrics: the same numbers as a scrape. */
  readonly samples: () => Promise<readonly MetricSamples[]>
}

/** Metrics that are sent at intervals. */
export interface MetricsExport {
  /** Sends the metrics once more, for a few seconds at most, and stops. */
  readonly close: () => Promise<void>
}

/** Milliseconds for one export with its further attempts, and for the last one. */
const exportMs = 3_000
/** Requests under way at most: a receiver that never ends its response does not prevent the next exports at once. */
const concurrencyLimit = 4

/** The log message about metrics that could not be sent. */
export const metricsNotExported = 'metrics could not be exported'

/** Starts to send metrics. One that is still under way at the next interval is not sent beside another one. */
export function startMetricsExport(settings: MetricsExportSettings, parts: MetricsExportParts): MetricsExport {
  const { log, clock } = parts
  const failures = createOncePerMinute(clock.now)
  const send = sender(settings, parts)
  let running: Promise<void> | undefined
  const run = (): Promise<void> => {
    running ??= withDeadline(send, exportMs, () => new Error('no response in time'))
      .catch(() => {
        // Without the receiver's text, which could repeat a header.
        const suppressed = failures.seen('export')
        if (suppressed !== undefined) log.warn({ suppressed }, metricsNotExported)
      })
      .finally(() => {
        running = undefined
      })
    return running
  }
  const timer = setInterval(() => void run(), settings.intervalMs).unref()
  return {
    close: async () => {
      clearInterval(timer)
      const last = async () => {
        await running
        await run()
      }
      await withDeadline(last, exportMs, () => new Error('no response in time')).catch(() => undefined)
    },
  }
}

/** Returns a function that reads and sends the metrics. It rejects if the receiver does not accept them. */
function sender(settings: MetricsExportSettings, { version, replica, clock, agent, samples }: MetricsExportParts) {
  const delegate = createOtlpHttpExportDelegate(
    {
      url: settings.url,
      headers: () => Promise.resolve({ ...settings.headers, 'Content-Type': 'application/x-protobuf' }),
      timeoutMillis: exportMs,
      concurrencyLimit,
      compression: 'none',
      agentFactory: () => agent,
    },
    ProtobufMetricsSerializer,
    'otlp_http_metric_exporter',
    MetricsExporterMetricsHelper,
    undefined,
  )
  const resource = resourceFromAttributes({
    'service.name': settings.serviceName,
    'service.version': version,
    'service.instance.id': replica,
  })
  const scope = { name: 'token-broker', version }
  const collect = createOtlpMetrics(samples, { isDelta: settings.isDelta, now: clock.now })
  return async (): Promise<void> => {
    const { metrics, received } = await collect()
    const result = await new Promise<ExportResult>(resolve =>
      delegate.export({ resource, scopeMetrics: [{ scope, metrics }] }, resolve),
    )
    if (result.code !== ExportResultCode.SUCCESS) throw result.error ?? new Error('the receiver did not accept them')
    received()
  }
}
