import type { Logger } from 'pino'
import type { Caller } from '../broker/authenticate.ts'
import type { Ask, Grant } from '../broker/policy.ts'
import type { Events, RequestFacts, TokenFacts } from '../broker/types.ts'
import type { BrokerError } from '../errors.ts'
import { fingerprint } from './fingerprint.ts'

/** The audit trail: one line for every decision, or one a minute for repeated hand-outs. */
export interface Audit extends Events {
  /** Writes what a summary holds back, and stops its clock. */
  readonly close: () => void
}

const maxSubjectLength = 256
const summaryEveryMs = 60_000

export interface AuditOptions {
  /**
   * `every` writes each hand-out; `summary` writes the first of a (caller, rule, key, token) at once and its repeats as
   * one line a minute. Refusals are always written each.
   */
  readonly mode: 'every' | 'summary'
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** The version of the policy that refusals are decided under; a hand-out's grant knows its own. */
  readonly policyVersion: () => string
}

export function createAudit(logger: Logger, options: AuditOptions): Audit {
  const handOuts = options.mode === 'every' ? everyHandOut(logger) : summarizedHandOuts(logger, options.now)
  return {
    issued: handOuts.issued,
    close: handOuts.close,
    refused: (request, caller, ask, error, grant) => {
      const denied = error.code === 'not_permitted'
      write(logger, error, denied ? 'token denied' : 'token failed', {
        event: denied ? 'token.denied' : 'token.failed',
        ...requestFields(request),
        caller: callerFields(caller),
        ...(grant ? grantFields(grant) : { ...askFields(ask), policy: options.policyVersion() }),
        ...errorFields(error),
      })
    },
    unauthenticated: (request, error) => {
      write(logger, error, 'caller not authenticated', {
        event: 'caller.refused',
        ...requestFields(request),
        ...errorFields(error),
      })
    },
    refreshFailed: (grant, error) => {
      write(logger, error, 'token refresh failed; the cached token is still served', {
        event: 'token.refresh_failed',
        ...grantFields(grant),
        ...errorFields(error),
      })
    },
  }
}

interface HandOuts {
  readonly issued: Events['issued']
  readonly close: () => void
}

/** What a grant and a token say in every line is serialised once, in a child logger, for as long as the token lives. */
function childLoggers(logger: Logger): (grant: Grant, token: TokenFacts) => Logger {
  const children = new WeakMap<Grant, { readonly token: TokenFacts; readonly child: Logger }>()
  return (grant, token) => {
    const known = children.get(grant)
    if (known?.token === token) return known.child
    const child = logger.child({
      event: 'token.issued',
      outcome: 'issued',
      caller: callerFields(grant.caller),
      ...grantFields(grant),
      token: fingerprint(token.token),
      upstream: upstreamFields(token),
    })
    children.set(grant, { token, child })
    return child
  }
}

function everyHandOut(logger: Logger): HandOuts {
  const childFor = childLoggers(logger)
  return {
    issued: (request, grant, token, how) => {
      childFor(grant, token).info(
        { request_id: request.requestId, endpoint: request.endpoint, address: request.address, cache: how },
        'token issued',
      )
    },
    close: () => undefined,
  }
}

interface Repeats {
  readonly token: TokenFacts
  readonly child: Logger
  count: number
  first: number
  last: number
}

function summarizedHandOuts(logger: Logger, now: () => number): HandOuts {
  const childFor = childLoggers(logger)
  const known = new WeakMap<Grant, Repeats>()
  const pending = new Set<Repeats>()

  const flush = (): void => {
    for (const repeats of pending) {
      const { count, first, last } = repeats
      repeats.child.info(
        { repeated: count, first: new Date(first).toISOString(), last: new Date(last).toISOString() },
        'token issued repeatedly',
      )
      repeats.count = 0
    }
    pending.clear()
  }
  const timer = setInterval(flush, summaryEveryMs).unref()

  return {
    issued: (request, grant, token, how) => {
      let repeats = known.get(grant)
      if (repeats?.token !== token) {
        repeats = { token, child: childFor(grant, token), count: 0, first: 0, last: 0 }
        known.set(grant, repeats)
        repeats.child.info({ ...requestFields(request), cache: how }, 'token issued')
        return
      }
      const at = now()
      if (repeats.count === 0) {
        repeats.first = at
        pending.add(repeats)
      }
      repeats.count++
      repeats.last = at
    },
    close: () => {
      clearInterval(timer)
      flush()
    },
  }
}

function write(logger: Logger, error: BrokerError, message: string, fields: Record<string, unknown>): void {
  if (error.status >= 500 && error.retryAfter === undefined) logger.error(fields, message)
  else logger.warn(fields, message)
}

const requestFields = ({ requestId, endpoint, address }: RequestFacts) => ({ request_id: requestId, endpoint, address })

const callerFields = ({ kind, issuer, subject }: Caller) => ({
  kind,
  issuer,
  subject: subject.slice(0, maxSubjectLength),
})

const askFields = ({ tenant, scope, application }: Ask) => ({ tenant, scope, application })

const grantFields = ({ rule, tenant, scope, application, policyVersion }: Grant) => ({
  rule,
  tenant,
  scope,
  application,
  policy: policyVersion,
})

const upstreamFields = ({
  traceId,
  correlationId,
}: {
  traceId?: string | undefined
  correlationId?: string | undefined
}) => ({
  trace_id: traceId,
  correlation_id: correlationId,
})

const errorFields = (error: BrokerError) => ({
  outcome: error.code,
  reason: error.reason,
  ...(error.parts.upstream && {
    upstream: { codes: error.parts.upstream.codes, ...upstreamFields(error.parts.upstream) },
  }),
  ...(error.parts.remedy !== undefined && error.code !== 'not_permitted' && { remedy: error.parts.remedy }),
  ...(error.status >= 500 && error.cause !== undefined && { err: error.cause }),
})
