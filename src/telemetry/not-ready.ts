import { BrokerError } from '../errors.ts'
import { errorFields } from './audit-fields.ts'
import type { Logs } from './log.ts'

/** What the log says then. */
export const notReadyMessage = 'not ready yet'

/** Says what is still missing before the service is ready, why, and what to do about it where that is known. */
export const notReadyYet =
  (log: Logs['log']) =>
  (need: string, err: unknown): void =>
    // `err` has the cause.
    log.warn(
      { need, err, ...(err instanceof BrokerError && { ...errorFields(err), cause: undefined }) },
      notReadyMessage,
    )
