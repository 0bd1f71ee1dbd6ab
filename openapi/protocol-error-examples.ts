import { isObject, membersOf } from '../src/broker/lib/json-members.ts'
import { BrokerError, errorTable, type ErrorCode } from '../src/errors.ts'
import { problemExamples, type Example } from './problem-examples.ts'
import { entraProblem } from '../src/http/token-endpoints/entra-errors.ts'
import { identityProblem } from '../src/http/token-endpoints/identity-errors.ts'
import { oauthProblem } from '../src/http/token-endpoints/oauth-errors.ts'
import type { Problem } from '../src/http/server/problems.ts'
import { dialectErrors, dialectExample, formErrors, type DialectName } from '../src/http/schemas/protocol-responses.ts'

/** Examples of errors in protocols of others, for `openapi.yaml` only: those of `descriptions-problems.ts`, told anew. */

const tellers: Readonly<Record<DialectName, (error: BrokerError, request: { readonly id: string }) => Problem>> = {
  OAuthError: oauthProblem,
  EntraError: entraProblem,
  IdentityError: identityProblem,
}

function exampleOf(name: DialectName, code: ErrorCode): Example {
  const { detail, request_id: id, retry_after: retryAfter, remedy, upstream } = membersOf(problemExamples[code].value)
  const { error: word, codes: numbers } = membersOf(upstream)
  const error = new BrokerError(code, String(detail), {
    ...(typeof retryAfter === 'number' && { retryAfter }),
    ...(typeof remedy === 'string' && { remedy }),
    ...(typeof word === 'string' &&
      Array.isArray(numbers) && { upstream: { error: word, codes: numbers.map(Number) } }),
  })
  const value: unknown = JSON.parse(tellers[name](error, { id: String(id) }).body)
  const { timestamp } = membersOf(value)
  return {
    summary: `${code}: ${errorTable[code].title}`,
    value: isObject(value) && timestamp !== undefined ? { ...value, timestamp: '2026-11-23 00:21:05Z' } : value,
  }
}

const codes: Readonly<Record<DialectName, readonly ErrorCode[]>> = {
  OAuthError: [...dialectErrors, ...formErrors],
  EntraError: [...dialectErrors, ...formErrors, 'not_found'],
  IdentityError: dialectErrors,
}

/** By their names in `components.examples`. */
export const dialectExamples: Readonly<Record<string, Example>> = Object.fromEntries(
  (['OAuthError', 'EntraError', 'IdentityError'] as const).flatMap(name =>
    codes[name].map(code => [dialectExample(name, code), exampleOf(name, code)]),
  ),
)
