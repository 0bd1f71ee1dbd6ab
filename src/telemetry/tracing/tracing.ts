import { AsyncLocalStorage } from 'node:async_hooks'
import type { Agent } from 'node:http'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
} from '@opentelemetry/sdk-trace'
import type { Clock } from '../../broker/lib/clock.ts'
import type { ServerSpans, Spans } from '../../broker/lib/spans.ts'
import { TokenBucket } from '../../broker/lib/token-bucket.ts'
import { createOncePerMinute } from '../once-per-minute.ts'
import { serverSpans, spansBelow, type Scope } from './spans.ts'

/** How spans are sampled, and where they are sent. */
export interface TracingSettings {
  /** The URL to which spans are sent: OTLP over HTTP, as protobuf. */
  readonly url: string
  /** Headers of these requests, which may have a credential. */
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
  /** The share of traces that begin here and are recorded, from 0 to 1. */
  readonly ratio: number
}

/** What tracing needs besides its settings. */
export interface TracingParts {
  readonly version: string
  readonly clock: Clock
  /** Makes the connections to the receiver. */
  readonly agent: Agent
  readonly log: { readonly warn: (fields: object, message: string) => void }
}

/** Traces that are exported. */
export interface Tracing {
  readonly spans: Spans
  readonly server: ServerSpans
  /** Sends the spans that are left, for a few seconds at most. */
  readonly close: () => Promise<void>
}

/**
 * The traces of callers that are recorded in a second, because the caller records them. So no caller can make the broker
 * record each of its requests, which costs more than to serve it.
 */
export const callersTracesPerSecond = 10
/** Milliseconds for a request to the receiver, and for all of them when the broker stops. */
const exportMs = 3_000
/** Finished spans that wait to be sent; more are dropped. */
const maxQueuedSpans = 2_048

/** The log message about spans that could not be sent. */
export const notExported = 'spans could not be exported'

/** Starts tracing. Nothing of it is global, and no other library is instrumented. */
export function createTracing(settings: TracingSettings, parts: TracingParts): Tracing {
  const exporter = new OTLPTraceExporter({
    url: settings.url,
    headers: { ...settings.headers },
    timeoutMillis: exportMs,
    httpAgentOptions: () => parts.agent,
  })
  const processor = new BatchSpanProcessor({
    exporter: reporting(exporter, parts),
    maxQueueSize: maxQueuedSpans,
    exportTimeoutMillis: exportMs,
  })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': settings.serviceName, 'service.version': parts.version }),
    sampler: new ParentBasedSampler({
      root: new TraceIdRatioBasedSampler(settings.ratio),
      remoteParentSampled: limited(parts.clock),
    }),
    spanProcessors: [processor],
  })
  const tracer = provider.getTracer('token-broker', parts.version)
  const scopes = new AsyncLocalStorage<Scope>()
  return {
    spans: spansBelow(tracer, scopes),
    server: serverSpans(tracer, scopes),
    close: () => provider.shutdown().catch(() => undefined),
  }
}

const callersRate = { count: callersTracesPerSecond, seconds: 1 }

/** Samples {@link callersTracesPerSecond}, whatever their ids are, since callers choose those. */
function limited({ monotonic }: Clock): Sampler {
  const bucket = new TokenBucket(callersRate, monotonic())
  return {
    shouldSample: () => {
      bucket.refill(callersRate, monotonic())
      if (bucket.tokens < 1) return { decision: SamplingDecision.NOT_RECORD }
      bucket.take()
      return { decision: SamplingDecision.RECORD_AND_SAMPLED }
    },
    toString: () => `at most ${callersTracesPerSecond} a second`,
  }
}

/** An exporter that logs its failures, once a minute, without the texts of the receiver. */
function reporting(exporter: SpanExporter, { log, clock }: TracingParts): SpanExporter {
  const failures = createOncePerMinute(clock.now)
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, result => {
        const suppressed = result.error === undefined ? undefined : failures.seen('export')
        if (suppressed !== undefined) log.warn({ spans: spans.length, suppressed }, notExported)
        done(result)
      }),
    shutdown: () => exporter.shutdown(),
  }
}
