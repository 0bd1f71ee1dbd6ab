import type { IncomingHttpHeaders } from 'node:http'

const length = 55
/** Version 00 of W3C Trace Context: trace id, id of the parent span, flags. An id of zeros only is invalid. */
const pattern = /^00-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}$/

/**
 * The trace id in a request's `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header), to find what the
 * caller did in the log: 32 lower-case hexadecimal digits. `undefined` if the header is absent, is not exactly of version
 * 00, or is there twice. It decides nothing, and is sent to no upstream service.
 */
export function traceIdOf({ traceparent }: IncomingHttpHeaders): string | undefined {
  // One property of the parsed headers: a request without the header costs nothing.
  if (typeof traceparent !== 'string' || traceparent.length !== length) return undefined
  return pattern.exec(traceparent)?.[1]
}
