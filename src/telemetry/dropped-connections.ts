import type { Events } from '../broker/events.ts'
import type { Logs } from './log.ts'
import { createOncePerMinute } from './once-per-minute.ts'

/**
 * Logs dropped connections: a line for each reason, once a minute at most, with the number of those without a line.
 * @param now milliseconds since 1970
 */
export function logDroppedConnections({ log }: Pick<Logs, 'log'>, now: () => number): Events['connectionDropped'] {
  const lines = createOncePerMinute(now)
  return (reason, address) => {
    const suppressed = lines.seen(reason)
    if (suppressed !== undefined) log.warn({ reason, address, suppressed }, 'connection dropped')
  }
}
