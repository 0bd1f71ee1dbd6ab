import type { TLocalizedValidationError } from 'typebox/error'
import { BrokerError, type ErrorCode } from '../../errors.ts'

/** What each field of a request must be, and the code of the error if it is not. */
export type FieldErrors = Readonly<Record<string, readonly [ErrorCode, string]>>

/**
 * The first error in a request's fields. Unknown fields come before all others, since they may be misspelt known ones.
 *
 * @param noun what the message calls a field: `field`, `parameter`
 * @param otherwise the message if the request has no fields at all
 */
export function shapeError(
  errors: readonly TLocalizedValidationError[],
  fields: FieldErrors,
  noun: string,
  otherwise: string,
): BrokerError {
  for (const { keyword, params } of errors) {
    if (keyword !== 'additionalProperties') continue
    const name = JSON.stringify(String(params.additionalProperties[0]).slice(0, 64))
    return new BrokerError('invalid_request', `Unknown ${noun} ${name}; allowed: ${Object.keys(fields).join(', ')}.`)
  }
  for (const { keyword, params, instancePath } of errors) {
    if (keyword === 'required') {
      return new BrokerError('invalid_request', `The ${noun} ${params.requiredProperties[0]} is missing.`)
    }
    const known = fields[instancePath.slice(1)]
    if (known) return new BrokerError(...known)
  }
  return new BrokerError('invalid_request', otherwise)
}
