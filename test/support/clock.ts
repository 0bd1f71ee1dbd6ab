import type { Clock } from '../../src/broker/lib/clock.ts'

/** A clock that stands still until a test moves it. */
export interface MovableClock extends Clock {
  /** Lets time pass, on both clocks. */
  readonly advance: (ms: number) => void
  /** Sets the wall clock forward, or back with a negative number; no time passes. */
  readonly jumpWall: (ms: number) => void
}

/** Noon of a day on which nothing is special, in milliseconds since 1970. */
export const noon = Date.UTC(2026, 4, 20, 12)

export function movableClock(start = noon): MovableClock {
  let wall = start
  let elapsed = 1000
  return {
    now: () => wall,
    monotonic: () => elapsed,
    advance: ms => {
      wall += ms
      elapsed += ms
    },
    jumpWall: ms => {
      wall += ms
    },
  }
}

/**
 * Milliseconds of CPU time that this process has used so far: what pure computation takes, however busy the machine is
 * with other things.
 */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
