import assert from 'node:assert/strict'
import { Compile, type Validator } from 'typebox/schema'
import { parse } from 'yaml'
import { isObject, type Json } from '../../emulator/jws.ts'
import type { Reply } from '../support/broker.ts'
import { read } from '../support/sources.ts'

/** openapi.yaml as tests read it. References are resolved here, independently of the code that builds the document. */

interface Example {
  readonly summary: string
  readonly value: unknown
}

/** A response, with its references resolved. */
export interface Response {
  readonly description: string
  readonly headers: Readonly<Record<string, { readonly required?: boolean; readonly schema: Json }>>
  readonly content: Readonly<Record<string, { readonly schema: Json; readonly examples?: Json }>>
}

/** A parameter of an operation. */
export interface Parameter {
  readonly name: string
  readonly in: string
  readonly schema: Json
  readonly examples: Readonly<Record<string, Example>>
}

/** An operation of the document. */
export interface Operation {
  readonly path: string
  /** In upper case. */
  readonly method: string
  readonly operationId: string
  readonly tags: readonly string[]
  readonly security: readonly Json[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { schema: Json; examples: Readonly<Record<string, Example>> }>>
  }
  readonly responses: Readonly<Record<string, Json>>
}

/** `openapi.yaml`, parsed. */
export const document = parse(read('openapi.yaml')) as Json & {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Omit<Operation, 'path' | 'method'>>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, Json & { readonly properties: Readonly<Record<string, Json>> }>>
    readonly examples: Readonly<Record<string, Example>>
    readonly headers: Json
  }
}

/** Every operation of the document. */
export const operations: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ ...operation, path, method: method.toUpperCase() })),
)

/** Whether an operation is in another protocol than problem details. */
export const isOfOthers = ({ tags }: Operation): boolean => tags.includes('protocols')

/** The operation with this id; fails if there is none. */
export function operationOf(operationId: string): Operation {
  const found = operations.find(operation => operation.operationId === operationId)
  assert.ok(found, `openapi.yaml has no operation ${operationId}`)
  return found
}

/** The target of a reference, or the value itself if it is not a reference. Fails if the target does not exist. */
export function resolve(value: unknown): unknown {
  if (!isObject(value) || typeof value['$ref'] !== 'string') return value
  const found = value['$ref']
    .split('/')
    .slice(1)
    .reduce<unknown>((place, key) => (isObject(place) ? place[key] : undefined), document)
  assert.ok(found, `${value['$ref']} has no target`)
  return resolve(found)
}

/** A response of an operation, resolved. */
export const responseOf = (value: unknown): Response => resolve(value) as Response
/** An example, resolved. */
export const exampleOf = (value: unknown): Example => resolve(value) as Example

/** The named examples of a response's problems, of any media type; empty if there are none. */
export function problemsOf(response: Json): readonly Json[] {
  const { content } = responseOf(response)
  const examples = Object.values(content['application/problem+json']?.examples ?? {})
  return examples.map(example => exampleOf(example).value as Json)
}

/** The codes that an operation lists, of any status, without those of its `default` response. */
export const codesOf = ({ responses }: Operation): readonly string[] => [
  ...new Set(
    Object.entries(responses)
      .filter(([status]) => status !== 'default')
      .flatMap(([, response]) => problemsOf(response).map(problem => String(problem['code']))),
  ),
]

/** Later versions may add fields to responses. Those of this version must be in the document. */
const closed = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(closed)
    : isObject(value)
      ? Object.fromEntries(
          Object.entries(value).map(([name, field]) => [name, name === 'additionalProperties' ? false : closed(field)]),
        )
      : value

const strictComponents = { ...document.components, schemas: closed(document.components.schemas) }
const validators = new Map<string, Validator>()

/** Asserts that a value is what a schema of the document says, and has no field that the document does not have. */
export function assertFits(schema: Json, value: unknown, what: string): void {
  const text = JSON.stringify(schema)
  const validator = validators.get(text) ?? Compile({ ...schema, components: strictComponents })
  validators.set(text, validator)
  const [fits, errors] = validator.Errors(value)
  assert.ok(fits, `${what}: ${JSON.stringify(errors.map(({ instancePath, message }) => `${instancePath} ${message}`))}`)
}

/**
 * Asserts that a live response is one that the document has for the operation: its status, its code, its media type, its
 * body, and the headers.
 */
export function assertDocumented({ operationId, responses }: Operation, reply: Reply): void {
  const { status, headers, text, json } = reply
  const what = `${operationId} ${status}`
  const listed = responses[status] ?? responses['default']
  assert.ok(listed, `${what} is not in the document`)
  const response = responseOf(listed)
  const mediaType = String(headers['content-type']).split(';', 1)[0] ?? ''
  const content = response.content[mediaType]
  assert.ok(content, `${what} is documented as ${Object.keys(response.content).join()}, not ${mediaType}: ${text}`)
  assertFits(content.schema, mediaType.endsWith('json') ? (JSON.parse(text) as unknown) : text, what)
  if (mediaType === 'application/problem+json') {
    const codes = problemsOf(listed).map(problem => problem['code'])
    assert.ok(codes.includes(json['code']), `${what} ${String(json['code'])} is not among ${codes.join()}`)
  }
  for (const [name, header] of Object.entries(response.headers)) {
    const { required, schema } = resolve(header) as Response['headers'][string]
    const value = headers[name.toLowerCase()]
    if (required || value !== undefined) assertFits(schema, value, `${what}: ${name}`)
  }
}
