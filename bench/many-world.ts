/** What bench/many.ts and the process that it measures agree upon. */
export const scope = 'https://graph.microsoft.com/.default'
export const audience = 'token-broker'
/** Bytes of a typical application token. */
export const tokenBytes = 1800
export const mostEntries = 200_000

export const tenantOf = (n: number): string => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Hold so many tokens, and report. */
export interface Order {
  readonly entries: number
  /** Whether to collect garbage before the heap is looked at. */
  readonly collect: boolean
}

export interface Report {
  readonly entries: number
  readonly heapBytes: number
  /** Of processor time since the start. */
  readonly cpuMs: number
}

/** Where the process listens, and whose requests it answers. */
export interface Listening {
  readonly url: string
  readonly authorization: string
}
