import type { Spans } from './spans.ts'

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

/** The clocks with which the lateness of the event loop is judged. */
export interface LoopClocks {
  /** Monotonic milliseconds. */
  readonly time: () => number
  /** Milliseconds of CPU time that the process has used since its start, on all its threads. */
  readonly cpu: () => number
}

/** What tests can replace: clocks and random numbers. */
export interface Runtime {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Separate from {@link clock}, since tests stop that one. */
  readonly loop: LoopClocks
  /** Measures how long callers and requests to Entra and the identity endpoint wait. Default: a timer. */
  readonly wait?: Wait
  /** The spans of requests to other servers. Default: none. */
  readonly spans?: Spans
}

/** The system's clocks, and `Math.random`. */
export const systemRuntime: Runtime = {
  clock: systemClock,
  random: Math.random,
  loop: { time: systemClock.monotonic, cpu: usedCpuMs },
}

function usedCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
