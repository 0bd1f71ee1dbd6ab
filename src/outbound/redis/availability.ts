import type { Clock } from '../../broker/lib/clock.ts'

/** Decides whether the store is worth a request: one that does not respond must not slow down every fetch. */
export interface Availability {
  /** Whether the last requests succeeded. */
  readonly isUp: () => boolean
  /** Whether a request may be made now: the store is up, or it is time for a probe. Each true is one request. */
  readonly mayTry: () => boolean
  /** The store responded, be it with an error. */
  readonly succeeded: () => void
  /** A request that was sent at this moment (monotonic milliseconds) got no response in time. */
  readonly failed: (sentAt: number) => void
  /** Milliseconds since 1970 of the last change. */
  readonly since: () => number
}

/** Milliseconds without any response after which the store counts as down. A number of failures would count a burst as an outage. */
export const downAfterMs = 300
/** Milliseconds between the probes of a store that is down. */
export const probeEveryMs = 500

/**
 * Creates the circuit breaker of the store. It opens by time: once nothing has succeeded for {@link downAfterMs} since the
 * first failure. A refused write (`OOM`, `READONLY`) is a response, so it does not stop reads.
 *
 * @param changed called when it opens or closes, with the milliseconds since 1970
 */
export function createAvailability(clock: Clock, changed: (isUp: boolean, since: number) => void): Availability {
  let failingSince: number | undefined
  let succeededAt = Number.NEGATIVE_INFINITY
  let isUp = true
  let since = clock.now()
  let nextProbe = 0
  const change = (to: boolean): void => {
    isUp = to
    since = clock.now()
    changed(to, since)
  }
  return {
    isUp: () => isUp,
    mayTry() {
      if (isUp) return true
      const now = clock.monotonic()
      if (now < nextProbe) return false
      nextProbe = now + probeEveryMs
      return true
    },
    succeeded() {
      failingSince = undefined
      succeededAt = clock.monotonic()
      if (!isUp) change(true)
    },
    failed(sentAt) {
      // Something that was sent later, or together with it, got a response.
      if (sentAt <= succeededAt) return
      const now = clock.monotonic()
      failingSince = Math.min(failingSince ?? sentAt, sentAt)
      if (!isUp || now - failingSince < downAfterMs) return
      nextProbe = now + probeEveryMs
      change(false)
    },
    since: () => since,
  }
}
