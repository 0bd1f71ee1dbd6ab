import { AsyncLocalStorage } from 'node:async_hooks'
import { METHODS } from 'node:http'
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type { ClientCall, ServerSpans, Spans } from '../../broker/lib/spans.ts'
import { readTraceParent } from '../../broker/lib/trace-parent.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { JoinedRequests } from './joined-requests.ts'

// Names and attributes of spans, by OpenTelemetry's semantic conventions for HTTP and databases. Paths and queries of
// callers are left out: a caller could have put a credential there.

/** The span under way. */
export interface Scope {
  readonly context: Context
  /** In an exchange: the number of requests sent so far, by method and URL. */
  readonly sent?: Map<string, number>
  /** In work that requests share: those that wait for it besides the one that caused it. */
  readonly joined?: JoinedRequests
}

const methods = new Set(METHODS)

/**
 * The `error.type` of a request whose connection closed before its response was written: the client gave up, or the broker
 * closed it, because the request did not arrive in time or the broker stopped.
 */
export const connectionClosed = 'connection_closed'

/** The spans of requests that the broker serves. */
export const serverSpans = (tracer: Tracer, scopes: AsyncLocalStorage<Scope>): ServerSpans => ({
  begin: (method, traceparent) => {
    const known = methods.has(method) ? method : '_OTHER'
    const options = { kind: SpanKind.SERVER, attributes: { 'http.request.method': known } }
    const span = tracer.startSpan(known === '_OTHER' ? 'HTTP' : known, options, parentOf(traceparent))
    return {
      traceId: span.spanContext().traceId,
      run: work => scopes.run({ context: trace.setSpan(ROOT_CONTEXT, span) }, work),
      end: (status, route) => {
        if (route !== undefined) span.setAttribute('http.route', route).updateName(`${known} ${route}`)
        if (status === undefined) fail(span, connectionClosed)
        else {
          span.setAttribute('http.response.status_code', status)
          if (status >= 500) fail(span, String(status))
        }
        span.end()
      },
    }
  },
})

function parentOf(traceparent: string | undefined): Context {
  const parent = readTraceParent(traceparent)
  if (parent === undefined) return ROOT_CONTEXT
  const { traceId, spanId, isSampled } = parent
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}

/** The spans below those of requests. */
export function spansBelow(tracer: Tracer, scopes: AsyncLocalStorage<Scope>): Spans {
  const inSpan = async <T>(span: Span, work: () => Promise<T>, settled: () => void = () => undefined): Promise<T> => {
    try {
      return await work()
    } catch (thrown) {
      fail(span, typeOf(thrown))
      throw thrown
    } finally {
      settled()
      span.end()
    }
  }
  return {
    exchange: work => {
      const scope = scopes.getStore()
      if (scope === undefined) return work()
      const span = tracer.startSpan('exchange', { kind: SpanKind.INTERNAL }, scope.context)
      const inner = { context: trace.setSpan(ROOT_CONTEXT, span), sent: new Map<string, number>() }
      return scopes.run(inner, () => inSpan(span, work, () => scope.joined?.linkFrom(span)))
    },
    shared: work => {
      const scope = scopes.getStore()
      if (scope === undefined || !isRecorded(scope)) {
        return { run: AsyncLocalStorage.bind(work), joined: () => undefined }
      }
      const joined = new JoinedRequests()
      return {
        run: AsyncLocalStorage.bind(() => scopes.run({ context: scope.context, joined }, work)),
        joined: () => joined.add(scopes.getStore()?.context),
      }
    },
    call: (call, work) => {
      const scope = scopes.getStore()
      if (scope === undefined) return work(undefined)
      const span = tracer.startSpan(call.name, { kind: SpanKind.CLIENT, attributes: call.attributes }, scope.context)
      countSent(scope, call, span)
      const run = () => work(traceParentOf(span))
      return inSpan(span, run, () => {
        const status = call.status?.()
        if (status === undefined) return
        span.setAttribute('http.response.status_code', status)
        if (status >= 400) fail(span, String(status))
      })
    },
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header */
function traceParentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`
}

const isRecorded = ({ context }: Scope): boolean => trace.getSpan(context)?.isRecording() === true

function countSent({ sent }: Scope, { attributes, status }: ClientCall, span: Span): void {
  if (sent === undefined || status === undefined) return
  const request = `${attributes['http.request.method']} ${attributes['url.full']}`
  const before = sent.get(request) ?? 0
  sent.set(request, before + 1)
  if (before > 0) span.setAttribute('http.request.resend_count', before)
}

/** The code of a `BrokerError`; else that of Node.js or the system, such as `ECONNRESET`, or the name of a passed deadline. */
function typeOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  return thrown instanceof BrokerError ? thrown.code : (codeOf(thrown) ?? codeOf(cause) ?? asBrokerError(thrown).code)
}

function codeOf(thrown: unknown): string | undefined {
  if (thrown instanceof DOMException) return thrown.name
  const code: unknown = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : undefined
}

/** Only codes: a message could have a text from another server. */
const fail = (span: Span, type: string): void => {
  span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR })
}
