import { refreshOutcomes } from '../../broker/events.ts'
import { reasonTable } from '../../errors.ts'
import type { Origin, ReasonRow } from '../../reasons/row.ts'

/** The parts of the broker that a refresh passes through, and a bug. */
const origins: ReadonlySet<Origin> = new Set(['identity', 'exchange', 'circuit', 'cache'])

const failures = Object.values(reasonTable)
  .flatMap(rows => Object.entries<ReasonRow>(rows))
  .filter(([, { origin }]) => origins.has(origin))
  .map(([reason]) => reason)

/**
 * How a background refresh of the broker can end: values of the label `outcome`, the reasons of failures included. The
 * refreshes of an agent can also end with the reasons that only an agent gives.
 */
export const refreshResults: readonly string[] = [
  ...new Set([...refreshOutcomes.filter(word => word !== 'failed'), ...failures, 'internal_error']),
]
