import type { Runtime } from '../broker/lib/clock.ts'
import type { ServerSpans } from '../broker/lib/spans.ts'
import type { MetricsExportSettings } from '../config/metrics-export.ts'
import type { ProxySettings } from '../config/proxy.ts'
import type { TracingSettings } from '../config/tracing.ts'
import { agentFor, createEgress } from '../outbound/network/egress.ts'
import type { Logs } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { version } from './package.ts'

/** Milliseconds for a connection to a receiver through the proxy. */
const connectWithinMs = 3_000

/** What is sent, and where. */
export interface OpenTelemetrySettings {
  readonly tracing: TracingSettings | undefined
  readonly metricsExport: MetricsExportSettings | undefined
  readonly proxy: ProxySettings | undefined
}

/** What OpenTelemetry reads and observes. */
export interface OpenTelemetryParts {
  readonly log: Logs['log']
  readonly replica: string
  readonly metrics: Pick<Metrics, 'samples'>
}

/** Traces and metrics that are sent, as far as they are on. */
export interface OpenTelemetry<R> {
  /** The spans of requests, if tracing is on. */
  readonly serverSpans: ServerSpans | undefined
  /** The runtime, with the spans of requests to other servers if tracing is on. */
  readonly traced: R & Pick<Runtime, 'spans'>
  /** Sends what is left, for a few seconds at most. */
  readonly close: () => Promise<void>
}

/** Starts to send traces and metrics, and loads what each needs; neither without an endpoint in the configuration. */
export async function connectOpenTelemetry<R extends Pick<Runtime, 'clock'>>(
  { tracing: traces, metricsExport: metrics, proxy }: OpenTelemetrySettings,
  runtime: R,
  parts: OpenTelemetryParts,
): Promise<OpenTelemetry<R>> {
  const partsFor = ({ url }: { readonly url: string }) => ({
    ...parts,
    version,
    clock: runtime.clock,
    agent: agentFor(new URL(url), createEgress(proxy, { keepAlive: true, connectWithinMs })),
  })
  const tracing = traces && (await import('../telemetry/tracing/tracing.ts')).createTracing(traces, partsFor(traces))
  const exporting =
    metrics &&
    (await import('../telemetry/metrics-export/metrics-export.ts')).startMetricsExport(metrics, {
      ...partsFor(metrics),
      samples: parts.metrics.samples,
    })
  return {
    serverSpans: tracing?.server,
    traced: tracing ? { ...runtime, spans: tracing.spans } : runtime,
    close: async () => {
      await Promise.all([tracing?.close(), exporting?.close()])
    },
  }
}
