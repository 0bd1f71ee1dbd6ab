import { asBrokerError } from '../../errors.ts'
import type { Caller } from '../authentication/authenticate.ts'
import { authorizeOperation, type Permission } from './authorize.ts'
import type { Events, RequestFacts } from '../events.ts'

/**
 * Lets an authenticated caller through to an operation, or throws `not_permitted`. What the operations endpoints call
 * where those for tokens call `TokenIssuer.issue`.
 */
export type Permit = (caller: Caller, permission: Permission, request: RequestFacts) => void

/** Permissions under the policy that the caller was authenticated under; every refusal is announced. */
export function createPermit({ forbidden }: Pick<Events, 'forbidden'>): Permit {
  return (caller, permission, request) => {
    try {
      authorizeOperation(caller.policy, caller, permission)
    } catch (thrown) {
      const error = asBrokerError(thrown)
      forbidden(request, caller, permission, error)
      throw error
    }
  }
}
