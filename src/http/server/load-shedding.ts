import type { FastifyInstance } from 'fastify'
import type { LoopClocks } from '../../broker/lib/clock.ts'
import { BrokerError } from '../../errors.ts'

/** Milliseconds between two samples of the event loop's delay. */
export const sampleMs = 100
/** Milliseconds by which two consecutive samples must be late. */
export const lateMs = 200
/**
 * The share of one CPU that the process must have used while a sample was late: half of what it has, if it is busy, under
 * a CPU limit of 0.25. The kernel makes it wait for the rest.
 */
export const leastCpuShare = 0.125
const retryAfterSeconds = 2

/** Whether the broker cannot respond to all requests in time. */
export interface OverloadDetector {
  readonly isOverloaded: () => boolean
  /** Takes a sample; must be called every {@link sampleMs}, as exactly as the event loop can. */
  readonly sample: () => void
}

/**
 * Detects an overload by how late the event loop is. One late sample is a pause, such as a garbage collection or the
 * reading of a large policy; two consecutive ones are an overload.
 *
 * A late sample counts only if the process itself used the CPU meanwhile. A process that other programs keep from the
 * CPU, or that was stopped, is late too, but with little to do; to refuse requests would not help it.
 */
export function createOverloadDetector({ time, cpu }: LoopClocks): OverloadDetector {
  let last = { at: time(), used: cpu() }
  let before = 0
  let now = 0
  return {
    isOverloaded: () => before > lateMs && now > lateMs,
    sample: () => {
      const sampled = { at: time(), used: cpu() }
      const elapsed = sampled.at - last.at
      const isBusy = sampled.used - last.used >= leastCpuShare * elapsed
      before = now
      now = isBusy ? elapsed - sampleMs : 0
      last = sampled
    },
  }
}

/** Refuses the requests of a scope's routes during an overload, before any other work for them. */
export function shedLoad(scope: FastifyInstance, isOverloaded: () => boolean): void {
  scope.addHook('onRequest', (_request, _reply, done) => {
    done(isOverloaded() ? overloaded() : undefined)
  })
}

const overloaded = () =>
  new BrokerError('overloaded', 'The broker cannot respond to more requests in time.', {
    retryAfter: retryAfterSeconds,
  })
