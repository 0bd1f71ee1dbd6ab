import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
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
  const unanswered = new UnansweredRequests()
  app.addHook('onRequest', (request, _reply, done) => {
    const { traceparent } = request.headers
    const span = spans.begin(request.method, typeof traceparent === 'string' ? traceparent : undefined)
    request.span = span
    unanswered.add(request)
    span.run(done)
  })
  app.addHook('onResponse', (request, { statusCode }, done) => {
    if (unanswered.delete(request)) endSpan(request, statusCode)
    done()
  })
}

/** Runs what follows the arrival of a request's body, which Node reports outside of the request's span, in that span. */
export function continueSpan({ span }: FastifyRequest, run: () => void): void {
  if (span) span.run(run)
  else run()
}

function endSpan({ span, routeOptions }: FastifyRequest, status: number | undefined): void {
  span?.end(status, routeOptions.url)
}

/**
 * The requests of each connection whose response is not written. When the connection closes, their spans end: Fastify
 * reports such requests to no hook. The connection is observed, and not the response, because Node.js does not report the
 * end of a pipelined response that still waits for the one before it.
 */
class UnansweredRequests {
  readonly #of = new WeakMap<Socket, Set<FastifyRequest>>()

  add(request: FastifyRequest): void {
    const { socket } = request.raw
    const known = this.#of.get(socket)
    if (known) {
      known.add(request)
      return
    }
    const requests = new Set([request])
    this.#of.set(socket, requests)
    socket.once('close', () => {
      for (const each of requests) endSpan(each, undefined)
      requests.clear()
    })
  }

  /** @returns whether the request's span has not ended yet */
  delete(request: FastifyRequest): boolean {
    return this.#of.get(request.raw.socket)?.delete(request) === true
  }
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
