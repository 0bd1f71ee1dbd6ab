import { trace, TraceFlags, type Context, type Span, type SpanContext } from '@opentelemetry/api'

/** An exchange has so many links at most. Its attribute counts all requests that joined it. */
export const maxLinks = 32

/** The attribute of an exchange that counts the requests that joined it. */
export const joinedAttribute = 'token_broker.exchange.joined_requests'

/** The requests that wait for an exchange which another request caused. They may join before its span begins. */
export class JoinedRequests {
  readonly #links: SpanContext[] = []
  #count = 0

  /** @param context of the request that joins; one that is not recorded is counted, but has no span to link to */
  add(context: Context | undefined): void {
    this.#count++
    if (this.#links.length >= maxLinks) return
    const request = context && trace.getSpanContext(context)
    if (request && (request.traceFlags & TraceFlags.SAMPLED) !== 0) this.#links.push(request)
  }

  /** Adds what joined so far to a span that is about to end. */
  linkFrom(span: Span): void {
    if (this.#count === 0) return
    span.setAttribute(joinedAttribute, this.#count)
    span.addLinks(this.#links.map(context => ({ context })))
  }
}
