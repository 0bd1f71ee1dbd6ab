/** Wall time and monotonic time, both in milliseconds. Injected, so that tests move time instead of sleeping. */
export interface Clock {
  /** Milliseconds since 1970 (as `Date.now`). May jump. */
  readonly now: () => number
  /** Milliseconds since an arbitrary start (as `performance.now`). Never goes back. */
  readonly monotonic: () => number
}

/** The system's clocks. */
export const systemClock: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() })

/** Resolves after `ms`; rejects when the signal aborts first. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>

/** What tests can replace: clocks and random numbers. */
export interface Runtime {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Monotonic milliseconds with which the lateness of the event loop is measured. Separate, since tests stop the clock. */
  readonly loopTime: () => number
  /** Measures how long callers and requests to Entra and the identity endpoint wait. Default: a timer. */
  readonly wait?: Wait
}

/** The system's clocks, and `Math.random`. */
export const systemRuntime: Runtime = {
  clock: systemClock,
  random: Math.random,
  loopTime: systemClock.monotonic,
}
