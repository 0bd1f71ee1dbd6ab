import { isObject, type Json } from './jws.ts'

/**
 * Returns an unknown value as a T, or throws a TypeError. `at` says where the value was found and starts the message.
 */
export type Check<T> = (value: unknown, at: string) => T

/** Checks a JSON object. With `allowed`, it must have no other fields. */
export function fields(value: unknown, at: string, allowed?: readonly string[]): Json {
  if (!isObject(value)) throw new TypeError(`${at}: must be an object`)
  const unknown = Object.keys(value).find(name => allowed && !allowed.includes(name))
  if (unknown !== undefined) throw new TypeError(`${at}: unknown field '${unknown}'`)
  return value
}

/** Returns `{ name: checked }`, or `{}` if the field is absent. Meant to be spread into an object. */
export function field<K extends string, T>(from: Json, name: K, check: Check<T>): { [P in K]?: T } {
  const found: { [P in K]?: T } = {}
  if (from[name] !== undefined) found[name] = check(from[name], name)
  return found
}

/** Checks an integer from `least` to `most`. */
export function integer(least: number, most: number): Check<number> {
  return (value, at) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw new TypeError(`${at}: must be a whole number from ${least} to ${most}`)
  }
}

/** Checks that a value is in a list. */
export function oneOf<T extends string | number>(allowed: readonly T[]): Check<T> {
  return (value, at) => {
    const found = allowed.find(candidate => candidate === value)
    if (found !== undefined) return found
    throw new TypeError(`${at}: must be one of ${allowed.join(', ')}`)
  }
}

/** Accepts null, or a value that passes the check. */
export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, at) => (value === null ? null : check(value, at))
}

/** Checks a string of 1 to 1024 characters. */
export const text: Check<string> = (value, at) => {
  if (typeof value === 'string' && value.length > 0 && value.length <= 1024) return value
  throw new TypeError(`${at}: must be a string of 1 to 1024 characters`)
}

/** Checks a boolean. */
export const truth: Check<boolean> = (value, at) => {
  if (typeof value === 'boolean') return value
  throw new TypeError(`${at}: must be true or false`)
}

/** Checks a list and each of its items. */
export function listOf<T>(check: Check<T>): Check<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw new TypeError(`${at}: must be a list`)
    return value.map((item: unknown, index) => check(item, `${at}[${index}]`))
  }
}
