import type { Clock } from '../lib/clock.ts'

/** One moment on both clocks, in milliseconds. */
export interface Moment {
  readonly now: number
  readonly monotonic: number
}

/** The present moment on both clocks. */
export const momentOf = (clock: Clock): Moment => ({ now: clock.now(), monotonic: clock.monotonic() })

/** What is known of a token's life when it arrives. */
export interface Lifetime {
  /** Seconds from the moment it was asked for. */
  readonly expiresIn: number
  /** The token's own `exp`, in milliseconds since 1970. */
  readonly expiresAt?: number
  /** Seconds after which its issuer suggests a newer one. */
  readonly refreshIn?: number
}

/** When a token turns from fresh to due to expired. All in milliseconds. */
export interface Life {
  /** Wall time at which the token ends. */
  readonly endsAt: number
  /** The same moment by the monotonic clock. */
  readonly endsAtMonotonic: number
  /** How long before its end it becomes due. */
  readonly dueBeforeEnd: number
  /** How long before its end it is no longer handed out. */
  readonly minRemaining: number
}

/** fresh: served. due: served, and replaced in the background. expired: no longer served. */
export type Freshness = 'fresh' | 'due' | 'expired'

/** Tokens that live shorter are due earlier. */
export const shortLifeSeconds = 5 * 60
const jitter = 0.1
/** Share of the usable life: however late its issuer suggests a refresh, there is time for one. */
export const latestDue = 0.95

/**
 * Plans a token's life: it ends at the earlier of `expiresIn` and its own `exp`; it is due at the time its issuer
 * suggests, else after 75 % of its life, half of a life under five minutes; ±10 %, so that tokens fetched together do
 * not fall due together; it is not handed out for its last `minRemainingSeconds`, or tenth if that is less.
 *
 * @param random uniform in [0, 1)
 */
export function planLife(known: Lifetime, asked: Moment, minRemainingSeconds: number, random: () => number): Life {
  const life = Math.min(known.expiresIn * 1000, (known.expiresAt ?? Number.POSITIVE_INFINITY) - asked.now)
  const share = life < shortLifeSeconds * 1000 ? 0.5 : 0.75
  const wanted = known.refreshIn === undefined ? life * share : Math.min(known.refreshIn * 1000, life)
  const minRemaining = Math.min(minRemainingSeconds * 1000, life / 10)
  const dueAfter = Math.min(wanted * (1 + jitter * (2 * random() - 1)), latestDue * (life - minRemaining))
  return {
    endsAt: asked.now + life,
    endsAtMonotonic: asked.monotonic + life,
    dueBeforeEnd: life - dueAfter,
    minRemaining,
  }
}

/**
 * Milliseconds until a token ends, by whichever clock says less: a wall clock that jumps back lengthens no life, and a
 * machine that slept through it does not either.
 */
export const remainingMs = (life: Life, moment: Moment): number =>
  Math.min(life.endsAt - moment.now, life.endsAtMonotonic - moment.monotonic)

/** What a token of this life is, with so many milliseconds remaining; see {@link remainingMs}. */
export function freshness(life: Life, remaining: number): Freshness {
  if (remaining <= life.minRemaining) return 'expired'
  return remaining <= life.dueBeforeEnd ? 'due' : 'fresh'
}

/** Milliseconds for which a token is still handed out; 0 or less once it is expired. */
export const usableMs = (life: Life, moment: Moment): number => remainingMs(life, moment) - life.minRemaining

const firstBackOffMs = 15_000
const longestBackOffMs = 5 * 60_000
const leastBackOffMs = 200
/** What is left of the time in which a token is served, divided by the longest wait within it. */
const waitsThatFit = 4

/**
 * The most milliseconds to wait after a failed refresh, however often it has failed: a quarter of the time for which the
 * token is still served, so that several tries fit into it, however short; 200 ms at least.
 */
export const longestWaitMs = (servedFor: number): number => Math.max(leastBackOffMs, servedFor / waitsThatFit)

/**
 * Milliseconds to wait after the nth failed refresh in a row (from 1): full jitter under 15 s, 30 s, … 5 min, and under
 * {@link longestWaitMs}.
 *
 * @param servedFor milliseconds for which the token is still served
 */
export const refreshBackOffMs = (failures: number, servedFor: number, random: () => number): number =>
  random() * Math.min(longestBackOffMs, firstBackOffMs * 2 ** (failures - 1), longestWaitMs(servedFor))

/** Whole seconds until a token ends. @param remaining milliseconds of {@link remainingMs} */
export const expiresInSeconds = (remaining: number): number => Math.floor(remaining / 1000)

/** When a token ends, in whole seconds since 1970. */
export const expiresOnSeconds = ({ endsAt }: Life): number => Math.floor(endsAt / 1000)

/** Whole seconds until a token becomes due; 0 once it is. */
export const refreshInSeconds = ({ dueBeforeEnd }: Life, remaining: number): number =>
  Math.max(0, Math.floor((remaining - dueBeforeEnd) / 1000))

/** Whole seconds for which a token is still served. */
export const usableSeconds = ({ minRemaining }: Life, remaining: number): number =>
  Math.floor((remaining - minRemaining) / 1000)
