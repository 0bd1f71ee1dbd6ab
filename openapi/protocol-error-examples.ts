import { isObject, membersOf } from '../src/broker/lib/json-members.ts'
import { BrokerError, errorTable, type ErrorCode } from '../src/errors.ts'
import { exampleName } from '../src/http/schemas/problem-responses.ts'
import { problemDetails, type Protocol } from '../src/http/server/problems.ts'
import { errorsOf, type TokenEndpoint } from '../src/http/token-endpoints/token-endpoint.ts'
import { problemExamples, type Example } from './problem-examples.ts'

/**
 * Examples of errors in protocols other than problem details: the errors of `problem-examples.ts`, as each protocol
 * writes them. By their names under `components`.
 *
 * @param endpoints their protocols
 * @param used the names to which the routes' responses refer
 */
export const protocolErrorExamples = (
  endpoints: readonly TokenEndpoint[],
  used: ReadonlySet<string>,
): Readonly<Record<string, Example>> =>
  Object.fromEntries(
    [...Map.groupBy(endpoints, ({ protocol }) => protocol)]
      .filter(([protocol]) => protocol !== problemDetails)
      .flatMap(([protocol, its]) => {
        const codes = new Set([...its.flatMap(errorsOf), ...(Object.keys(errorTable) as ErrorCode[])])
        return [...codes]
          .filter(code => used.has(exampleName(protocol, code)))
          .map(code => [exampleName(protocol, code), exampleOf(protocol, code)] as const)
      }),
  )

function exampleOf(protocol: Protocol, code: ErrorCode): Example {
  const { detail, request_id: id, retry_after: retryAfter, remedy, upstream } = membersOf(problemExamples[code].value)
  const { error: word, codes: numbers } = membersOf(upstream)
  const error = new BrokerError(code, String(detail), {
    ...(typeof retryAfter === 'number' && { retryAfter }),
    ...(typeof remedy === 'string' && { remedy }),
    ...(typeof word === 'string' &&
      Array.isArray(numbers) && { upstream: { error: word, codes: numbers.map(Number) } }),
  })
  const { body } = protocol.writeError(error, { id: String(id), body: undefined, headers: {} })
  const value: unknown = JSON.parse(body)
  const { timestamp } = membersOf(value)
  return {
    summary: `${code}: ${errorTable[code].title}`,
    value: isObject(value) && timestamp !== undefined ? { ...value, timestamp: '2026-11-23 00:21:05Z' } : value,
  }
}
