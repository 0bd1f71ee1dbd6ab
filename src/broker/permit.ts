import { asBrokerError } from '../errors.ts'
import type { Caller } from './authenticate.ts'
import { authorizeOperation, type Permission, type Policy } from './policy.ts'
import type { Events, RequestFacts } from './types.ts'

/**
 * Lets an authenticated caller through to an operation, or throws `not_permitted`. What the operations endpoints call
 * where those for tokens call `TokenIssuer.issue`.
 */
export type Permit = (caller: Caller, permission: Permission, request: RequestFacts) => void

/** Permissions under one policy; every refusal is announced. */
export function createPermit(policy: Policy, { forbidden }: Pick<Events, 'forbidden'>): Permit {
  return (caller, permission, request) => {
    try {
      authorizeOperation(policy, caller, permission)
    } catch (thrown) {
      const error = asBrokerError(thrown)
      forbidden(request, caller, permission, error)
      throw error
    }
  }
}
