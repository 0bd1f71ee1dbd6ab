import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../errors.ts'

/** Milliseconds between two samples of the event loop's delay. */
export const sampleMs = 100
/** Milliseconds by which two consecutive samples must be late. */
export const lateMs = 200
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
 * @param monotonic a clock in milliseconds
 */
export function createOverloadDetector(monotonic: () => number): OverloadDetector {
  let last = monotonic()
  let before = 0
  let now = 0
  return {
    isOverloaded: () => before > lateMs && now > lateMs,
    sample: () => {
      const at = monotonic()
      before = now
      now = at - last - sampleMs
      last = at
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
