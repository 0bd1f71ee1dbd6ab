import { isObject, membersOf, type Members } from '../lib/json-members.ts'
import { policyFileSchema, type PolicyText } from './schema.ts'

/**
 * Makes a file fit the schema's types by leaving out what is unknown, and by empty texts and lists in place of what is
 * missing or of another type. So errors of meaning can be reported together with errors of shape. Lists keep their
 * length, so that indexes stay true. The result is for checking only; it is never compiled.
 */
export function readLeniently(raw: unknown): PolicyText {
  const fitted = fit(policyFileSchema, raw)
  if (!isFitted(fitted)) throw new TypeError('The schema has a part that nothing is fitted to.')
  return fitted
}

/** Looks only at what every file must have: {@link fit} sees to the rest. */
const isFitted = (value: unknown): value is PolicyText =>
  isObject(value) && isObject(value['applications']) && Array.isArray(value['rules'])

/** Handles what {@link policyFileSchema} uses: objects, records, arrays, unions and plain values. */
function fit(schema: unknown, value: unknown): unknown {
  const { type, anyOf, items, properties, patternProperties, required } = membersOf(schema)
  if (Array.isArray(anyOf)) return fitUnion(anyOf, value)
  if (type === 'array') return Array.isArray(value) ? value.map(each => fit(items, each)) : []
  if (type !== 'object') return typeof value === type ? value : plain.get(type)
  const given: Members = Array.isArray(value) ? {} : membersOf(value)
  if (properties === undefined) {
    const [each] = Object.values(membersOf(patternProperties))
    return Object.fromEntries(Object.entries(given).map(([key, member]) => [key, fit(each, member)]))
  }
  return Object.fromEntries(
    Object.entries(membersOf(properties))
      .filter(([key]) => Object.hasOwn(given, key) || (Array.isArray(required) && required.includes(key)))
      .map(([key, member]) => [key, fit(member, given[key])]),
  )
}

/** Stand for values of another type. */
const plain = new Map<unknown, unknown>([
  ['string', ''],
  ['number', 0],
  ['boolean', true],
])

/** As the branch that takes the value as it is; else as the last one. */
const fitUnion = (branches: readonly unknown[], value: unknown): unknown =>
  branches.some(branch => fit(branch, value) === value) ? value : fit(branches.at(-1), value)
