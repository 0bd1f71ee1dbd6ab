import type { Caller } from '../broker/authentication/authenticate.ts'
import type { Events } from '../broker/events.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import { escapeControls } from '../broker/lib/text/quoted.ts'
import type { Decision, DecisionPage, DecisionQuery } from '../broker/recent-decisions.ts'
import type { BrokerError } from '../errors.ts'
import { callerFields, grantFields, requestedFields } from './audit-fields.ts'
import type { Scrub } from './log.ts'

/** The last requests of authenticated callers that were denied or failed. Requests without an accepted credential do not count. */
export interface RecentDecisions extends Pick<Events, 'refused' | 'forbidden'> {
  readonly page: (query: DecisionQuery) => DecisionPage
}

/** The number of decisions that are kept at most. */
export const maxDecisions = 500
/** The number of characters that all of them together have at most. */
export const maxCharacters = 1_000_000

interface Kept {
  /** Greater than that of the decision before. */
  readonly id: number
  /** A {@link Decision} as JSON, without credentials. */
  readonly text: string
}

/**
 * Creates a ring of decisions: the newest replaces the oldest, by number and by weight. It keeps texts, and no reference to
 * a caller, a grant or a policy.
 *
 * @param scrub that of the log
 * @param now milliseconds since 1970
 */
export function createRecentDecisions(scrub: Scrub, now: () => number): RecentDecisions {
  const kept: Kept[] = []
  let characters = 0
  let added = 0
  const add = (decision: Decision): void => {
    const text = escapeControls(scrub(JSON.stringify(decision)))
    kept.push({ id: ++added, text })
    characters += text.length
    while (kept.length > maxDecisions || characters > maxCharacters) characters -= kept.shift()?.text.length ?? 0
  }
  return {
    refused: (request, caller, tokenRequest, error, grant) => {
      const { policy, ...target } = grant
        ? grantFields(grant)
        : { ...requestedFields(tokenRequest), tenant: tokenRequest.tenant, policy: caller.policy.version }
      add({ ...commonFacts(request, caller, error, scrub, now()), ...target, policy })
    },
    forbidden: (request, caller, permission, error) => {
      add({ ...commonFacts(request, caller, error, scrub, now()), permission })
    },
    page: query => pageOf(kept, query),
  }
}

function commonFacts(
  { requestId, traceId, endpoint, address }: RequestFacts,
  caller: Caller,
  { code, reason, parts: { upstream, limit, remedy } }: BrokerError,
  scrub: Scrub,
  at: number,
): Decision {
  const isDenied = code === 'not_permitted'
  return {
    at,
    outcome: isDenied ? 'denied' : 'failed',
    code,
    reason,
    caller: callerFields(caller, scrub),
    endpoint,
    address,
    requestId,
    ...(traceId !== undefined && { traceId }),
    policy: caller.policy.version,
    codes: upstream?.codes ?? [],
    ...(limit && { limit: { count: limit.count, seconds: limit.seconds } }),
    // That of a denial is for the caller: it repeats what is here.
    ...(remedy !== undefined && !isDenied && { remedy }),
  }
}

/** Whether it is what `add` wrote: nothing else is kept. */
const isDecision = (value: unknown): value is Decision =>
  typeof value === 'object' && value !== null && 'requestId' in value

function pageOf(kept: readonly Kept[], { outcome, isListed, limit, before = Infinity }: DecisionQuery): DecisionPage {
  const decisions: Decision[] = []
  let last: number | undefined
  for (const { id, text } of kept.toReversed()) {
    if (id >= before) continue
    const decision: unknown = JSON.parse(text)
    if (!isDecision(decision)) continue
    if (outcome !== undefined && decision.outcome !== outcome) continue
    if (isListed && (decision.tenant === undefined || !isListed(decision.tenant))) continue
    // The page is full, and this is one more: there is a next page.
    if (decisions.length === limit) return { decisions, next: last }
    decisions.push(decision)
    last = id
  }
  return { decisions, next: undefined }
}
