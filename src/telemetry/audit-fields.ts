import type { Caller } from '../broker/authentication/authenticate.ts'
import type { FetchFilter } from '../broker/tokens/negative-cache.ts'
import type { Ask, Grant } from '../broker/authorization/authorize.ts'
import type { RequestFacts } from '../broker/events.ts'
import type { BrokerError } from '../errors.ts'
import { describeCause } from './log.ts'

/** The audit trail's members, by what they speak of. Every kind of line uses the same names. */

const maxSubjectLength = 256

export const requestFields = ({ requestId, endpoint, address }: RequestFacts) => ({
  request_id: requestId,
  endpoint,
  address,
})

/** Who asked, by kind of credential. */
export function callerFields(caller: Caller): Readonly<Record<string, string>> {
  if (caller.kind === 'apiKey') return { kind: caller.kind, key: caller.key, expires: caller.expires }
  if (caller.kind === 'certificate') {
    const name = caller.uris[0] ?? caller.dnsNames[0] ?? ''
    return { kind: caller.kind, name: name.slice(0, maxSubjectLength), fingerprint: caller.fingerprint.slice(0, 32) }
  }
  if (caller.kind === 'secret') return { kind: caller.kind }
  const { kind, issuer, subject } = caller
  return { kind, issuer, subject: subject.slice(0, maxSubjectLength) }
}

/** What was asked for, as the caller wrote it: the policy may not know it. */
export const askFields = ({ tenant, scope, application }: Ask) => ({ tenant, scope, application })

/** What was to be forgotten; what is absent stands for all. */
export const filterFields = ({ clientId, tenant, scope }: FetchFilter) => ({ client_id: clientId, tenant, scope })

export const grantFields = ({ rule, tenant, scope, application, policyVersion }: Grant) => ({
  rule,
  tenant,
  scope,
  application,
  policy: policyVersion,
})

/** Entra's own ids of an exchange, by which Microsoft's support finds it. */
export const upstreamFields = (ids: { traceId?: string | undefined; correlationId?: string | undefined }) => ({
  trace_id: ids.traceId,
  correlation_id: ids.correlationId,
})

export const errorFields = (error: BrokerError) => ({
  outcome: error.code,
  reason: error.reason,
  ...(error.parts.upstream && {
    upstream: { codes: error.parts.upstream.codes, ...upstreamFields(error.parts.upstream) },
  }),
  ...(error.parts.remedy !== undefined && error.code !== 'not_permitted' && { remedy: error.parts.remedy }),
  ...(error.status >= 500 && error.cause !== undefined && { cause: describeCause(error.cause) }),
})
