import { isObject, membersOf, type Members } from '../../lib/json-members.ts'
import { policyFileSchema, type PolicyText } from './schema.ts'

/**
 * Makes a file fit the schema's types: it drops unknown keys, and puts plain values such as empty texts and lists in place
 * of required values that are absent, and of values that have another type. So `validatePolicy` can report its errors
 * together with those of the schema. Lists keep their length, so that indexes stay right. The result is for validation
 * only; it is never compiled.
 */
export function readLeniently(raw: unknown): PolicyText {
  const fitted = fit(policyFileSchema, raw)
  if (!isFitted(fitted)) throw new TypeError('The schema uses a type that the lenient read does not support.')
  return fitted
}

/** Checks only what every file must have; {@link fit} made the rest. */
const isFitted = (value: unknown): value is PolicyText =>
  isObject(value) && isObject(value['applications']) && Array.isArray(value['rules'])

/** Handles what {@link policyFileSchema} uses: objects, records, arrays, unions and plain values. */
function fit(schema: unknown, value: unknown): unknown {
  const { type, anyOf, items, properties, patternProperties, required } = membersOf(schema)
  if (Array.isArray(anyOf)) return fitUnion(anyOf, value)
  if (type === 'array') return Array.isArray(value) ? value.map(each => fit(items, each)) : []
  if (type !== 'object') return typeof value === (type === 'integer' ? 'number' : type) ? value : plain.get(type)
  const given: Members = Array.isArray(value) ? {} : membersOf(value)
  if (properties === undefined) {
    const [each] = Object.values(membersOf(patternProperties))
    return Object.fromEntries(Object.entries(given).map(([key, field]) => [key, fit(each, field)]))
  }
  return Object.fromEntries(
    Object.entries(membersOf(properties))
      .filter(([key]) => Object.hasOwn(given, key) || (Array.isArray(required) && required.includes(key)))
      .map(([key, field]) => [key, fit(field, given[key])]),
  )
}

/** The values that replace those of another type. */
const plain = new Map<unknown, unknown>([
  ['string', ''],
  ['integer', 0],
  ['boolean', true],
])

/** The value itself if a branch accepts it unchanged; otherwise it is fitted to the last branch. */
const fitUnion = (branches: readonly unknown[], value: unknown): unknown =>
  branches.some(branch => fit(branch, value) === value) ? value : fit(branches.at(-1), value)
