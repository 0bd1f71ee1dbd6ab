/** What all events of one request have in common, whatever its outcome is. */
export interface RequestFacts {
  readonly requestId: string
  /** The endpoint's name in metrics and the audit log, such as `tokens`. */
  readonly endpoint: string
  /** The peer's address. */
  readonly address: string
}
