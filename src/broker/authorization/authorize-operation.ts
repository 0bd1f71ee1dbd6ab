import { asBrokerError, type BrokerError } from '../../errors.ts'
import type { Caller } from '../authentication/authenticate.ts'
import type { RequestFacts } from '../lib/request-facts.ts'
import { operationNotPermitted } from './not-permitted.ts'
import type { Permission, Policy } from '../policy/model.ts'

/**
 * Authorizes an authenticated caller for an operation; throws `not_permitted`. The operations endpoints call it where the
 * token endpoints call `TokenService.issue`.
 */
export type AuthorizeOperation = (caller: Caller, permission: Permission, request: RequestFacts) => void

/** Observes every denial of an operation. */
export type OperationDenied = (
  request: RequestFacts,
  caller: Caller,
  permission: Permission,
  error: BrokerError,
) => void

/** Decides by the policy under which the caller was authenticated, and reports every denial. */
export function createAuthorizeOperation(denied: OperationDenied): AuthorizeOperation {
  return (caller, permission, request) => {
    try {
      requirePermission(caller.policy, caller, permission)
    } catch (thrown) {
      const error = asBrokerError(thrown)
      denied(request, caller, permission, error)
      throw error
    }
  }
}

/**
 * Decides whether a caller has a permission. Only denials that name callers and nothing else count: denials with tenants,
 * scopes or applications are about tokens.
 *
 * @throws BrokerError `not_permitted`
 */
export function requirePermission(policy: Policy, caller: Caller, permission: Permission): void {
  const isDenied = policy.index.barring(caller).length > 0
  const isGranted = policy.index.permitting(caller).some(({ permissions }) => permissions.has(permission))
  if (isGranted && !isDenied) return
  throw operationNotPermitted(caller, permission, isDenied ? 'denied' : 'no_rule')
}
