/** Values that bench/many.ts and the process that it measures share. */
export const scope = 'https://graph.microsoft.com/.default'
/** The audience of callers' tokens. */
export const audience = 'token-broker'
/** Bytes of a typical application token. */
export const tokenBytes = 1800
/** The cache's limit, above all numbers of tokens that are measured. */
export const mostEntries = 200_000

/** The GUID of the nth tenant. */
export const tenantOf = (n: number): string => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Makes the process fill its cache up to `entries` tokens and send a {@link Report}. */
export interface Order {
  readonly entries: number
  /** Whether to collect garbage before the heap is measured. */
  readonly collect: boolean
}

/** What the process measured after an {@link Order}. */
export interface Report {
  readonly entries: number
  readonly heapBytes: number
  /** CPU time since the start of the process. */
  readonly cpuMs: number
}

/** The address of the process, and the credential that it accepts. */
export interface Listening {
  readonly url: string
  readonly authorization: string
}
