/** What all events of one request have in common, whatever its outcome is. */
export interface RequestFacts {
  readonly requestId: string
  /** The endpoint's name in metrics and the audit log, such as `tokens`. */
  readonly endpoint: string
  /** The client's address: the peer's, or the one that a trusted proxy reports. */
  readonly address: string
  /** The trace of which the request is a part, if it is known: 32 lower-case hexadecimal digits. */
  readonly traceId?: string | undefined
}
