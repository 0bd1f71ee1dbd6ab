/** What an agent requests of the broker, and what it must get. */
export interface ExpectedScope {
  /** A scope, or a scope's name in the broker's policy. */
  readonly scope: string
  /** The scope for which the name must stand; `undefined` if any will do. */
  readonly expected: string | undefined
}

/**
 * A scope's name together with the scope for which it must stand, as the scope of a grant. Only the broker knows what a
 * name stands for, so the agent compares its response, for every fetch and revalidation. As part of the grant's scope,
 * what is expected is part of the cache key too: no token that was fetched without the comparison is served. A space
 * separates the two; neither has one.
 */
export const withExpectedScope = (name: string, expected: string): string => `${name} ${expected}`

/** Reads the scope of a grant: the result of {@link withExpectedScope}, or a scope or name alone. */
export function readExpectedScope(text: string): ExpectedScope {
  const space = text.indexOf(' ')
  if (space < 0) return { scope: text, expected: undefined }
  return { scope: text.slice(0, space), expected: text.slice(space + 1) }
}
