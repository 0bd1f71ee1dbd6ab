import { Compile } from 'typebox/compile'
import type { EntryQuery } from '../../broker/tokens/cache-statistics.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Policy } from '../../broker/policy/model.ts'
import { entryQuery } from '../schemas/requests.ts'
import { shapeError, type FieldErrors } from '../token-endpoints/shape-error.ts'
import { fieldErrors } from '../token-endpoints/token-request.ts'

const shape = Compile(entryQuery)
const defaultLimit = 100

/** The error code and detail for each invalid parameter. */
const parameterErrors: FieldErrors = {
  tenant: fieldErrors.tenant,
  limit: ['invalid_request', 'limit must be a whole number from 1 to 1000.'],
  cursor: ['invalid_request', 'cursor must be the next_cursor of the previous page.'],
}

/**
 * Reads the query of `GET /cache/entries`. A tenant name that the policy does not define matches no entry.
 * @throws BrokerError `invalid_request`, `invalid_tenant`
 */
export function readEntryQuery(query: unknown, policy: Policy): EntryQuery {
  if (!shape.Check(query)) {
    throw shapeError(shape.Errors(query), query, parameterErrors, 'parameter', 'The query is malformed.')
  }
  const { tenant, limit, cursor } = query
  return {
    tenant:
      tenant === undefined ? undefined : isGuid(tenant) ? tenant.toLowerCase() : (policy.tenants.get(tenant) ?? tenant),
    limit: limit === undefined ? defaultLimit : Number(limit),
    after: cursor === undefined ? undefined : Number(cursor),
  }
}
