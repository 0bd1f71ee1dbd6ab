import type { BrokerError } from '../../../errors.ts'
import type { FailureLevel } from '../../../reasons/row.ts'
import type { Moment } from '../freshness.ts'
import { type CachedFailure, matches } from './records.ts'

/** Which cached failures to list. */
export interface FailureQuery {
  /** A tenant id in lower case: failures that affect it, those of whole applications too. Absent: all. */
  readonly tenant?: string | undefined
  readonly limit: number
  /** {@link FailurePage.next} of the page before; absent: from the start. */
  readonly after?: number | undefined
}

/** One cached failure. Times are in milliseconds since 1970. */
export interface ListedFailure {
  readonly level: FailureLevel
  readonly clientId: string
  /** Of an agent identity; `undefined` at the level `application`, and for a token of the application itself. */
  readonly agentId: string | undefined
  /** `undefined` at the level `application`. */
  readonly tenant: string | undefined
  /** Only at the level `key`. */
  readonly scope: string | undefined
  /** Without its cause. */
  readonly error: BrokerError
  /** When the first of the failures in a row occurred. */
  readonly since: number
  /** Before, no fetch is made. In the past: the next request causes one. */
  readonly until: number
  /** Consecutive failures. */
  readonly count: number
}

/** One page of cached failures. */
export interface FailurePage {
  readonly failures: readonly ListedFailure[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: number | undefined
}

/**
 * Lists cached failures in the order in which they were stored. A failure that occurs again between two pages moves to the
 * end, so it may be listed twice; no failure that stays is missed. Sorts all that match: for people and dashboards.
 */
export function failurePage(
  failures: Iterable<CachedFailure>,
  { tenant, limit, after = 0 }: FailureQuery,
  moment: Moment,
): FailurePage {
  const filter = { tenant }
  const matching = [...failures].filter(failure => failure.order > after && matches(failure, filter))
  const sorted = matching.toSorted((a, b) => a.order - b.order)
  const page = sorted.slice(0, limit)
  return {
    failures: page.map(failure => listed(failure, moment)),
    next: sorted.length > limit ? page.at(-1)?.order : undefined,
  }
}

function listed(failure: CachedFailure, { now, monotonic }: Moment): ListedFailure {
  const { level, clientId, agentId, tenant, scope, error, since, until, failures: count } = failure
  const atWall = (at: number): number => Math.round(now + at - monotonic)
  return { level, clientId, agentId, tenant, scope, error, since: atWall(since), until: atWall(until), count }
}
