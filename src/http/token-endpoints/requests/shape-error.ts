import type { TLocalizedValidationError } from 'typebox/error'
import { membersOf } from '../../../broker/lib/json-members.ts'
import { quoted } from '../../../broker/lib/text/quoted.ts'
import { BrokerError, type ErrorCode } from '../../../errors.ts'

/** The code of the error of a field, what the field must be, and what is wrong with a text that is not. */
export type FieldError = readonly [code: ErrorCode, rule: string, why?: (text: string) => string | undefined]

/** The error of each field of a request. */
export type FieldErrors = Readonly<Record<string, FieldError>>

/** The error of one field: its rule, and what the caller sent, if that is a text. */
export function fieldError([code, rule, why]: FieldError, value: unknown): BrokerError {
  if (typeof value !== 'string') return new BrokerError(code, rule)
  const what = why?.(value)
  return new BrokerError(code, `${rule} ${quoted(value)} ${what ?? 'is not'}.`)
}

/**
 * The first error in a request's fields. Unknown fields come before all others, since they may be misspelt known ones.
 *
 * @param given the request
 * @param noun what the message calls a field: `field`, `parameter`
 * @param otherwise the message if the request has no fields at all
 */
export function shapeError(
  errors: readonly TLocalizedValidationError[],
  given: unknown,
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
    const name = instancePath.slice(1)
    const known = fields[name]
    if (known) return fieldError(known, membersOf(given)[name])
  }
  return new BrokerError('invalid_request', otherwise)
}
