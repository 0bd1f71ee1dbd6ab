/** A request to another server, as its span describes it. No value may be a credential, or text from another server. */
export interface ClientCall {
  readonly name: string
  readonly attributes: Readonly<Record<string, string | number>>
  /** The HTTP status of the response; `undefined` if none came, or the protocol is not HTTP. */
  readonly status?: () => number | undefined
}

/** The URL and the host in a span are cut after so many characters: an issuer's keys may be where its discovery document says. */
const [maxUrlLength, maxHostLength] = [500, 253]

/**
 * Describes an HTTP request by OpenTelemetry's semantic conventions, without the query, user name and password of its URL.
 *
 * @param status the status of the response; `undefined` if none came
 */
export function httpCall(method: 'GET' | 'POST', url: URL, status: () => number | undefined): ClientCall {
  const { protocol, origin, hostname, port, pathname } = url
  const attributes = {
    'http.request.method': method,
    'server.address': hostname.slice(0, maxHostLength),
    'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    'url.full': `${origin}${pathname}`.slice(0, maxUrlLength),
  }
  return { name: method, attributes, status }
}

/** Work that one request causes, and for which others wait too. */
export interface SharedWork<T> {
  /** Does the work as a part of the request that caused it, whichever request makes it start. */
  readonly run: () => Promise<T>
  /** Notes that the request under way waits for it too: the exchange within the work gets a link to that request. */
  readonly joined: () => void
}

/** Spans below the one of the request under way. Without one, as in the background at the start, there are none. */
export interface Spans {
  /** Runs what obtains a token while callers wait: an INTERNAL span, of which the requests to other servers are parts. */
  readonly exchange: <T>(work: () => Promise<T>) => Promise<T>
  /** Prepares work that the request under way causes. The result is returned, and an error thrown, unchanged. */
  readonly shared: <T>(work: () => Promise<T>) => SharedWork<T>
  /**
   * Runs one request to another server: a CLIENT span. The result is returned, and an error thrown, unchanged.
   *
   * @param work gets the `traceparent` of this span, for a server that takes part in the trace; `undefined` without a span
   */
  readonly call: <T>(call: ClientCall, work: (traceparent: string | undefined) => Promise<T>) => Promise<T>
}

const notTraced = (): void => undefined

/** No spans: tracing is off. */
export const noSpans: Spans = {
  exchange: work => work(),
  shared: run => ({ run, joined: notTraced }),
  call: (_call, work) => work(undefined),
}

/** The span of one request that the broker serves. */
export interface ServerSpan {
  /** 32 lower-case hexadecimal digits: the caller's trace, or a new one. */
  readonly traceId: string
  /** Runs work as a part of the request. */
  readonly run: (work: () => void) => void
  /**
   * Ends the span: the response is written, or the connection closed before. Must be called once.
   * @param status the HTTP status; `undefined` if the connection closed before the response was written
   * @param route the route's path as it is defined, which has no values of the caller; `undefined` without a route
   */
  readonly end: (status: number | undefined, route: string | undefined) => void
}

/** Begins the span of each request that the broker serves. */
export interface ServerSpans {
  /** @param traceparent the request's header, as it was received */
  readonly begin: (method: string, traceparent: string | undefined) => ServerSpan
}
