import type { Clock } from '../../src/broker/lib/clock.ts'

/** A clock that only moves when a test moves it. */
export interface MovableClock extends Clock {
  /** Moves both clocks forward. */
  readonly advance: (ms: number) => void
  /** Moves only the wall clock, backwards with a negative number. */
  readonly jumpWall: (ms: number) => void
}

/** Noon of an ordinary day, in milliseconds since 1970. */
export const noon = Date.UTC(2026, 4, 20, 12)

/** Creates a clock that starts at `start`, in milliseconds since 1970. */
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
