import { Compile } from 'typebox/compile'
import type { EntryPosition, EntryQuery } from '../../broker/tokens/entry-page.ts'
import type { FailureQuery } from '../../broker/tokens/negative-cache/failure-page.ts'
import type { Policy } from '../../broker/policy/model.ts'
import type { DecisionQuery } from '../../broker/recent-decisions.ts'
import { decisionQuery, entryQuery, failureQuery } from '../schemas/requests.ts'
import { fieldError, shapeError, type FieldError, type FieldErrors } from '../token-endpoints/requests/shape-error.ts'
import { fieldErrors } from '../token-endpoints/requests/token-request.ts'
import { agentIdOf, tenantIdOf } from './policy-names.ts'

const entryShape = Compile(entryQuery)
const failureShape = Compile(failureQuery)
const decisionShape = Compile(decisionQuery)
const defaultLimit = 100

const ofTenant = fieldErrors.tenant
const ofLimit: FieldError = ['invalid_request', 'limit must be a whole number from 1 to 1000.']
const ofCursor: FieldError = ['invalid_request', 'cursor must be the next_cursor of the previous page.']

/** The error code and detail for each invalid parameter, in the order in which errors name them. */
const failureErrors: FieldErrors = { tenant: ofTenant, limit: ofLimit, cursor: ofCursor }
const decisionErrors: FieldErrors = {
  tenant: ofTenant,
  outcome: ['invalid_request', 'outcome must be denied or failed.'],
  limit: ofLimit,
  cursor: ofCursor,
}
const entryErrors: FieldErrors = {
  tenant: ofTenant,
  agent: fieldErrors.agent,
  state: ['invalid_request', 'state must be fresh, due, expired or at_risk.'],
  sort: ['invalid_request', 'sort must be fetched or expires_on.'],
  limit: ofLimit,
  cursor: ofCursor,
}

/** The error of a query that does not have its shape. */
const malformed = (shape: { readonly Errors: (typeof entryShape)['Errors'] }, query: unknown, errors: FieldErrors) =>
  shapeError(shape.Errors(query), query, errors, 'parameter', 'The query is malformed.')

/**
 * Reads the query of `GET /cache/entries`. A name that the policy does not define matches no entry.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readEntryQuery(query: unknown, policy: Policy): EntryQuery {
  if (!entryShape.Check(query)) throw malformed(entryShape, query, entryErrors)
  const { agent, state, sort, cursor } = query
  return {
    ...listOf(query, policy),
    ...(agent !== undefined && { agentId: agentIdOf(agent, policy) }),
    state,
    ...(sort && { sort }),
    after: positionOf(cursor, sort),
  }
}

/**
 * Reads the query of `GET /cache/failures`. A tenant name that the policy does not define matches failures of whole
 * applications only: they affect every tenant.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readFailureQuery(query: unknown, policy: Policy): FailureQuery {
  if (!failureShape.Check(query)) throw malformed(failureShape, query, failureErrors)
  return { ...listOf(query, policy), after: cursorOf(query) }
}

/**
 * Reads the query of `GET /decisions`. A tenant name that the policy does not define matches the requests that named it.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readDecisionQuery(query: unknown, policy: Policy): DecisionQuery {
  if (!decisionShape.Check(query)) throw malformed(decisionShape, query, decisionErrors)
  const { tenant, limit } = listOf(query, policy)
  const isListed = tenant === undefined ? undefined : (requested: string) => tenantIdOf(requested, policy) === tenant
  return { outcome: query.outcome, isListed, limit, before: cursorOf(query) }
}

interface ListQuery {
  readonly tenant?: string
  readonly limit?: string
  readonly cursor?: string
}

const listOf = ({ tenant, limit }: ListQuery, policy: Policy) => ({
  tenant: tenant === undefined ? undefined : tenantIdOf(tenant, policy),
  limit: limit === undefined ? defaultLimit : Number(limit),
})

const cursorOf = ({ cursor }: ListQuery): number | undefined => (cursor === undefined ? undefined : Number(cursor))

/** Reads a cursor of entries: `<id>`, or `<end>.<id>` if they are sorted by their end. */
function positionOf(cursor: string | undefined, sort: EntryQuery['sort'] | undefined): EntryPosition | undefined {
  if (cursor === undefined) return undefined
  const [first = '', second] = cursor.split('.')
  if ((sort === 'expires_on') !== (second !== undefined)) throw fieldError(ofCursor, cursor)
  return second === undefined ? { id: Number(first), endsAt: 0 } : { id: Number(second), endsAt: Number(first) }
}
