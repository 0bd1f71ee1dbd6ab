import type { Grant } from '../authorization/authorize.ts'
import type { FetchFilter, IssuedToken, PurgeReach, TokenSource } from '../events.ts'

export type { PurgeReach } from '../events.ts'

/** Which token a replica looks for. */
export interface Wanted {
  /** Only a token that was issued later than this (milliseconds since 1970) is of use; absent: any usable token. */
  readonly newerThan?: number
  /** Whether a caller waits. Then the store has more time for a response. */
  readonly isAwaited: boolean
}

/** Describes which token is looked for. */
export const wantedToken = (isAwaited: boolean, newerThan: number | undefined): Wanted =>
  newerThan === undefined ? { isAwaited } : { isAwaited, newerThan }

/** A token that a fetch returned. */
export interface FetchedToken extends IssuedToken {
  /** Whether another replica made the exchange. */
  readonly isShared?: boolean
}

/** Where a fetch gets its token: a {@link TokenSource}, or the second level with one behind it. */
export type FetchSource = (grant: Grant, signal: AbortSignal, wanted: Wanted) => Promise<FetchedToken>

/** What a look-up found. */
export interface LookUp {
  /** With `issuedAt` and `refreshAt`. */
  readonly token: IssuedToken | undefined
  /** Whether another replica is fetching it now. */
  readonly isFetching: boolean
}

/** What a live replica says about its own memory. */
export interface ReplicaReport {
  /** Its name. */
  readonly replica: string
  /** Cached tokens, keys whose token is being fetched, and tokens whose refresh fails although they are requested. */
  readonly entries: number
  readonly fetching: number
  readonly atRisk: number
}

/**
 * Why a store does not respond: the connection is refused, not established or silent, its name has no address, TLS fails, the
 * credential is refused or unavailable, the connection was closed, or something else.
 */
export const storeFailures = ['refused', 'timeout', 'name', 'tls', 'credential', 'closed', 'other'] as const
/** One of {@link storeFailures}. */
export type StoreFailure = (typeof storeFailures)[number]

/** The state of a second level. */
export interface SecondLevelStatus {
  readonly isUp: boolean
  /** Since when, in milliseconds since 1970. */
  readonly since: number
  /** In words, for people: why it is down, for instance. Has no credential. */
  readonly detail: string
  /** Why it is down, if that is known; absent while it is not. */
  readonly failure?: StoreFailure | undefined
  /** The live replicas, this one included; `undefined` while they are unknown. */
  readonly replicas: readonly ReplicaReport[] | undefined
  /** The ids of the keys that decrypt what the store has. The first one encrypts. */
  readonly keys: readonly string[]
}

/**
 * A token store that several replicas share, behind the memory of each: so a key costs one exchange for all of them. A
 * broker works without one, and goes on without one that is unavailable.
 */
export interface SecondLevel {
  /**
   * Looks a token up. Never rejects: a store that is unavailable or slow, or has something that cannot be read or is from
   * before a purge, counts as a miss.
   */
  readonly lookUp: (grant: Grant, wanted: Wanted) => Promise<LookUp>
  /**
   * Makes one exchange per key for all replicas: the replica that gets the lease calls `exchange` and stores the result, and
   * the others wait for it. Calls `exchange` itself if the store is unavailable, or if the holder of the lease does not
   * finish in time; then it resolves to the token that comes first, and aborts the exchange if that is not its own.
   *
   * Rejects as `exchange` does, also with the failure that the holder of the lease shared.
   *
   * @param exchange resolves to a token with `issuedAt` and `refreshAt`
   */
  readonly fetch: (grant: Grant, wanted: Wanted, signal: AbortSignal, exchange: TokenSource) => Promise<IssuedToken>
  /**
   * Purges for all replicas. Never rejects. The caller has purged its own memory before, and does so again afterwards: until
   * this settles, a look-up of this replica may find what is being purged.
   */
  readonly purge: (filter: FetchFilter) => Promise<PurgeReach>
  /**
   * Sets the listener for the purges of other replicas. It is called with `{}` (which matches everything) when purges may
   * have been missed. A purge is confirmed once it has returned. One listener.
   */
  readonly observePurges: (listener: (filter: FetchFilter) => void) => void
  /**
   * What a token of the own memory must wait for before it is served: a process that was stopped for longer than others
   * count it as live may have missed purges that were confirmed without it. Settles within a moment, and never rejects.
   *
   * @param monotonic the present moment, in monotonic milliseconds
   * @returns `undefined` if there is nothing to wait for
   */
  readonly untilCurrent: (monotonic: number) => Promise<void> | undefined
  /** Whether the store responds. Costs nothing, and sends nothing. */
  readonly isAvailable: () => boolean
  /** For `/health`. Sends nothing. */
  readonly status: () => SecondLevelStatus
  /** Connects. Resolves after the first connection or after one second, and never rejects: connecting continues. */
  readonly start: () => Promise<void>
  /** Ends the connections. Does not reject. */
  readonly close: () => Promise<void>
}
