import { BrokerError } from '../errors.ts'
import { errorFields } from './audit-fields.ts'
import type { Logs } from './log.ts'

/** The log message while the service is not ready. */
export const notReadyMessage = 'not ready yet'

/** Logs what the service still waits for before it is ready, why, and the remedy if it is known. */
export const notReadyYet =
  (log: Logs['log']) =>
  (need: string, err: unknown): void =>
    // `err` has the cause.
    log.warn(
      { waiting_for: need, err, ...(err instanceof BrokerError && { ...errorFields(err), cause: undefined }) },
      notReadyMessage,
    )
