/** Returns a function that caches the first result of `read`; a failure is not cached. */
export function readOnce<T>(read: () => Promise<T>): () => Promise<T> {
  let cached: Promise<T> | undefined
  return () => {
    cached ??= read().catch((thrown: unknown) => {
      cached = undefined
      throw thrown
    })
    return cached
  }
}
