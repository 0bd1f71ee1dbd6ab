/** Wall time and monotonic time, both in milliseconds. Injected, so that tests move time instead of sleeping. */
export interface Clock {
  /** Milliseconds since 1970 (as `Date.now`). May jump. */
  readonly now: () => number
  /** Milliseconds since an arbitrary start (as `performance.now`). Never goes back. */
  readonly monotonic: () => number
}

export const systemClock: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() })

/** What a test may replace: time and chance. */
export interface Surroundings {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds by which it is seen how late the event loop is; those of the clock stand still in tests. */
  readonly loopTime: () => number
}

/** The system's clock, and real chance. */
export const chance: Surroundings = {
  clock: systemClock,
  random: Math.random,
  loopTime: systemClock.monotonic,
}
