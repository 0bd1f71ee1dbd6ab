import type { LoopClocks } from '../../src/broker/lib/clock.ts'
import { lateMs, sampleMs } from '../../src/http/server/load-shedding.ts'

/**
 * The clocks of an event loop that is late by more than is allowed while `late` is true, in a process that uses all of
 * its CPU time.
 */
export function eventLoop(late: boolean): LoopClocks & { late: boolean } {
  let now = 0
  const loop = { late, time: () => (now += sampleMs + (loop.late ? lateMs + 1 : 0)), cpu: () => now }
  return loop
}
