import type { TLocalizedValidationError } from 'typebox/error'
import { BrokerError, type ErrorCode } from '../../errors.ts'

/** What each member of a request must be, and the code that says so. */
export type MemberFaults = Readonly<Record<string, readonly [ErrorCode, string]>>

/**
 * The first thing that is wrong with a request's members, unknown ones before anything else: they may be misspelt known
 * ones.
 *
 * @param noun what a member is called here: `member`, `parameter`
 * @param otherwise said of what is no set of members at all
 */
export function shapeError(
  errors: readonly TLocalizedValidationError[],
  members: MemberFaults,
  noun: string,
  otherwise: string,
): BrokerError {
  for (const { keyword, params } of errors) {
    if (keyword !== 'additionalProperties') continue
    const name = JSON.stringify(String(params.additionalProperties[0]).slice(0, 64))
    return new BrokerError('invalid_request', `Unknown ${noun} ${name}; there are ${Object.keys(members).join(', ')}.`)
  }
  for (const { keyword, params, instancePath } of errors) {
    if (keyword === 'required') {
      return new BrokerError('invalid_request', `The ${noun} ${params.requiredProperties[0]} is missing.`)
    }
    const known = members[instancePath.slice(1)]
    if (known) return new BrokerError(...known)
  }
  return new BrokerError('invalid_request', otherwise)
}
