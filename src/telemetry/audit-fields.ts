import type { Caller } from '../broker/authentication/authenticate.ts'
import type { FetchFilter } from '../broker/events.ts'
import type { TokenRequest } from '../broker/policy/model.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import type { BrokerError } from '../errors.ts'
import { describeCause } from './log.ts'

/** The fields of the audit log, by subject. Every event uses the same names. */

/** Every event of the audit log. */
export const auditEvents = [
  'token.issued',
  'token.denied',
  'token.failed',
  'token.refresh_failed',
  'caller.refused',
  'operation.denied',
  'tokens.purged',
  'policy.loaded',
  'policy.refused',
] as const

/** The event of one audit line. */
export interface AuditLine {
  readonly event: (typeof auditEvents)[number]
}

const maxSubjectLength = 256

/** The request that caused the line. */
export const requestFields = ({ requestId, endpoint, address }: RequestFacts) => ({
  request_id: requestId,
  endpoint,
  address,
})

/** The fields under `caller`, by its `kind`. */
export const callerFieldNames = {
  jwt: ['issuer', 'subject'],
  apiKey: ['key', 'expires'],
  certificate: ['name', 'fingerprint'],
  secret: [],
} as const satisfies Readonly<Record<Caller['kind'], readonly string[]>>

type CallerFields = {
  readonly [Kind in Caller['kind']]: { readonly kind: Kind } & Readonly<
    Record<(typeof callerFieldNames)[Kind][number], string>
  >
}[Caller['kind']]

/** The caller, by kind of credential. */
export function callerFields(caller: Caller): CallerFields {
  if (caller.kind === 'apiKey') return { kind: caller.kind, key: caller.key, expires: caller.expires }
  if (caller.kind === 'certificate') {
    const name = caller.uris[0] ?? caller.dnsNames[0] ?? ''
    return { kind: caller.kind, name: name.slice(0, maxSubjectLength), fingerprint: caller.fingerprint.slice(0, 32) }
  }
  if (caller.kind === 'secret') return { kind: caller.kind }
  const { kind, issuer, subject } = caller
  return { kind, issuer, subject: subject.slice(0, maxSubjectLength) }
}

/** What was requested, as the caller wrote it: the policy may not define it. */
export const requestedFields = ({ tenant, scope, application }: TokenRequest) => ({ tenant, scope, application })

/** The filter of a purge. An absent part matches everything. */
export const filterFields = ({ clientId, tenant, scope }: FetchFilter) => ({ client_id: clientId, tenant, scope })

/** What was granted, by which rule of which version of the policy. */
export const grantFields = ({ rule, tenant, scope, application, policyVersion }: Grant) => ({
  rule,
  tenant,
  scope,
  application,
  policy: policyVersion,
})

/** Entra's ids of an exchange, by which Microsoft's support finds it. */
export const upstreamFields = (ids: { traceId?: string | undefined; correlationId?: string | undefined }) => ({
  trace_id: ids.traceId,
  correlation_id: ids.correlationId,
})

/** What went wrong. There is no remedy for `not_permitted`, and a cause for server errors (5xx) only. */
export const errorFields = (error: BrokerError) => ({
  outcome: error.code,
  reason: error.reason,
  ...(error.parts.upstream && {
    upstream: { codes: error.parts.upstream.codes, ...upstreamFields(error.parts.upstream) },
  }),
  ...(error.parts.remedy !== undefined && error.code !== 'not_permitted' && { remedy: error.parts.remedy }),
  ...(error.status >= 500 && error.cause !== undefined && { cause: describeCause(error.cause) }),
})
