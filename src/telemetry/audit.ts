import type { Caller } from '../broker/authentication/authenticate.ts'
import type { Events } from '../broker/events.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import type { BrokerError } from '../errors.ts'
import {
  type AuditLine,
  requestedFields,
  callerFields,
  errorFields,
  filterFields,
  grantFields,
  requestFields,
} from './audit-fields.ts'
import { everyIssuance, summarizedIssuance } from './issued-lines.ts'
import type { Logs } from './log.ts'
import { createOncePerMinute } from './once-per-minute.ts'
import type { LineSink } from './output.ts'
import { summarizeRefusals, type RefusedLines } from './refused-callers.ts'

/** The audit log: one line for every decision, or one a minute for tokens issued repeatedly. */
export interface Audit extends Pick<
  Events,
  'issued' | 'refused' | 'unauthenticated' | 'forbidden' | 'refreshed' | 'purged' | 'policyLoaded' | 'policyRefused'
> {
  /** Writes the pending repetitions of a summary, and stops its timer. */
  readonly close: () => void
}

/** How the audit log is written. */
export interface AuditOptions {
  /**
   * `every` writes each token issued; `summary` writes the first of a (caller, rule, key, token) at once and its
   * repetitions as one line a minute. In both modes every denial is written, and requests without an authenticated
   * caller are written once per address and reason, and then once a minute.
   */
  readonly mode: 'every' | 'summary'
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** The version of the active policy, for requests without an authenticated caller. */
  readonly policyVersion: () => string
}

/** Keeps the line short; `/health` lists all errors. */
const maxErrors = 20

/** Creates the audit log. Lines of issued tokens go straight to `sink`, all others through the logger. */
export function createAudit({ audit, scrub }: Logs, sink: LineSink, options: AuditOptions): Audit {
  const issuance = options.mode === 'every' ? everyIssuance(sink, scrub) : summarizedIssuance(sink, scrub, options.now)
  const { unauthenticated, close: closeRefused } = summarizeRefusals(refusedLines(audit, options), options.now)
  const write = (error: BrokerError, message: string, fields: AuditLine & Record<string, unknown>): void => {
    audit[levelOf(error)]({ ...fields, ...errorFields(error) }, message)
  }
  const refreshFailures = createOncePerMinute(options.now)
  const by = (request: RequestFacts, caller: Caller) => ({
    ...requestFields(request),
    caller: callerFields(caller, scrub),
  })
  return {
    issued: issuance.issued,
    unauthenticated,
    close: () => {
      issuance.close()
      closeRefused()
    },
    refused: (request, caller, tokenRequest, error, grant) => {
      const denied = error.code === 'not_permitted'
      const event: AuditLine['event'] = denied ? 'token.denied' : 'token.failed'
      const target = grant ? grantFields(grant) : { ...requestedFields(tokenRequest), policy: caller.policy.version }
      write(error, denied ? 'token denied' : 'token failed', { event, ...by(request, caller), ...target })
    },
    forbidden: (request, caller, permission, error) => {
      const fields = { ...by(request, caller), permission, policy: caller.policy.version }
      write(error, 'operation denied', { event: 'operation.denied', ...fields })
    },
    purged: (request, caller, filter, dropped, reach) => {
      const event: AuditLine['event'] = 'tokens.purged'
      const purge = { event, ...by(request, caller), ...filterFields(filter), dropped, ...reach }
      audit.warn({ ...purge, policy: caller.policy.version }, 'tokens purged')
    },
    ...policyLines(audit),
    refreshed: (grant, _outcome, error) => {
      if (error === undefined) return
      const suppressed = refreshFailures.seen(`${grant.application} ${error.code} ${error.reason}`)
      if (suppressed === undefined) return
      write(error, 'token refresh failed; the cached token is still served', {
        event: 'token.refresh_failed',
        ...grantFields(grant),
        ...(suppressed > 0 && { suppressed }),
      })
    },
  }
}

/** An operator must act on what does not pass by itself. */
const levelOf = (error: Pick<BrokerError, 'status' | 'retryAfter'>): 'error' | 'warn' =>
  error.status >= 500 && error.retryAfter === undefined ? 'error' : 'warn'

/** The lines about callers that were not authenticated. They name no caller, only the address. */
function refusedLines(audit: Logs['audit'], { policyVersion }: AuditOptions): RefusedLines {
  const event: AuditLine['event'] = 'caller.refused'
  return {
    one: (request, error) => {
      const fields = { event, ...requestFields(request), policy: policyVersion(), ...errorFields(error) }
      audit[levelOf(error)](fields, 'caller not authenticated')
    },
    many: ({ request, error, count, first, last }) => {
      const times = { first: new Date(first).toISOString(), last: new Date(last).toISOString() }
      const what = {
        event,
        ...requestFields(request),
        policy: policyVersion(),
        outcome: error.code,
        reason: error.reason,
        ...(error.unverified && { unverified: error.unverified }),
      }
      audit[levelOf(error)]({ ...what, repeated: count, ...times }, 'callers not authenticated, repeatedly')
    },
  }
}

/** The lines about the policy file. */
const policyLines = (audit: Logs['audit']): Pick<Audit, 'policyLoaded' | 'policyRefused'> => ({
  policyLoaded: ({ version, rules, denials }, before) => {
    const counts = { rules: rules.length, denials: denials.length }
    const event: AuditLine['event'] = 'policy.loaded'
    audit.info({ event, policy: version, previous: before.version, ...counts }, 'policy active')
  },
  policyRefused: ({ version }, errors) => {
    const event: AuditLine['event'] = 'policy.refused'
    const fields = { event, policy: version, count: errors.length, errors: errors.slice(0, maxErrors) }
    audit.error(fields, 'the new policy is invalid; the previous policy stays active')
  },
})
