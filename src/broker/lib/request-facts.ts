/** What the events of one request say about it, whatever its outcome is. */
export interface RequestFacts {
  readonly requestId: string
  /** The endpoint's name in metrics and the audit log: `tokens`. */
  readonly endpoint: string
  /** The peer's address. */
  readonly address: string
}
