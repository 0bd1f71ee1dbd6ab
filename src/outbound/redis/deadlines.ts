/** How long a replica waits for the store and for other replicas, in milliseconds. */
export interface Deadlines {
  /**
   * For a response where a caller waits. The alternative is an exchange of 150 to 500 ms. In a burst replies are late, so
   * that a shorter one makes exchanges twice.
   */
  readonly awaitedMs: number
  /** For a response where no caller waits, because a valid token is cached. */
  readonly backgroundMs: number
  /**
   * After which a store that owes a reply, and sends none to anything, counts as down. Much shorter, and a server that
   * pauses for a moment costs exchanges; much longer, and each outage costs the first requests that time.
   */
  readonly silentMs: number
  /**
   * That a lease lasts, or half the time that callers wait, if that is less. After it, another replica makes the exchange:
   * the holder may have ended, or Entra may not respond to it.
   */
  readonly leaseMs: number
  /** For a response to requests about purges. */
  readonly purgeMs: number
  /** In which the live replicas must confirm a purge. */
  readonly confirmMs: number
}

/** What brokers use. */
export const redisDeadlines: Deadlines = {
  awaitedMs: 250,
  backgroundMs: 75,
  silentMs: 150,
  leaseMs: 1500,
  purgeMs: 250,
  confirmMs: 500,
}
