import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../errors.ts'

/** Milliseconds between two looks at the event loop. */
export const sampleMs = 100
/** Milliseconds by which two looks in a row must be late. */
export const lateMs = 200
const retryAfterSeconds = 2

/** Whether there is more to do than can be done in time. */
export interface Overload {
  readonly isOverloaded: () => boolean
  /** Looks at the clock: to be called every {@link sampleMs}, as well as the event loop can. */
  readonly sample: () => void
}

/**
 * Judges by how late the event loop is. One late look is a pause, such as a collection of garbage or a large policy that
 * is read; two in a row are an overload.
 *
 * @param monotonic milliseconds
 */
export function createOverload(monotonic: () => number): Overload {
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

/** Refuses the requests of a scope's routes while there is too much to do: before anything is done for them. */
export function shedLoad(scope: FastifyInstance, isOverloaded: () => boolean): void {
  scope.addHook('onRequest', (_request, _reply, done) => {
    done(isOverloaded() ? overloaded() : undefined)
  })
}

const overloaded = () =>
  new BrokerError('overloaded', 'The broker has more to do than it can do in time.', { retryAfter: retryAfterSeconds })
