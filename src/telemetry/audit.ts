import type { Caller } from '../broker/authentication/authenticate.ts'
import type { Events, RequestFacts } from '../broker/events.ts'
import type { BrokerError } from '../errors.ts'
import { askFields, callerFields, errorFields, filterFields, grantFields, requestFields } from './audit-fields.ts'
import { everyHandOut, summarizedHandOuts } from './issued-lines.ts'
import type { Logs } from './log.ts'
import { createOncePerMinute } from './once-per-minute.ts'
import type { LineSink } from './output.ts'

/** The audit trail: one line for every decision, or one a minute for repeated hand-outs. */
export interface Audit extends Pick<
  Events,
  'issued' | 'refused' | 'unauthenticated' | 'forbidden' | 'refreshed' | 'purged' | 'policyLoaded' | 'policyRefused'
> {
  /** Writes what a summary holds back, and stops its clock. */
  readonly close: () => void
}

export interface AuditOptions {
  /**
   * `every` writes each hand-out; `summary` writes the first of a (caller, rule, key, token) at once and its repeats as
   * one line a minute. Refusals are always written each.
   */
  readonly mode: 'every' | 'summary'
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** The version in force: for requests that nobody was authenticated for. */
  readonly policyVersion: () => string
}

/** A log line has an end; /health has them all. */
const maxFaults = 20

export function createAudit({ audit, scrub }: Logs, sink: LineSink, options: AuditOptions): Audit {
  const handOuts = options.mode === 'every' ? everyHandOut(sink, scrub) : summarizedHandOuts(sink, scrub, options.now)
  const write = (error: BrokerError, message: string, fields: Record<string, unknown>): void => {
    const mustAct = error.status >= 500 && error.retryAfter === undefined
    audit[mustAct ? 'error' : 'warn']({ ...fields, ...errorFields(error) }, message)
  }
  const refreshFailures = createOncePerMinute(options.now)
  const by = (request: RequestFacts, caller: Caller) => ({ ...requestFields(request), caller: callerFields(caller) })
  const policy = () => ({ policy: options.policyVersion() })
  return {
    issued: handOuts.issued,
    close: handOuts.close,
    refused: (request, caller, ask, error, grant) => {
      const denied = error.code === 'not_permitted'
      const event = denied ? 'token.denied' : 'token.failed'
      const asked = grant ? grantFields(grant) : { ...askFields(ask), policy: caller.policy.version }
      write(error, denied ? 'token denied' : 'token failed', { event, ...by(request, caller), ...asked })
    },
    unauthenticated: (request, error) => {
      write(error, 'caller not authenticated', { event: 'caller.refused', ...requestFields(request), ...policy() })
    },
    forbidden: (request, caller, permission, error) => {
      const fields = { event: 'operation.denied', ...by(request, caller), permission, policy: caller.policy.version }
      write(error, 'operation denied', fields)
    },
    purged: (request, caller, filter, dropped) => {
      const purge = { event: 'tokens.purged', ...by(request, caller), ...filterFields(filter), dropped }
      audit.warn({ ...purge, policy: caller.policy.version }, 'tokens purged')
    },
    ...policyLines(audit),
    refreshed: (grant, _outcome, error) => {
      if (error === undefined) return
      const unwritten = refreshFailures.seen(`${grant.application} ${error.code} ${error.reason}`)
      if (unwritten === undefined) return
      write(error, 'token refresh failed; the cached token is still served', {
        event: 'token.refresh_failed',
        ...grantFields(grant),
        ...(unwritten > 0 && { unwritten }),
      })
    },
  }
}

/** What becomes of the policy file. */
const policyLines = (audit: Logs['audit']): Pick<Audit, 'policyLoaded' | 'policyRefused'> => ({
  policyLoaded: ({ version, rules, denials }, before) => {
    const counts = { rules: rules.length, denials: denials.length }
    audit.info({ event: 'policy.loaded', policy: version, before: before.version, ...counts }, 'policy in force')
  },
  policyRefused: ({ version }, faults) => {
    const told = faults.slice(0, maxFaults)
    const fields = { event: 'policy.refused', policy: version, count: faults.length, faults: told }
    audit.error(fields, 'the new policy is faulty; the one that was loaded before stays in force')
  },
})
