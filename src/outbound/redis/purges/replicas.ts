import type { Clock } from '../../../broker/lib/clock.ts'
import type { ReplicaReport } from '../../../broker/tokens/second-level.ts'

/** Milliseconds between the heartbeats of a replica. */
export const heartbeatMs = 1000
/** A replica whose last heartbeat is older than this, in milliseconds, does not count as live. */
export const liveMs = 3 * heartbeatMs
const maxReplicas = 1000

/** The replicas that were heard lately. Each one publishes heartbeats on the channel; nothing is stored. */
export interface Replicas {
  /** A heartbeat of a replica (its own, too) arrived. */
  readonly heard: (report: ReplicaReport) => void
  /** A heartbeat arrived that no key of the ring opens: a replica with other keys, or a forgery. */
  readonly unreadable: () => void
  /**
   * The live replicas by name, this one included. `undefined` if they are not known: this replica does not hear its own
   * heartbeats, has listened for a short time only, or hears some that it cannot read.
   */
  readonly live: () => ReadonlyMap<string, ReplicaReport> | undefined
}

/** @param own the name of this replica */
export function createReplicas(own: string, clock: Pick<Clock, 'monotonic'>): Replicas {
  /** The last heartbeats by name, the oldest first; `at` in monotonic milliseconds. */
  const lastHeard = new Map<string, { readonly at: number; readonly report: ReplicaReport }>()
  /** Monotonic milliseconds since which own heartbeats arrive without a gap. */
  let hearingSince: number | undefined
  let unreadableAt = Number.NEGATIVE_INFINITY
  const isLive = (at: number | undefined): boolean => at !== undefined && clock.monotonic() - at < liveMs
  return {
    heard(report) {
      const { replica } = report
      if (replica === own && !isLive(lastHeard.get(own)?.at)) hearingSince = clock.monotonic()
      lastHeard.delete(replica)
      lastHeard.set(replica, { at: clock.monotonic(), report })
      const oldest = lastHeard.keys().find(name => name !== own)
      if (lastHeard.size > maxReplicas && oldest !== undefined) lastHeard.delete(oldest)
    },
    unreadable() {
      unreadableAt = clock.monotonic()
    },
    live() {
      const hasListened = hearingSince !== undefined && clock.monotonic() - hearingSince >= 2 * heartbeatMs
      if (!hasListened || !isLive(lastHeard.get(own)?.at) || isLive(unreadableAt)) return undefined
      return new Map([...lastHeard].filter(([, { at }]) => isLive(at)).map(([name, { report }]) => [name, report]))
    },
  }
}
