const length = 55
/** Version 00 of W3C Trace Context: trace id, id of the parent span, flags. An id of zeros only is invalid. */
const pattern = /^00-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})$/

/** A part of a trace of the caller. */
export interface TraceParent {
  /** 32 lower-case hexadecimal digits. */
  readonly traceId: string
  /** The caller's span: 16 lower-case hexadecimal digits. */
  readonly spanId: string
  /** Whether the caller records its trace. */
  readonly isSampled: boolean
}

/**
 * Reads a `traceparent` header (https://www.w3.org/TR/trace-context/#traceparent-header). Returns `undefined` if it is
 * absent, is not exactly of version 00, or is there twice. The caller chooses it: it proves nothing, decides nothing, and is
 * sent to no upstream service.
 */
export function readTraceParent(traceparent: unknown): TraceParent | undefined {
  if (typeof traceparent !== 'string' || traceparent.length !== length) return undefined
  const [, traceId, spanId, flags] = pattern.exec(traceparent) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
