import { isObject } from '../lib/json-members.ts'

/** Tests one value of a caller against what a rule names. */
export type Matcher = (value: unknown) => boolean

/** What `*` stands for: one or more characters that separate nothing in subjects, claims and SPIFFE IDs. */
const anything = /^[A-Za-z0-9._~-]+$/
/** In DNS names: never more than one label. */
const anyLabel = /^[A-Za-z0-9_~-]+$/

/** Why a pattern cannot be meant, or `undefined` when it can. */
export function patternError(pattern: string): string | undefined {
  if (pattern === '') return 'must not be empty'
  if (pattern === '*') return '"*" alone would match everybody: write what comes before or after it'
  if (pattern.split('*').length > 2) return 'may hold one "*" at most'
  return undefined
}

/** A matcher for text in which one `*` stands for one or more of `[A-Za-z0-9._~-]`. */
export const textMatcher = (pattern: string): Matcher => matcher(pattern, anything)

/** The same for DNS names, which have no case and in which `*` does not stand for a dot. Give it names in lower case. */
export const dnsMatcher = (pattern: string): Matcher => matcher(pattern.toLowerCase(), anyLabel)

/** No expression is made of the pattern: ten thousand of them would each be compiled when it is first used. */
function matcher(pattern: string, wildcard: RegExp): Matcher {
  const [before = '', after] = pattern.split('*')
  if (after === undefined) return value => value === pattern
  return value =>
    typeof value === 'string' &&
    value.startsWith(before) &&
    value.endsWith(after) &&
    wildcard.test(value.slice(before.length, value.length - after.length))
}

/** A matcher for a claim: text as a pattern, numbers and booleans exactly; an array matches by any of its members. */
export function claimMatcher(expected: string | number | boolean): Matcher {
  const one: Matcher = typeof expected === 'string' ? textMatcher(expected) : value => value === expected
  return value => (Array.isArray(value) ? value.some(one) : one(value))
}

/**
 * Where a claim's name points: a top-level name, or a JSON pointer (RFC 6901) if it starts with `/`.
 * `undefined` when the pointer is malformed.
 */
export function claimPath(name: string): readonly string[] | undefined {
  if (!name.startsWith('/')) return name === '' ? undefined : [name]
  if (/~(?![01])/.test(name)) return undefined
  return name
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The value at a path of own properties; inherited ones (`constructor`, `__proto__`) are not there. */
export function valueAt(claims: unknown, path: readonly string[]): unknown {
  let value = claims
  for (const part of path) {
    if (!isObject(value) || !Object.hasOwn(value, part)) return undefined
    value = value[part]
  }
  return value
}
