/** Keeps what happens to thousands of tokens at once from being written thousands of times. */
export interface OncePerMinute {
  /**
   * Whether something is to be written now: the number of times it was not since it was last, or `undefined` if it is not
   * to be.
   *
   * @param what few different texts: they are kept for ever
   */
  readonly seen: (what: string) => number | undefined
}

const everyMs = 60_000

/** @param now milliseconds since 1970 */
export function createOncePerMinute(now: () => number): OncePerMinute {
  const written = new Map<string, { readonly at: number; suppressed: number }>()
  return {
    seen: what => {
      const known = written.get(what)
      // A wall clock that jumps back silences nothing.
      if (known && Math.abs(now() - known.at) < everyMs) {
        known.suppressed++
        return undefined
      }
      written.set(what, { at: now(), suppressed: 0 })
      return known?.suppressed ?? 0
    },
  }
}
