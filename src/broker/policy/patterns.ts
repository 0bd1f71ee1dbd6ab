import { isGuid } from '../lib/identifiers.ts'
import { isObject } from '../lib/json-members.ts'

/** Whether one value of a caller matches what a rule or a denial expects. */
export type Matcher = (value: unknown) => boolean

/** What `*` stands for: one or more characters that are no separators in subjects, claims and SPIFFE IDs. */
const anything = /^[A-Za-z0-9._~-]+$/
/** In DNS names: never more than one label. */
const anyLabel = /^[A-Za-z0-9_~-]+$/

/** Why a pattern is refused, as text for people; `undefined` if it is accepted. */
export function patternError(pattern: string): string | undefined {
  if (pattern === '') return 'must not be empty'
  if (pattern === '*') return '"*" alone would match every value; add text before or after it'
  if (pattern.split('*').length > 2) return 'must contain at most one "*"'
  return undefined
}

/** Returns a matcher for text in which one `*` stands for one or more of `[A-Za-z0-9._~-]`. */
export const textMatcher = (pattern: string): Matcher => matcher(pattern, anything)

/**
 * Returns a matcher for DNS names, in which case does not matter and `*` does not stand for a dot. It must be called with
 * names in lower case.
 */
export const dnsMatcher = (pattern: string): Matcher => matcher(pattern.toLowerCase(), anyLabel)

/** Does not turn the pattern into a regular expression: each of ten thousand would be compiled on its first use. */
function matcher(pattern: string, wildcard: RegExp): Matcher {
  const [before = '', after] = pattern.split('*')
  if (after === undefined) return value => value === pattern
  return value =>
    typeof value === 'string' &&
    value.startsWith(before) &&
    value.endsWith(after) &&
    wildcard.test(value.slice(before.length, value.length - after.length))
}

/**
 * Returns a matcher for a claim. A text is a pattern; numbers and booleans are compared exactly. An array matches if one
 * of its items does.
 */
export function claimMatcher(expected: string | number | boolean): Matcher {
  const one: Matcher = typeof expected === 'string' ? textMatcher(expected) : value => value === expected
  return value => (Array.isArray(value) ? value.some(one) : one(value))
}

/**
 * Returns a matcher for a claim of a denial. It matches all that {@link claimMatcher} does, and more, because a denial
 * that misses its caller grants something: a number or a boolean also matches a text of the same value, the other way
 * round too, and the case of a GUID does not matter.
 */
export function deniedClaimMatcher(expected: string | number | boolean): Matcher {
  const exact = deniedTextMatcher(expected)
  const anyCase = textMatcher(String(expected).toLowerCase())
  const number = numberOf(expected)
  const one: Matcher = value => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return false
    if (typeof value === 'string' && typeof expected === 'string') return exact(value)
    return anyCase(String(value).toLowerCase()) || (number !== undefined && numberOf(value) === number)
  }
  return value => (Array.isArray(value) ? value.some(one) : one(value))
}

/** Returns the matcher for a text of a denial: {@link textMatcher}, but the case of a GUID does not matter. */
export function deniedTextMatcher(expected: string | number | boolean): Matcher {
  const text = String(expected)
  if (!isGuid(text)) return textMatcher(text)
  const guid = text.toLowerCase()
  return value => typeof value === 'string' && value.toLowerCase() === guid
}

/** The number that a number or a text stands for, as YAML reads it without quotes: `0042` and `42.0` are 42. */
function numberOf(value: string | number | boolean): number | undefined {
  if (typeof value === 'boolean' || (typeof value === 'string' && value.trim() === '')) return undefined
  const number = Number(value)
  return Number.isNaN(number) ? undefined : number
}

/**
 * The path of a claim's name, which is a top-level name, or a JSON pointer (RFC 6901) if it starts with `/`.
 * `undefined` if the name is empty or the pointer is malformed.
 */
export function claimPath(name: string): readonly string[] | undefined {
  if (!name.startsWith('/')) return name === '' ? undefined : [name]
  if (/~(?![01])/.test(name)) return undefined
  return name
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The value at a path of own properties; `undefined` for inherited ones (`constructor`, `__proto__`). */
export function valueAt(claims: unknown, path: readonly string[]): unknown {
  let value = claims
  for (const part of path) {
    if (!isObject(value) || !Object.hasOwn(value, part)) return undefined
    value = value[part]
  }
  return value
}
