import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { ServerSpan, ServerSpans } from '../../../broker/lib/spans.ts'
import { readTraceParent } from '../../../broker/lib/trace-parent.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's span; `undefined` unless tracing is on. */
    span: ServerSpan | undefined
  }
}

/**
 * Makes a span of every request of a server. Without `spans` it adds no hook, so that tracing costs nothing when it is
 * off. Must be called before other hooks are added.
 */
export function addServerSpans(app: FastifyInstance, spans: ServerSpans | undefined): void {
  app.decorateRequest('span', undefined)
  if (spans === undefined) return
  app.addHook('onRequest', (request, _reply, done) => {
    const { traceparent } = request.headers
    const span = spans.begin(request.method, typeof traceparent === 'string' ? traceparent : undefined)
    request.span = span
    span.run(done)
  })
  // Again: what follows the arrival of the body runs outside of what the first hook runs, which is the authentication.
  app.addHook('preValidation', ({ span }, _reply, done) => {
    if (span) span.run(done)
    else done()
  })
  app.addHook('onResponse', ({ span, routeOptions }, { statusCode }, done) => {
    span?.end(statusCode, routeOptions.url)
    done()
  })
}

/**
 * The id of the trace of which a request is a part: its span's or, if tracing is off, that of its `traceparent`. A request
 * without the header costs one property read.
 */
export const traceIdOf = ({ span, headers }: TracedRequest): string | undefined =>
  span?.traceId ?? readTraceParent(headers['traceparent'])?.traceId

/** What {@link traceIdOf} reads of a request. */
export interface TracedRequest {
  readonly headers: IncomingHttpHeaders
  readonly span?: ServerSpan | undefined
}
