import { Compile } from 'typebox/compile'
import type { EntryQuery } from '../../broker/tokens/cache-statistics.ts'
import type { FailureQuery } from '../../broker/tokens/negative-cache/failure-page.ts'
import type { Policy } from '../../broker/policy/model.ts'
import { entryQuery, failureQuery } from '../schemas/requests.ts'
import { shapeError, type FieldErrors } from '../token-endpoints/shape-error.ts'
import { fieldErrors } from '../token-endpoints/token-request.ts'
import { tenantIdOf } from './policy-names.ts'

const entryShape = Compile(entryQuery)
const failureShape = Compile(failureQuery)
const defaultLimit = 100

/** The error code and detail for each invalid parameter of any list. */
const listErrors: FieldErrors = {
  tenant: fieldErrors.tenant,
  limit: ['invalid_request', 'limit must be a whole number from 1 to 1000.'],
  cursor: ['invalid_request', 'cursor must be the next_cursor of the previous page.'],
}

/** The error of a query that does not have its shape. */
const malformed = (shape: Pick<typeof entryShape, 'Errors'>, query: unknown, errors: FieldErrors) =>
  shapeError(shape.Errors(query), query, errors, 'parameter', 'The query is malformed.')

/**
 * Reads the query of `GET /cache/entries`. A tenant name that the policy does not define matches no entry.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readEntryQuery(query: unknown, policy: Policy): EntryQuery {
  if (!entryShape.Check(query)) throw malformed(entryShape, query, listErrors)
  return { ...listOf(query, policy), after: cursorOf(query) }
}

/**
 * Reads the query of `GET /cache/failures`. A tenant name that the policy does not define matches failures of whole
 * applications only: they affect every tenant.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readFailureQuery(query: unknown, policy: Policy): FailureQuery {
  if (!failureShape.Check(query)) throw malformed(failureShape, query, listErrors)
  return { ...listOf(query, policy), after: cursorOf(query) }
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
