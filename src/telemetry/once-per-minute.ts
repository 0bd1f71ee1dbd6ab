/** Limits lines that thousands of tokens can cause at once to one a minute. */
export interface OncePerMinute {
  /**
   * Whether a line must be written now. Returns the number of lines suppressed since the last one that was written, or
   * `undefined` if this one must be suppressed too.
   *
   * @param what identifies the line; only few different texts, since they are never removed
   */
  readonly seen: (what: string) => number | undefined
}

const everyMs = 60_000

/**
 * Creates a limiter. Its state grows with the number of different texts, and is never cleared.
 * @param now milliseconds since 1970
 */
export function createOncePerMinute(now: () => number): OncePerMinute {
  const written = new Map<string, { readonly at: number; suppressed: number }>()
  return {
    seen: what => {
      const known = written.get(what)
      // A wall clock that jumps back must not suppress lines.
      if (known && Math.abs(now() - known.at) < everyMs) {
        known.suppressed++
        return undefined
      }
      written.set(what, { at: now(), suppressed: 0 })
      return known?.suppressed ?? 0
    },
  }
}
