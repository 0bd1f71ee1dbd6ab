import type { Caller } from '../broker/authentication/authenticate.ts'
import type { FetchFilter } from '../broker/events.ts'
import type { TokenRequest } from '../broker/policy/model.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import { redactCredentials } from '../broker/lib/text/credential-shapes.ts'
import { fingerprint } from '../broker/lib/fingerprint.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import type { BrokerError } from '../errors.ts'
import { describeCause, type Scrub } from './log.ts'

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
export const requestFields = ({ requestId, endpoint, address, traceId }: RequestFacts) => ({
  request_id: requestId,
  trace_id: traceId,
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

/** The further fields under `caller` of a delegated token: its user, and the application that requested it. */
export const userFieldNames = ['oid', 'client_id'] as const

/** The fields under `caller` that are only there where a text is not written as it is. */
export const callerHashFieldNames = { jwt: 'subject_sha256', certificate: 'name_sha256' } as const

type CallerFields = {
  readonly [Kind in Caller['kind']]: { readonly kind: Kind } & Readonly<
    Record<(typeof callerFieldNames)[Kind][number], string>
  > & {
      readonly [
        Name in (typeof callerHashFieldNames)[keyof typeof callerHashFieldNames] | (typeof userFieldNames)[number]
      ]?: string
    }
}[Caller['kind']]

/**
 * A text that a caller chose, as much of it as a line has room for. If that is not the whole text, because it was cut or
 * the scrubber changes it, its SHA-256 distinguishes it from others. A field, unlike a suffix, cannot be imitated.
 */
function callerText(text: string, scrub: Scrub): { readonly shown: string; readonly sha256: string | undefined } {
  const written = JSON.stringify(text)
  const isWhole = text.length <= maxSubjectLength && scrub(written) === written
  // Redacted before it is cut: nothing would be recognised of a credential that is cut.
  const shown = redactCredentials(text).slice(0, maxSubjectLength)
  return { shown, sha256: isWhole ? undefined : fingerprint(text) }
}

/**
 * The caller, by kind of credential.
 * @param scrub that of the line
 */
export function callerFields(caller: Caller, scrub: Scrub): CallerFields {
  if (caller.kind === 'apiKey') return { kind: caller.kind, key: caller.key, expires: caller.expires }
  if (caller.kind === 'certificate') {
    const name = caller.uris[0] ?? caller.dnsNames[0] ?? ''
    const { shown, sha256 } = callerText(name, scrub)
    const hash = sha256 !== undefined && { name_sha256: sha256 }
    return { kind: caller.kind, name: shown, fingerprint: caller.fingerprint.slice(0, 32), ...hash }
  }
  if (caller.kind === 'secret') return { kind: caller.kind }
  const { kind, issuer, subject, user } = caller
  const { shown, sha256 } = callerText(subject, scrub)
  return {
    kind,
    issuer,
    subject: shown,
    ...(sha256 !== undefined && { subject_sha256: sha256 }),
    ...(user && { oid: user.oid, client_id: redactCredentials(user.clientId).slice(0, maxSubjectLength) }),
  }
}

/** What was requested, as the caller wrote it: the policy may not define it. */
export const requestedFields = ({ tenant, scope, application, agent, received }: TokenRequest) => ({
  tenant: received?.tenant ?? tenant,
  scope,
  ...(agent === undefined ? { application: received?.application ?? application } : { agent }),
})

/** The filter of a purge. An absent part matches everything. */
export const filterFields = ({ clientId, agentId, tenant, scope }: FetchFilter) => ({
  client_id: clientId,
  agent_id: agentId,
  tenant,
  scope,
})

/** What was granted, by which rule of which version of the policy. */
export const grantFields = ({ rule, tenant, scope, application, agent, policyVersion }: Grant) => ({
  rule,
  tenant,
  scope,
  application,
  ...(agent !== undefined && { agent }),
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
  ...(error.parts.unverified && { unverified: error.parts.unverified }),
  ...(error.parts.upstream && {
    upstream: { codes: error.parts.upstream.codes, ...upstreamFields(error.parts.upstream) },
  }),
  ...(error.parts.remedy !== undefined && error.code !== 'not_permitted' && { remedy: error.parts.remedy }),
  ...(error.status >= 500 && error.cause !== undefined && { cause: describeCause(error.cause) }),
})
