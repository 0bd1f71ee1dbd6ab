import type { Clock } from '../lib/clock.ts'

/** One moment on both clocks, in milliseconds. */
export interface Moment {
  readonly now: number
  readonly monotonic: number
}

/** The present moment on both clocks. */
export const momentOf = (clock: Clock): Moment => ({ now: clock.now(), monotonic: clock.monotonic() })

/** What the issuer says about a token's life. */
export interface Lifetime {
  /** Seconds, counted from {@link issuedAt}, or else from the moment when the token was requested. */
  readonly expiresIn: number
  /** The token's own `exp`, in milliseconds since 1970. */
  readonly expiresAt?: number
  /** Seconds after which the issuer suggests to fetch a newer token. */
  readonly refreshIn?: number
  /** When it was requested, in milliseconds since 1970, if another replica did so: by that replica's clock. */
  readonly issuedAt?: number
  /** When it becomes due, in milliseconds since 1970, if that is planned already. */
  readonly refreshAt?: number
}

/** When a token turns from fresh to due to expired. All in milliseconds. */
export interface Life {
  /** Wall time at which the token ends, since 1970. */
  readonly endsAt: number
  /** The same moment by the monotonic clock. */
  readonly endsAtMonotonic: number
  /** How long before its end it becomes due. */
  readonly dueBeforeEnd: number
  /** How long before its end it is expired: no longer issued. */
  readonly minRemaining: number
}

/** fresh: served. due: served, and refreshed in the background. expired: no longer served. */
export type Freshness = 'fresh' | 'due' | 'expired'

/** Tokens that live shorter than this many seconds are due after half of their life. */
export const shortLifeSeconds = 5 * 60
const jitter = 0.1
/** A token is due after this share of its usable life at the latest, so that there is time for a refresh. */
export const latestDue = 0.95

/**
 * Plans a token's life.
 *
 * - It ends at the earlier of `expiresIn` and its own `exp`.
 * - It is due at `refreshAt`. Without that, when the issuer suggests, else after 75 % of its life, or half of a life under
 *   five minutes; ±10 % are added, so that tokens fetched together do not become due together.
 * - It is expired for its last `minRemainingSeconds`, or the last tenth of its life if that is less.
 *
 * @param requestedAt when the token was requested, or looked up. Its life starts then, or at `issuedAt` if that is earlier:
 *   a replica whose clock is fast makes no life longer
 * @param random uniform in [0, 1)
 */
export function planLife(
  known: Lifetime,
  requestedAt: Moment,
  minRemainingSeconds: number,
  random: () => number,
): Life {
  const start = Math.min(known.issuedAt ?? requestedAt.now, requestedAt.now)
  const endsAt = Math.min(start + known.expiresIn * 1000, known.expiresAt ?? Number.POSITIVE_INFINITY)
  const life = endsAt - start
  const minRemaining = Math.min(minRemainingSeconds * 1000, life / 10)
  const wanted = known.refreshAt === undefined ? planRefresh(known, life, random) : known.refreshAt - start
  const dueAfter = Math.min(wanted, latestDue * (life - minRemaining))
  return {
    endsAt,
    endsAtMonotonic: requestedAt.monotonic + (endsAt - requestedAt.now),
    dueBeforeEnd: life - dueAfter,
    minRemaining,
  }
}

/** Milliseconds after which a refresh is wanted, with jitter. */
function planRefresh({ refreshIn }: Lifetime, life: number, random: () => number): number {
  const share = life < shortLifeSeconds * 1000 ? 0.5 : 0.75
  const wanted = refreshIn === undefined ? life * share : Math.min(refreshIn * 1000, life)
  return wanted * (1 + jitter * (2 * random() - 1))
}

/**
 * Milliseconds until a token ends, by the clock that leaves less time. So neither a wall clock that jumps back nor a
 * machine that slept makes a life longer.
 */
export const remainingMs = (life: Life, moment: Moment): number =>
  Math.min(life.endsAt - moment.now, life.endsAtMonotonic - moment.monotonic)

/** The state of a token with this life. @param remaining milliseconds of {@link remainingMs} */
export function freshness(life: Life, remaining: number): Freshness {
  if (remaining <= life.minRemaining) return 'expired'
  return remaining <= life.dueBeforeEnd ? 'due' : 'fresh'
}

/** Milliseconds for which a token is still served; 0 or less once it is expired. */
export const usableMs = (life: Life, moment: Moment): number => remainingMs(life, moment) - life.minRemaining

/** Whether a life ends later than another one, by either clock. */
export const livesLonger = (life: Life, other: Life): boolean =>
  life.endsAt > other.endsAt || life.endsAtMonotonic > other.endsAtMonotonic

const firstBackOffMs = 15_000
const longestBackOffMs = 5 * 60_000
const leastBackOffMs = 200
/** A wait takes at most the time for which the token is still served, divided by this. */
const waitsThatFit = 4

/**
 * The longest wait after a failed refresh, in milliseconds: a quarter of the time for which the token is still served, so
 * that several tries fit into it, but 200 ms or more.
 *
 * @param usable milliseconds of {@link usableMs}
 */
export const longestWaitMs = (usable: number): number => Math.max(leastBackOffMs, usable / waitsThatFit)

/**
 * Milliseconds to wait after the nth failed refresh in a row: a random part (full jitter) of 15 s, 30 s, 60 s … 5 minutes,
 * or of {@link longestWaitMs} if that is less.
 *
 * @param failures n, from 1
 * @param usable milliseconds of {@link usableMs}
 * @param random uniform in [0, 1)
 */
export const refreshBackOffMs = (failures: number, usable: number, random: () => number): number =>
  random() * Math.min(longestBackOffMs, firstBackOffMs * 2 ** (failures - 1), longestWaitMs(usable))

/** Whole seconds until a token ends. @param remaining milliseconds of {@link remainingMs} */
export const expiresInSeconds = (remaining: number): number => Math.floor(remaining / 1000)

/** When a token ends, in whole seconds since 1970. */
export const expiresOnSeconds = ({ endsAt }: Life): number => Math.floor(endsAt / 1000)

/** Whole seconds until a token becomes due; 0 once it is. @param remaining milliseconds of {@link remainingMs} */
export const refreshInSeconds = ({ dueBeforeEnd }: Life, remaining: number): number =>
  Math.max(0, Math.floor((remaining - dueBeforeEnd) / 1000))

/** Whole seconds for which a token is still served. @param remaining milliseconds of {@link remainingMs} */
export const usableSeconds = ({ minRemaining }: Life, remaining: number): number =>
  Math.floor((remaining - minRemaining) / 1000)
